package spnego

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-go/countersign/gss"
)

// Minor status codes, as MIT's library numbers them.
const (
	minorNoMechs           int32 = 0x20000001 // ERR_SPNEGO_NO_MECHS_AVAILABLE
	minorNegotiationFailed int32 = 0x20000004 // ERR_SPNEGO_NEGOTIATION_FAILED
	minorNoTokenFromPeer   int32 = 0x20000005 // ERR_SPNEGO_NO_TOKEN_FROM_ACCEPTOR
)

// Causes, in MIT's words where MIT has them.
var (
	errNoMechs           = errors.New("SPNEGO cannot find mechanisms to negotiate")
	errNegotiationFailed = errors.New("SPNEGO failed to negotiate a mechanism")
	errNoTokenFromPeer   = errors.New("SPNEGO acceptor did not return a valid token")
)

var (
	errDeleted     = &gss.Error{Major: gss.ErrNoContext, Mech: gss.MechSPNEGO, Err: errors.New("the context was deleted")}
	errIncomplete  = &gss.Error{Major: gss.ErrNoContext, Mech: gss.MechSPNEGO, Err: errors.New("Attempt to use incomplete security context")}
	errEstablished = &gss.Error{Major: gss.ErrFailure, Mech: gss.MechSPNEGO, Err: errors.New("the context is already established")}
)

func defective(err error) error {
	return &gss.Error{Major: gss.ErrDefectiveToken, Mech: gss.MechSPNEGO, Err: err}
}

func noTokenFromPeer() error {
	return &gss.Error{Major: gss.ErrDefectiveToken, Minor: minorNoTokenFromPeer, Mech: gss.MechSPNEGO, Err: errNoTokenFromPeer}
}

// noCommonMech is the acceptor's finding that it has none of the mechanisms
// offered.
func noCommonMech(offered []gss.OID) error {
	const most = 8 // to name: the list is the peer's
	var names []string
	for _, m := range offered[:min(len(offered), most)] {
		names = append(names, m.Name())
	}
	if more := len(offered) - most; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	e := &gss.Error{
		Major: gss.ErrBadMech,
		Minor: minorNegotiationFailed,
		Mech:  gss.MechSPNEGO,
		Err:   fmt.Errorf("%w: the client offers %s", errNegotiationFailed, strings.Join(names, ", ")),
	}
	if slices.Contains(offered, mechNTLM) {
		e.Hint = hintNTLM
	}
	return e
}

const hintNTLM = "a Windows client offers NTLM alone when it has no ticket for this service: see that it asks for the service by the name that the KDC knows it by"

// remoteReject is what a reject without a mechanism's error token says.
func remoteReject(major gss.Major) error {
	e := &gss.Error{Major: major, Mech: gss.MechSPNEGO, Remote: true}
	if major == gss.ErrBadMech {
		e.Minor, e.Err = minorNegotiationFailed, errNegotiationFailed
	} else {
		e.Err = errors.New("the peer rejected the context")
	}
	return e
}

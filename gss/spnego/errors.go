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
	names := make([]string, len(offered))
	for i, m := range offered {
		names[i] = m.Name()
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

// mechNTLM is what Windows clients fall back to.
const mechNTLM gss.OID = "\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a" // 1.3.6.1.4.1.311.2.2.10

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

// checkMechs refuses lists of mechanisms that nothing could be negotiated with.
func checkMechs(mechs []gss.OID) error {
	if len(mechs) == 0 {
		return &gss.Error{Major: gss.ErrBadMech, Minor: minorNoMechs, Mech: gss.MechSPNEGO, Err: errNoMechs}
	}
	if len(mechs) > maxMechs {
		return &gss.Error{Major: gss.ErrBadMech, Mech: gss.MechSPNEGO, Err: errTooManyMechs}
	}
	seen := make(map[gss.OID]bool)
	for _, m := range mechs {
		var why string
		switch {
		case m == gss.MechSPNEGO:
			why = "cannot negotiate itself"
		case !m.Valid():
			why = "is no object identifier"
		case seen[canonical(m)]:
			why = "is listed twice"
		default:
			seen[canonical(m)] = true
			continue
		}
		return &gss.Error{Major: gss.ErrBadMech, Mech: gss.MechSPNEGO, Err: fmt.Errorf("mechanism %s %s", m.Name(), why)}
	}
	return nil
}

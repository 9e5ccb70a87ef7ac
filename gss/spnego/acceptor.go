package spnego

import (
	"github.com/countersign-go/countersign/gss"
)

// An Acceptor accepts contexts of any of its mechanisms. It is a gss.Acceptor,
// and safe for concurrent use if its mechanisms are.
type Acceptor struct {
	mechs  map[gss.OID]gss.Acceptor
	noBare bool // bare tokens are refused
}

// NewAcceptor makes an acceptor that takes the given mechanisms, negotiated or
// by a bare token of theirs. Their order means nothing: the initiator's decides.
// That there is none, more than 32, one twice or SPNEGO itself among them is a
// [gss.ErrBadMech].
func NewAcceptor(mechs ...gss.Acceptor) (*Acceptor, error) {
	oids := make([]gss.OID, len(mechs))
	byOID := make(map[gss.OID]gss.Acceptor)
	for i, m := range mechs {
		oids[i] = m.Mechanism()
		byOID[canonical(oids[i])] = m
	}
	if err := checkMechs(oids); err != nil {
		return nil, err
	}
	return &Acceptor{mechs: byOID}, nil
}

// NegotiatedOnly gives an acceptor of the same mechanisms that refuses bare
// tokens: every client has to negotiate.
func (a *Acceptor) NegotiatedOnly() *Acceptor { return &Acceptor{mechs: a.mechs, noBare: true} }

// Mechanism implements gss.Acceptor.
func (a *Acceptor) Mechanism() gss.OID { return gss.MechSPNEGO }

// Accept implements gss.Acceptor. It does no I/O.
func (a *Acceptor) Accept(bindings *gss.ChannelBindings) (gss.Context, error) {
	return &secContext{neg: &acceptNegotiation{acceptor: a, bindings: bindings}}, nil
}

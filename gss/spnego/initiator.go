package spnego

import (
	"context"
	"slices"

	"github.com/countersign-go/countersign/gss"
)

// An Initiator initiates contexts of whichever of its mechanisms the acceptor
// has. It is a gss.Initiator, and safe for concurrent use if its mechanisms
// are.
type Initiator struct {
	mechs []gss.Initiator
}

// NewInitiator makes an initiator that offers the given mechanisms, the most
// wanted first. That there is none, more than 32, one twice or SPNEGO itself
// among them is a [gss.ErrBadMech].
func NewInitiator(mechs ...gss.Initiator) (*Initiator, error) {
	oids := make([]gss.OID, len(mechs))
	for i, m := range mechs {
		oids[i] = m.Mechanism()
	}
	if err := checkMechs(oids); err != nil {
		return nil, err
	}
	return &Initiator{mechs: slices.Clone(mechs)}, nil
}

// Mechanism implements gss.Initiator.
func (i *Initiator) Mechanism() gss.OID { return gss.MechSPNEGO }

// Initiate implements gss.Initiator. It prepares a context of every mechanism,
// so all the I/O that any of them needs is done here. A mechanism that fails,
// for lack of a credential as a rule, is not offered; when all fail the error is
// that of the first.
func (i *Initiator) Initiate(ctx context.Context, req gss.Request) (gss.Context, error) {
	if req.Flags == 0 {
		req.Flags = gss.DefaultFlags
	}
	if len(i.mechs) > 1 {
		req.Flags |= gss.Integrity // protects the choice
	}
	n := &initiateNegotiation{}
	var first error
	for _, m := range i.mechs {
		inner, err := m.Initiate(ctx, req)
		if err == nil {
			n.candidates = append(n.candidates, candidate{m.Mechanism(), inner})
			continue
		}
		if ctx.Err() != nil {
			n.delete()
			return nil, err
		}
		if first == nil {
			first = err
		}
	}
	if len(n.candidates) == 0 {
		return nil, first
	}
	return &secContext{local: true, neg: n}, nil
}

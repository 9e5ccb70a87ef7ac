package kdc

import (
	"context"
	"errors"
)

// TGSOptions is what to ask for in a TGS exchange.
type TGSOptions struct {
	// Forwarded asks for a ticket that another host can use: service is the
	// ticket-granting service then, and tgt must be forwardable.
	Forwarded bool
	// Renew asks for tgt itself with a new end time; service is tgt's.
	Renew bool
	// NoReferral refuses to be sent to another realm or name.
	NoReferral bool
	Addresses  []Address // for a forwarded ticket
}

// TGS gets a ticket for service by a ticket-granting ticket. A service whose
// realm is empty is asked for in the realm of tgt, whose KDC may refer to another.
func (c *Client) TGS(ctx context.Context, tgt Ticket, service Principal, opts TGSOptions) (Ticket, error) {
	return Ticket{}, errors.ErrUnsupported
}

package kdc

import (
	"context"
	"errors"
	"time"
)

// ASOptions is what to ask for in an AS exchange beyond the settings of the
// configuration.
type ASOptions struct {
	Service       Principal     // zero: the client realm's ticket-granting service
	Lifetime      time.Duration // zero: ticket_lifetime
	RenewLifetime time.Duration // zero: renew_lifetime
	Forwardable   bool          // as well as where forwardable = true
	Proxiable     bool          // as well as where proxiable = true
	Canonicalize  bool          // as well as where canonicalize = true; let the KDC correct names, RFC 6806
	Addresses     []Address     // to bind the ticket to; none is usual
}

// AS gets a ticket for client by its password or keys.
func (c *Client) AS(ctx context.Context, client Principal, secret Secret, opts ASOptions) (Ticket, error) {
	return Ticket{}, errors.ErrUnsupported
}

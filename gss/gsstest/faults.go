package gsstest

import (
	"net"
	"slices"
	"time"
)

// Faults is what a [Realm] does wrong on purpose. The zero value is a healthy KDC.
type Faults struct {
	// Drop leaves every request unanswered: a datagram is lost, a connection
	// stays open in silence until the client gives up.
	Drop bool

	// ErrorCode, when not zero, is the RFC 4120 error code that answers every
	// request.
	ErrorCode int32

	// Unknown are principals, with or without the realm, that are answered as if
	// they were not in the database.
	Unknown []string

	// WrongKey encrypts service tickets in a key that nobody has, under the kvno
	// of the right one. Ticket-granting tickets stay sound.
	WrongKey bool

	// MaxLifetime, when not zero, bounds the lifetime of tickets issued from now
	// on more tightly than the realm does.
	MaxLifetime time.Duration

	// ClockOffset is added to the KDC's clock.
	ClockOffset time.Duration

	// TooBigForUDP answers every datagram with KRB_ERR_RESPONSE_TOO_BIG, which
	// sends clients to TCP.
	TooBigForUDP bool
}

// SetFaults replaces the faults that the KDC shows, from the next request on. The
// zero Faults makes it healthy again.
func (r *Realm) SetFaults(faults Faults) {
	faults.Unknown = slices.Clone(faults.Unknown)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = faults
}

func (r *Realm) currentFaults() Faults {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.faults
}

// Stats counts what the KDC has seen since it started.
type Stats struct {
	AS, TGS   uint64 // requests of each exchange that could be decoded
	UDP, TCP  uint64 // requests over each transport, whatever their content
	Errors    uint64 // requests answered with a KRB-ERROR
	Malformed uint64 // requests that could not be decoded, truncated and oversized records
	Panics    uint64 // requests on which gokrb5 or Config.Time panicked
}

// Stats returns the counters as they stand.
func (r *Realm) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

func (r *Realm) count(update func(*Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	update(&r.stats)
}

// An Event tells of one request that the KDC has dealt with. Its fields come from
// the client and are to be quoted before they are shown.
type Event struct {
	Transport string   // "udp" or "tcp"
	Peer      net.Addr // who asked
	Exchange  string   // "AS", "TGS", or empty when the request could not be decoded
	Client    string   // principal with its realm, where known
	Service   string   // principal with its realm, where known
	Code      int32    // RFC 4120 error code of the answer; 0 for a ticket issued
	Err       error    // why no ticket was issued; nil when one was
}

func (r *Realm) report(event Event) {
	if r.config.OnEvent != nil {
		r.config.OnEvent(event)
	}
}

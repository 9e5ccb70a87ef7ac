package push

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token/pushwire"
)

// Config says how a [Service] serves. Acceptor is required.
type Config struct {
	Acceptor gss.Acceptor

	// LocalName gives the local user that a client's name stands for, by which
	// messages can be sent to it, too. May be nil.
	LocalName func(gss.Name) (string, error)

	// Setup is called once, by New, to register groups. Its error refuses to
	// start. May be nil.
	Setup func(*Hub) error

	Hooks Hooks

	// Allowed says what a principal may do with a group; nil: all may do all. It is
	// asked often, by many goroutines, and must not call the Hub. Whoever changes
	// its mind calls [Hub.Recheck].
	Allowed func(user string, group uint32, right pushwire.Right) bool

	Bus    Bus // to other servers; nil: there are none
	Limits Limits
}

// Hooks tell the server's program what a client is about to do, before it is
// done. An error refuses it and is told to the client, so it should hold
// nothing that is not for it. Those that are nil are not asked.
//
// Hooks of a client are called one at a time: as long as one takes, this client's
// further requests wait, and nobody else does. ctx ends with the session, which
// waits for the hook. A panic is not caught: it is a fault of the program, and ends it.
type Hooks struct {
	Arrive    func(ctx context.Context, m *Member) error // may subscribe it
	Subscribe func(ctx context.Context, m *Member, groups []uint32) error
	Leave     func(ctx context.Context, m *Member, groups []uint32) error
	Publish   func(ctx context.Context, m *Member, groups []uint32, data []byte) error // keeps no data
	Send      func(ctx context.Context, m *Member, to string, data []byte) error       // keeps no data
	Depart    func(m *Member)                                                          // of everybody who arrived; it gets nothing any more
}

// Limits are what a [Service] bears. Zero means the default.
type Limits struct {
	MaxData    int           // of a message, in octets; at most pushwire.MaxData
	Queue      int           // messages that wait for one client
	QueueBytes int           // octets of these; one message is taken whatever its size
	Groups     int           // that one client is in
	Requests   int           // of one client under way: beyond these nothing more is read of it
	Rate       int           // requests a second of one principal, all its connections together
	Burst      int           // requests that it can have ahead of the rate; twice the rate if zero
	WriteTime  time.Duration // for one token to one client: 64 KiB, or one longer message
	Memory     int64         // for what is being read of all clients, in octets
	Beacon     time.Duration // between two words to the other servers of how far this one has come; at most a third of the half minute after which they miss it
}

// Defaults of [Limits].
const (
	DefaultMaxData    = 64 << 10
	DefaultQueue      = 1024
	DefaultQueueBytes = 1 << 20
	DefaultGroups     = 64
	DefaultRequests   = 256
	DefaultRate       = 1000
	DefaultWriteTime  = 10 * time.Second
	DefaultMemory     = 256 << 20
	DefaultBeacon     = 5 * time.Second
)

func (l Limits) withDefaults() (Limits, error) {
	for _, n := range []struct {
		what  string
		value *int
		def   int
	}{
		{"octets of data", &l.MaxData, DefaultMaxData},
		{"messages queued", &l.Queue, DefaultQueue},
		{"octets queued", &l.QueueBytes, DefaultQueueBytes},
		{"groups of a client", &l.Groups, DefaultGroups},
		{"requests under way", &l.Requests, DefaultRequests},
		{"requests a second", &l.Rate, DefaultRate},
		{"requests in a burst", &l.Burst, 0},
	} {
		if *n.value < 0 {
			return l, fmt.Errorf("push: %d %s", *n.value, n.what)
		}
		if *n.value == 0 {
			*n.value = n.def
		}
	}
	if l.Burst == 0 {
		l.Burst = 2 * l.Rate
	}
	if l.MaxData > pushwire.MaxData {
		return l, fmt.Errorf("push: messages of %d octets: the encoding takes %d", l.MaxData, pushwire.MaxData)
	}
	if l.Memory < 0 {
		return l, fmt.Errorf("push: %d octets of memory", l.Memory)
	}
	if l.Memory == 0 {
		l.Memory = DefaultMemory
	}
	for _, d := range []struct {
		what  string
		value *time.Duration
		def   time.Duration
	}{
		{"write time", &l.WriteTime, DefaultWriteTime},
		{"beacon interval", &l.Beacon, DefaultBeacon},
	} {
		if *d.value < 0 {
			return l, fmt.Errorf("push: negative %s: %s", d.what, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if l.Beacon > silentAfter/beaconParts {
		return l, fmt.Errorf("push: Limits.Beacon of %v: other servers miss this one after %v, so %v is the most", l.Beacon, silentAfter, silentAfter/beaconParts)
	}
	return l, nil
}

func (cfg Config) withDefaults() (_ Config, err error) {
	if cfg.Acceptor == nil {
		return cfg, errors.New("push: no acceptor")
	}
	cfg.Limits, err = cfg.Limits.withDefaults()
	return cfg, err
}

package push

import (
	"bytes"
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

// Events are functions that are told what comes, one at a time and in order;
// nil ones are not told. They may be called before Dial has returned. What they
// are given is theirs.
//
// One may make requests and wait for them: results do not queue with the events.
// When a thousand events wait, nothing more is read from the server, which at last
// leaves messages out and says so. While somebody waits for a result or for
// room, reading goes on; what then is beyond eight thousand events or 16 MiB is
// left out here, and told by Lost just the same.
type Events struct {
	Published func(Publication)
	Sent      func(Direct)

	// Somebody subscribed to groups that the client is in, or left them. The
	// server is asked to tell only if one of them is there.
	Entered, Left func(who string, groups []uint32)

	Lost func(Loss)

	Joined  func(groups []uint32) // the server subscribed the client
	Removed func(groups []uint32) // the client is out of the groups, and had not asked for it

	// Connected tells of a connection, the first or another. One that is ended to
	// renew the context is followed by the next without a Disconnected.
	Connected func(pushwire.Welcome)

	// Disconnected tells why there is no connection, after each that was lost
	// and each attempt that failed, and when the next attempt comes. It is zero
	// if there is none, as the server refused the client for good.
	Disconnected func(err error, retryIn time.Duration)
}

// A Publication was published to groups.
type Publication struct {
	From   string           // the publisher's principal
	Groups []pushwire.Stamp // all that it was published to, with its number in each
	Origin pushwire.Origin  // the server that numbered it
	Time   time.Time        // when it did
	Data   []byte
}

// A Direct was sent to the user.
type Direct struct {
	From string // the sender's principal
	Time time.Time
	Data []byte
}

// A Loss tells what did not come.
type Loss struct {
	// Count is the number of messages, at the least: of publications that were in
	// several groups it cannot be told apart whether they were the same.
	Count   uint64
	Directs uint64            // of these, sent to the user
	Groups  map[uint32]uint64 // number of publications by group; may be nil

	// Unknown says that there may be more: a server is gone or cannot be heard, and what
	// was published there last is not known. If it comes back the rest is told.
	Unknown bool

	// DirectsUnknown says that messages sent to the user may be missing, nobody knows
	// how many: a connection did not end in order, and what the server
	// had for the client then is not numbered. It is told once, after the next Connected,
	// if there is Sent.
	DirectsUnknown bool
}

func (l *Loss) isZero() bool {
	return l.Count == 0 && len(l.Groups) == 0 && !l.Unknown && !l.DirectsUnknown
}

// add adds another loss.
func (l *Loss) add(m Loss) {
	l.Count = sum(l.Count, m.Count)
	l.Directs = sum(l.Directs, m.Directs)
	l.Unknown = l.Unknown || m.Unknown
	l.DirectsUnknown = l.DirectsUnknown || m.DirectsUnknown
	for g, n := range m.Groups {
		if l.Groups == nil {
			l.Groups = make(map[uint32]uint64)
		}
		l.Groups[g] = sum(l.Groups[g], n)
	}
}

// sum adds counts that a server chose.
func sum(a, b uint64) uint64 {
	if a+b < a {
		return 1<<64 - 1
	}
	return a + b
}

// eventCost is what an event takes beside its data, in octets, about.
const eventCost = 256

// publish tells of a publication that is fresh.
func (s *session) publish(m pushwire.Publication) error {
	if s.c.cfg.Events.Published == nil {
		return nil
	}
	p := Publication{m.From, m.Stamps, m.Origin, m.Time, bytes.Clone(m.Data)}
	size := eventCost + len(m.Data) + len(m.From) + 16*len(m.Stamps)
	if !s.offer(size, func() { s.c.cfg.Events.Published(p) }) {
		missed := Loss{Count: 1, Groups: make(map[uint32]uint64)}
		for _, stamp := range m.Stamps {
			if s.c.tracker.live(stamp.Group) {
				missed.Groups[stamp.Group]++
			}
		}
		s.c.callbacks.leaveOut(missed)
	}
	return nil
}

func (s *session) direct(m pushwire.Direct) error {
	if s.c.cfg.Events.Sent == nil {
		return nil
	}
	d := Direct{m.From, m.Time, bytes.Clone(m.Data)}
	if !s.offer(eventCost+len(m.Data)+len(m.From), func() { s.c.cfg.Events.Sent(d) }) {
		s.c.callbacks.leaveOut(Loss{Count: 1, Directs: 1})
	}
	return nil
}

// tell queues an event that cannot be left out.
func (s *session) tell(size int, f func()) error {
	if !s.offer(eventCost+size, f) {
		return errOverrun
	}
	return nil
}

func (s *session) tellLoss(l Loss) error {
	if l.isZero() || s.c.cfg.Events.Lost == nil {
		return nil
	}
	return s.tell(16*len(l.Groups), func() { s.c.cfg.Events.Lost(l) })
}

func (s *session) tellGroups(f func([]uint32), groups []uint32) error {
	if f == nil {
		return nil
	}
	return s.tell(4*len(groups), func() { f(groups) })
}

func (s *session) tellPresence(m pushwire.Presence) error {
	f := s.c.cfg.Events.Left
	if m.Entered {
		f = s.c.cfg.Events.Entered
	}
	if f == nil {
		return nil
	}
	return s.tell(len(m.Who)+4*len(m.Groups), func() { f(m.Who, m.Groups) })
}

package push

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

const (
	// maxOrigins is how many other servers are told apart. Of more, those not heard
	// of for longest are forgotten, and what they missed to say is not noticed.
	maxOrigins = 256

	// forgetAfter is how long a server that is silent is remembered. It is longer
	// than any fault that it comes back from.
	forgetAfter = time.Hour

	// maxStamps is how many groups a beacon tells of: what the length of a list can say.
	maxStamps = (1<<16 - 1) / 12
)

// origins are the other servers.
type origins struct {
	mu    sync.Mutex
	known map[pushwire.Origin]*heard
}

// heard is what there is to know of another server.
type heard struct {
	last time.Time
	born uint64 // when it began, by Hub.events; 0: before anybody looked
}

// hear notes a sign of life of another server, and gives when it began.
func (h *Hub) hear(origin pushwire.Origin, starting bool) (born uint64) {
	h.origins.mu.Lock()
	defer h.origins.mu.Unlock()
	o := h.origins.known[origin]
	if o == nil {
		o = new(heard)
		if starting {
			o.born = h.events.Add(1)
		}
		if len(h.origins.known) >= maxOrigins {
			h.forgetOldest()
		}
		h.origins.known[origin] = o
	}
	o.last = time.Now()
	return o.born
}

func (h *Hub) forgetOldest() {
	var oldest pushwire.Origin
	var last time.Time
	for origin, o := range h.origins.known {
		if last.IsZero() || o.last.Before(last) {
			oldest, last = origin, o.last
		}
	}
	delete(h.origins.known, oldest)
}

// forgetOrigins forgets servers that are silent for long, and all that groups
// remember of those that are not known.
func (h *Hub) forgetOrigins(now time.Time) {
	h.origins.mu.Lock()
	known := make(map[pushwire.Origin]bool, len(h.origins.known))
	for origin, o := range h.origins.known {
		if now.Sub(o.last) > forgetAfter {
			delete(h.origins.known, origin)
		} else {
			known[origin] = true
		}
	}
	h.origins.mu.Unlock()
	for _, g := range *h.groups.Load() {
		g.mu.Lock()
		for origin := range g.remote {
			if !known[origin] {
				delete(g.remote, origin)
			}
		}
		g.mu.Unlock()
	}
}

// A receiver takes what comes from other servers.
type receiver struct{ hub *Hub }

// Published delivers a publication of another server to the members here, unless
// its number was passed.
func (r receiver) Published(msg []byte) {
	h := r.hub
	p, ok := only[pushwire.Publication](msg)
	if !ok || p.Origin == h.origin {
		return
	}
	born := h.hear(p.Origin, false)
	numbers := make([]uint32, len(p.Stamps))
	seqs := make(map[uint32]uint64, len(p.Stamps))
	for i, s := range p.Stamps {
		if s.Seq == 0 {
			return
		}
		numbers[i] = s.Group
		seqs[s.Group] = s.Seq
	}
	encoded := bytes.Clone(msg)
	groups := h.lockKnown(sorted(numbers))
	defer unlock(groups)
	passed := false
	for _, g := range groups {
		passed = h.arrived(g, p.Origin, born, seqs[g.number]-1, seqs[g.number]) || passed
	}
	if !passed {
		h.deliver(groups, encoded, p.Origin, p.Stamps)
	}
}

// arrived notes that an origin is at seq in a group, which is locked, and that
// all up to before should have been here by now; if not, it says so to the
// members. It reports whether the origin was as far already.
func (h *Hub) arrived(g *group, origin pushwire.Origin, born, before, seq uint64) (passed bool) {
	if len(g.members) == 0 {
		return false
	}
	at, known := g.remote[origin]
	if !known && len(g.remote) >= maxOrigins {
		return false // until others are forgotten
	}
	if !known && born > g.wanted {
		known = true // it began after somebody here listened
	}
	if known && seq <= at {
		return true
	}
	if known && at < before {
		lost := pushwire.Lost{Positions: []pushwire.Position{{Origin: origin, Group: g.number, Seq: before}}}
		if encoded, err := pushwire.Append(nil, lost); err == nil {
			for _, m := range g.members {
				m.missed(encoded, origin, g.number, before)
			}
		}
	}
	if g.remote == nil {
		g.remote = make(map[pushwire.Origin]uint64)
	}
	g.remote[origin] = seq
	return false
}

// Sent delivers a message to a user who may be here.
func (r receiver) Sent(user User, msg []byte) (receivers int) {
	f, ok := only[pushwire.Forward](msg)
	if !ok || (User{Name: f.To, Local: f.Local}) != user {
		return 0
	}
	here := r.hub.users.sessions(user)
	if len(here) == 0 {
		return 0
	}
	receivers, err := sendTo(here, f.Direct)
	if err != nil {
		return 0
	}
	return receivers
}

// Announced takes note of how far another server is, or of who came and went there.
func (r receiver) Announced(msg []byte) {
	h := r.hub
	if p, ok := only[pushwire.Presence](msg); ok {
		groups := h.lockKnown(sorted(p.Groups))
		defer unlock(groups)
		h.tellPresence(nil, groups, p)
		return
	}
	b, ok := only[pushwire.Beacon](msg)
	if !ok || b.Origin == h.origin {
		return
	}
	born := h.hear(b.Origin, len(b.Stamps) == 0)
	for _, s := range b.Stamps {
		for _, g := range h.lockKnown([]uint32{s.Group}) {
			h.arrived(g, b.Origin, born, s.Seq, s.Seq)
			g.mu.Unlock()
		}
	}
}

// Interrupted has the others told at once what they may have missed. What was
// missed here, their numbers say.
func (r receiver) Interrupted() {
	select {
	case r.hub.hurry <- struct{}{}:
	default:
	}
}

// only reads a message that is alone and of the type.
func only[M pushwire.Message](msg []byte) (m M, ok bool) {
	next, rest, err := pushwire.Next(msg)
	if err != nil || len(rest) > 0 {
		return m, false
	}
	m, ok = next.(M)
	return m, ok
}

// beacons tells the other servers now and then how far this one has come, so
// that they notice what did not reach them even if nothing follows. The first
// says that it begins.
func (v *Service) beacons() {
	tick := time.NewTicker(v.cfg.Limits.Beacon)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-v.hub.hurry:
		case <-tick.C:
		}
		v.hub.beacon()
		v.hub.forgetOrigins(time.Now())
	}
}

func (h *Hub) beacon() {
	var stamps []pushwire.Stamp
	for _, g := range *h.groups.Load() {
		g.mu.Lock()
		if g.seq > 0 {
			stamps = append(stamps, pushwire.Stamp{Group: g.number, Seq: g.seq})
		}
		g.mu.Unlock()
	}
	for chunk := range slices.Chunk(stamps, maxStamps) {
		h.announceBeacon(chunk)
	}
}

func (h *Hub) announceBeacon(stamps []pushwire.Stamp) {
	if encoded, err := pushwire.Append(nil, pushwire.Beacon{Origin: h.origin, Stamps: stamps}); err == nil {
		_ = h.bus.Announce(encoded) // the next one says it, too
	}
}

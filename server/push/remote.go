package push

import (
	"bytes"
	"sync"
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

const (
	// maxOrigins is how many other servers are told apart. Of more, those not heard
	// of for longest are forgotten, and what they missed to say is not noticed.
	maxOrigins = 256

	// silentAfter is how long a server may say nothing until members are told that
	// what it published last is not known; or four of this one's beacons, if
	// that is longer.
	silentAfter = 30 * time.Second

	// forgetAfter is how long a server that is silent is remembered. It is longer
	// than any fault that it comes back from.
	forgetAfter = time.Hour
)

// origins are the other servers.
type origins struct {
	mu    sync.Mutex
	known map[pushwire.Origin]*heard
}

// heard is what there is to know of another server.
type heard struct {
	last   time.Time
	ended  bool // it said that it ends: it comes no further
	silent bool // it said nothing for so long that members were told
}

// A progress is how far another server has come in a group.
type progress struct {
	seq   uint64
	since bool // it was heard since somebody here is in the group
}

// hear notes a sign of life of another server, and whether it begins or ends.
func (h *Hub) hear(origin pushwire.Origin, begins, ends bool) {
	h.origins.mu.Lock()
	defer h.origins.mu.Unlock()
	o := h.origins.known[origin]
	if o == nil {
		o = new(heard)
		if begins {
			h.hurryBeacon() // it is to know how far this one is
		}
		if len(h.origins.known) >= maxOrigins {
			h.forgetOldest()
		}
		h.origins.known[origin] = o
	}
	o.last, o.silent, o.ended = time.Now(), false, o.ended || ends
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

// tellSilent tells members of the servers that said nothing for long, and not that
// they end: what these published last to the group is not known.
func (h *Hub) tellSilent(now time.Time) {
	var silent []pushwire.Origin
	h.origins.mu.Lock()
	for origin, o := range h.origins.known {
		if !o.ended && !o.silent && now.Sub(o.last) > max(silentAfter, 4*h.cfg.Limits.Beacon) {
			o.silent = true
			silent = append(silent, origin)
		}
	}
	h.origins.mu.Unlock()
	if len(silent) == 0 {
		return
	}
	for _, g := range *h.groups.Load() {
		g.mu.Lock()
		var gaps []pushwire.Gap
		for _, origin := range silent {
			if at, known := g.remote[origin]; known {
				gaps = append(gaps, pushwire.Gap{Origin: origin, Group: g.number, After: at.seq, Seq: at.seq, Open: true})
			}
		}
		g.tellGaps(gaps)
		g.mu.Unlock()
	}
}

// tellGaps tells the members of a group, which is locked, what did not come here.
func (g *group) tellGaps(gaps []pushwire.Gap) {
	if len(gaps) == 0 || len(g.members) == 0 {
		return
	}
	if encoded, err := pushwire.Append(nil, pushwire.Lost{Gaps: gaps}); err == nil {
		for _, m := range g.members {
			m.missed(encoded, gaps)
		}
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
	h.hear(p.Origin, false, false)
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
		passed = h.arrived(g, p.Origin, seqs[g.number]-1, seqs[g.number]) || passed
	}
	if !passed {
		h.deliver(groups, encoded, p.Origin, p.Stamps)
	}
}

// arrived notes that an origin is at seq in a group, which is locked, and that
// all up to before should have been here by now; if not, it says so to the
// members. The first word of an origin since there are members is where the
// counting begins: they are told, unless it is a publication, which says so itself.
// It reports whether the origin was as far already, and the members have had it.
func (h *Hub) arrived(g *group, origin pushwire.Origin, before, seq uint64) (passed bool) {
	at, known := g.remote[origin]
	if !known && len(g.remote) >= maxOrigins {
		return false // until others are forgotten
	}
	listening := len(g.members) > 0
	if before < at.seq || at.since && seq == at.seq {
		return listening
	}
	if from := at.seq; listening {
		if !at.since {
			from = before
		}
		if from < before || !at.since && before == seq {
			g.tellGaps([]pushwire.Gap{{Origin: origin, Group: g.number, After: from, Seq: before}})
		}
	}
	if g.remote == nil {
		g.remote = make(map[pushwire.Origin]progress)
	}
	g.remote[origin] = progress{seq: seq, since: listening}
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
	h.hear(b.Origin, len(b.Stamps) == 0 && !b.Ends, b.Ends)
	for _, s := range b.Stamps {
		for _, g := range h.lockKnown([]uint32{s.Group}) {
			h.arrived(g, b.Origin, s.Seq, s.Seq)
			g.mu.Unlock()
		}
	}
}

// Interrupted has the others told at once what they may have missed. What was
// missed here, their numbers say.
func (r receiver) Interrupted() { r.hub.hurryBeacon() }

func (h *Hub) hurryBeacon() {
	select {
	case h.hurry <- struct{}{}:
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
		v.hub.beacon(false)
		now := time.Now()
		v.hub.tellSilent(now)
		v.hub.forgetOrigins(now)
	}
}

// beacon tells the other servers how far this one has come, and whether it ends.
func (h *Hub) beacon(ends bool) {
	var stamps []pushwire.Stamp
	for _, g := range *h.groups.Load() {
		g.mu.Lock()
		if g.present || g.seq > 0 {
			stamps = append(stamps, pushwire.Stamp{Group: g.number, Seq: g.seq})
		}
		g.mu.Unlock()
	}
	for len(stamps) > pushwire.MaxStamps {
		h.announceBeacon(stamps[:pushwire.MaxStamps], false)
		stamps = stamps[pushwire.MaxStamps:]
	}
	if len(stamps) > 0 || ends {
		h.announceBeacon(stamps, ends)
	}
}

func (h *Hub) announceBeacon(stamps []pushwire.Stamp, ends bool) {
	if encoded, err := pushwire.Append(nil, pushwire.Beacon{Origin: h.origin, Ends: ends, Stamps: stamps}); err == nil {
		_ = h.bus.Announce(encoded) // the next one says it, too
	}
}

package push

import (
	"sync"
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

const (
	// maxOrigins is how many other servers are told apart. Of more, those not heard
	// of for longest are forgotten, and what they missed to say is not noticed.
	maxOrigins = 256

	// silentAfter is how long a server may say nothing until members are told that
	// what it published last is not known.
	silentAfter = 30 * time.Second

	// beaconParts is how many beacons fit that at the least: two may be lost.
	beaconParts = 3

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
		if !o.ended && !o.silent && now.Sub(o.last) > silentAfter {
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

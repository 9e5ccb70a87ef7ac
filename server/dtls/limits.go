package dtls

import (
	"net/netip"
	"sync"
	"time"
)

// handshakes counts those that are under way, in all and by source prefix.
type handshakes struct {
	max, maxPerPrefix int

	mu       sync.Mutex
	total    int
	byPrefix map[netip.Prefix]int
}

// begin counts one more, unless there are too many, and says which limit that
// was.
func (h *handshakes) begin(from netip.Addr) (limit int, ok bool) {
	prefix := prefixOf(from)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.total >= h.max {
		return h.max, false
	}
	if h.byPrefix[prefix] >= h.maxPerPrefix {
		return h.maxPerPrefix, false
	}
	if h.byPrefix == nil {
		h.byPrefix = make(map[netip.Prefix]int)
	}
	h.total++
	h.byPrefix[prefix]++
	return 0, true
}

func (h *handshakes) end(from netip.Addr) {
	prefix := prefixOf(from)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.total--
	if h.byPrefix[prefix]--; h.byPrefix[prefix] == 0 {
		delete(h.byPrefix, prefix)
	}
}

// prefixOf is the part of an address that one party can be expected to have
// to itself.
func prefixOf(a netip.Addr) netip.Prefix {
	bits := 56
	if a.Is4() {
		bits = 24
	}
	p, _ := a.WithZone("").Prefix(bits) // bits fit
	return p
}

// A tally counts what a flood has many of, so that it is not a flood of events.
type tally struct {
	count    int
	reported time.Time
}

// add counts one and gives the number to report now, 0 for none: those since
// the last report, once a second at most.
func (t *tally) add(now time.Time) (report int) {
	t.count++
	if now.Sub(t.reported) < time.Second {
		return 0
	}
	report, t.count, t.reported = t.count, 0, now
	return report
}

package dtls

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// handshakes knows those that are under way, in all and by source prefix. Nobody
// is refused for their number: who holds a place and is silent would keep it from
// others. Where there is no room, a newcomer takes the place of another
//
//   - of its own prefix, the oldest one, if that has as many as one prefix may
//     have, or as many as any prefix has;
//   - otherwise of the prefix that has the most, again the oldest one; of
//     several such prefixes, the one that has had so many the longest.
//
// So no prefix loses a place to one that has as many: a flood of few prefixes
// pushes out itself.
type handshakes struct {
	max, maxPerPrefix int

	mu       sync.Mutex
	total    int
	byPrefix map[netip.Prefix]*source
	ranks    []*list.List // at n the sources with n handshakes, the first to have so many first
	most     int          // handshakes that any source has
}

// A source is a prefix that has handshakes under way.
type source struct {
	prefix netip.Prefix
	places list.List     // of *place, the oldest first
	rank   *list.Element // in ranks
}

// A place is one handshake's. It is its until end is called or another takes it.
type place struct {
	displaced func() // has the handshake leave; another has taken the place

	of      *source
	element *list.Element // in of.places; nil: not this one's, or not any more. Of handshakes.mu
}

// begin gives a place to a handshake. The one that it took the place of, if
// any, and the limit because of which it did, are given; the caller has to call
// its displaced.
func (h *handshakes) begin(from netip.Addr, p *place) (gone *place, limit int) {
	prefix := prefixOf(from)
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.byPrefix[prefix]
	if s == nil {
		s = &source{prefix: prefix}
	}
	switch own := s.places.Len(); {
	case own >= h.maxPerPrefix:
		gone, limit = s.oldest(), h.maxPerPrefix
	case h.total < h.max:
	case own == h.most:
		gone, limit = s.oldest(), h.max
	default:
		gone, limit = h.ranks[h.most].Front().Value.(*source).oldest(), h.max
	}
	if gone != nil {
		h.remove(gone)
	}
	p.of, p.element = s, s.places.PushBack(p)
	h.total++
	h.rerank(s, s.places.Len()-1)
	return gone, limit
}

// end frees a place, if it is the handshake's still.
func (h *handshakes) end(p *place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.element != nil {
		h.remove(p)
	}
}

func (s *source) oldest() *place { return s.places.Front().Value.(*place) }

func (h *handshakes) remove(p *place) {
	p.of.places.Remove(p.element)
	p.element = nil
	h.total--
	h.rerank(p.of, p.of.places.Len()+1)
}

// rerank puts a source where it belongs that has one handshake more or less than
// before.
func (h *handshakes) rerank(s *source, before int) {
	if before > 0 {
		h.ranks[before].Remove(s.rank)
	}
	n := s.places.Len()
	if n == 0 {
		delete(h.byPrefix, s.prefix)
	} else {
		if h.byPrefix == nil {
			h.byPrefix = make(map[netip.Prefix]*source)
		}
		h.byPrefix[s.prefix] = s
		for len(h.ranks) <= n {
			h.ranks = append(h.ranks, list.New())
		}
		s.rank = h.ranks[n].PushBack(s)
	}
	if h.most = max(h.most, n); h.ranks[h.most].Len() == 0 {
		h.most-- // it was this one, and has one less
	}
}

// prefixOf is the part of an address that one party can have to itself, all of
// it, and for nothing: of IPv4 a /24, of IPv6 a /48, which a site is given (RFC
// 6177) and which tunnel brokers give to anybody. Both are the longest prefixes
// that are routed in the Internet. Were IPv6 counted by /56 or /64, one such party
// would pass for 256 or 65,536. Who shares a prefix with a flood shares its
// places with it.
func prefixOf(a netip.Addr) netip.Prefix {
	bits := 48
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

package push

import (
	"fmt"

	"github.com/countersign-go/countersign/token/pushwire"
)

// maxPositions is how many positions, and how many groups, are remembered: a
// thousand groups with sixty servers. A server that makes up more is cut off.
const maxPositions = 1 << 16

// A tracker knows how far every origin has come in every group, as far as the
// client was told. It belongs to the goroutine that reads.
type tracker struct {
	groups    map[uint32]*course
	positions int // in all of them
}

// A course is what is known of a group that the client is in, or was when the
// connection went.
type course struct {
	live   bool // subscribed to by this connection
	joined bool // it was the server that subscribed the client
	marks  map[pushwire.Origin]*mark
}

// A mark is how far an origin has come in a group.
type mark struct {
	seq uint64

	// atLeast says that it may have been further when the client subscribed: the
	// server could not know, and the next word of the origin says where the
	// counting begins.
	atLeast bool

	// gone says that what it published last is not known, and that this was told: the
	// server said so, or did not list it, and nothing came since.
	gone bool
}

func (t *tracker) live(group uint32) bool {
	c := t.groups[group]
	return c != nil && c.live
}

// publication says whether a publication was not seen before, and what is
// missing before it.
func (t *tracker) publication(m *pushwire.Publication) (fresh bool, missing Loss, err error) {
	var lost tally
	for _, stamp := range m.Stamps {
		c := t.groups[stamp.Group]
		if c == nil || !c.live {
			continue // it is in others' groups, too
		}
		k, known, err := t.mark(c, m.Origin)
		if err != nil {
			return false, Loss{}, err
		}
		if known && stamp.Seq <= k.seq {
			continue
		}
		fresh = true
		// What an origin that is new here published before was before the subscription,
		// or the server has said so.
		if known && !k.atLeast {
			lost.add(m.Origin, stamp.Group, stamp.Seq-k.seq-1)
		}
		k.seq, k.atLeast = stamp.Seq, false
	}
	return fresh, lost.loss(), nil
}

// lost gives what a Lost message says.
func (t *tracker) lost(m *pushwire.Lost) (Loss, error) {
	var lost tally
	unknown := false
	for _, gap := range m.Gaps {
		c := t.groups[gap.Group]
		if c == nil || !c.live {
			continue // left meanwhile
		}
		k, known, err := t.mark(c, gap.Origin)
		if err != nil {
			return Loss{}, err
		}
		if !known || k.atLeast {
			k.seq, k.atLeast = max(k.seq, gap.After), false
		}
		if gap.Seq > k.seq {
			lost.add(gap.Origin, gap.Group, gap.Seq-k.seq)
			k.seq = gap.Seq
		}
		k.gone = gap.Open
		unknown = unknown || gap.Open
	}
	l := lost.loss()
	l.Unknown = unknown
	l.Count = max(sum(l.Count, uint64(m.Directs)), uint64(m.Count))
	l.Directs = uint64(m.Directs)
	return l, nil
}

// subscribed begins with groups that the connection is subscribed to from the
// positions on, and gives what was missed of those that an earlier connection
// was subscribed to. The groups it is subscribed to already go on as they are:
// their numbers tell all. An origin that the earlier connection had nothing of began
// since then: its server had told of the others.
func (t *tracker) subscribed(groups []uint32, positions []pushwire.Position, joined bool) (Loss, error) {
	fresh := make(map[uint32]*course)
	known := make(map[uint32]bool) // from an earlier connection
	for _, g := range groups {
		c := t.groups[g]
		if c != nil && c.live {
			continue
		}
		if c == nil {
			if len(t.groups) >= maxPositions {
				return Loss{}, fmt.Errorf("more than %d groups", maxPositions)
			}
			c = &course{marks: make(map[pushwire.Origin]*mark)}
			if t.groups == nil {
				t.groups = make(map[uint32]*course)
			}
			t.groups[g] = c
		} else {
			known[g] = true
		}
		c.live, c.joined = true, joined
		fresh[g] = c
	}
	var lost tally
	unknown := false
	listed := make(map[*mark]bool)
	for _, p := range positions {
		c := fresh[p.Group]
		if c == nil {
			continue
		}
		k, _, err := t.mark(c, p.Origin)
		if err != nil {
			return Loss{}, err
		}
		listed[k] = true
		switch {
		case !known[p.Group]:
			k.atLeast = p.AtLeast
		case k.atLeast: // which of what is between was before the first subscription?
			unknown = unknown || p.Seq > k.seq || p.AtLeast
			k.atLeast = p.AtLeast
		case p.Seq > k.seq:
			lost.add(p.Origin, p.Group, p.Seq-k.seq)
		}
		k.seq = max(k.seq, p.Seq) // a server that is behind has yet to hear of it: it comes again
	}
	for g := range known {
		unknown = t.forgetGone(fresh[g], listed) || unknown
	}
	l := lost.loss()
	l.Unknown = unknown
	return l, nil
}

// forgetGone notes which origins a group no longer lists, and whether there are
// any new ones among them. Those of which that was told before are forgotten.
func (t *tracker) forgetGone(c *course, listed map[*mark]bool) (unknown bool) {
	for origin, k := range c.marks {
		switch {
		case listed[k]:
		case k.gone:
			delete(c.marks, origin)
			t.positions--
		default:
			k.gone = true
			unknown = true
		}
	}
	return unknown
}

// left forgets groups that the client is no longer in.
func (t *tracker) left(groups []uint32) {
	for _, g := range groups {
		if c := t.groups[g]; c != nil {
			t.positions -= len(c.marks)
			delete(t.groups, g)
		}
	}
}

// suspend ends the connection's subscriptions. What is known is kept of those
// that are wanted again, and of those that the server may make again.
func (t *tracker) suspend(wanted func(group uint32) bool) {
	for g, c := range t.groups {
		c.live = false
		if !c.joined && !wanted(g) {
			t.left([]uint32{g})
		}
	}
}

// mark gives the mark of an origin in a course, a new one if it was not known.
func (t *tracker) mark(c *course, origin pushwire.Origin) (k *mark, known bool, err error) {
	if k := c.marks[origin]; k != nil {
		k.gone = false
		return k, true, nil
	}
	if t.positions >= maxPositions {
		return nil, false, fmt.Errorf("more than %d positions", maxPositions)
	}
	k = new(mark)
	c.marks[origin] = k
	t.positions++
	return k, false, nil
}

// A tally counts publications that did not come.
type tally struct {
	groups  map[uint32]uint64
	origins map[pushwire.Origin]uint64 // of the group with the most
}

func (t *tally) add(origin pushwire.Origin, group uint32, n uint64) {
	if n == 0 {
		return
	}
	if t.groups == nil {
		t.groups = make(map[uint32]uint64)
		t.origins = make(map[pushwire.Origin]uint64)
	}
	t.groups[group] = sum(t.groups[group], n)
	t.origins[origin] = max(t.origins[origin], n)
}

func (t *tally) loss() Loss {
	l := Loss{Groups: t.groups}
	for _, n := range t.origins {
		l.Count = sum(l.Count, n)
	}
	return l
}

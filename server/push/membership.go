package push

import (
	"fmt"
	"slices"

	"github.com/countersign-go/countersign/token/pushwire"
)

// subscribe has a member be in groups, of numbers in order, and queues the answer
// in the same moment: what is published afterwards follows it, and nothing
// published before does. result says that the answer is that of a request.
func (h *Hub) subscribe(m *Member, groups []uint32, result bool, answer func([]pushwire.Position) pushwire.Message) error {
	for {
		epoch := h.epoch.Load()
		if err := h.may(m.principal, groups, pushwire.Read); err != nil {
			return err
		}
		locked, err := h.lock(groups)
		if err != nil {
			return err
		}
		if h.epoch.Load() == epoch {
			defer unlock(locked)
			return h.enter(m, locked, result, answer)
		}
		unlock(locked)
	}
}

// enter is subscribe for groups that are locked.
func (h *Hub) enter(m *Member, groups []*group, result bool, answer func([]pushwire.Position) pushwire.Message) error {
	encoded, err := pushwire.Append(nil, answer(h.positions(groups)))
	if err != nil {
		return err
	}
	fresh, err := m.enter(groups, h.cfg.Limits.Groups, item{data: encoded, result: result})
	if err != nil {
		return err
	}
	for _, g := range fresh {
		g.add(m)
		if len(g.members) == 1 {
			h.interest(g, true)
		}
	}
	h.present(m, true, fresh)
	return nil
}

// enter puts groups to those that the member is in, queues the answer, and gives
// the groups that it was not in before.
func (m *Member) enter(groups []*group, limit int, answer item) (fresh []*group, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return nil, errGone
	}
	for _, g := range groups {
		if _, in := slices.BinarySearch(m.groups, g.number); !in {
			fresh = append(fresh, g)
		}
	}
	if len(m.groups)+len(fresh) > limit {
		return nil, &Error{Status: pushwire.TooMany, Why: fmt.Sprintf("a client is in %d groups at the most", limit)}
	}
	for _, g := range fresh {
		i, _ := slices.BinarySearch(m.groups, g.number)
		m.groups = slices.Insert(m.groups, i, g.number)
	}
	m.tellLost() // its positions must not come after newer ones
	m.control(answer)
	return fresh, nil
}

// positions tells how far every server has come in groups, which are locked;
// this one first. A server that fell silent is not among them: what it published
// last is not known. Of more than a message can tell of, the client has to take it so.
func (h *Hub) positions(groups []*group) []pushwire.Position {
	var positions []pushwire.Position
	for _, g := range groups {
		positions = append(positions, pushwire.Position{Origin: h.origin, Group: g.number, Seq: g.seq})
	}
	h.origins.mu.Lock()
	defer h.origins.mu.Unlock()
	for _, g := range groups {
		for origin, at := range g.remote {
			if o := h.origins.known[origin]; o != nil && !o.silent {
				positions = append(positions, pushwire.Position{Origin: origin, Group: g.number, Seq: at.seq, AtLeast: !at.since && !o.ended})
			}
		}
	}
	return positions[:min(len(positions), pushwire.MaxPositions)]
}

// leave has a member be in groups no longer. They are locked, and are unlocked.
// answer, which may be nil, gets those it was in, and gives what to tell the
// member in the same moment, nil for nothing.
func (h *Hub) leave(m *Member, groups []*group, result bool, answer func(left []uint32) pushwire.Message) {
	defer unlock(groups)
	var left []*group
	var numbers []uint32
	m.mu.Lock()
	for _, g := range groups {
		if m.forget(g.number) {
			left = append(left, g)
			numbers = append(numbers, g.number)
		}
	}
	if answer != nil {
		if msg := answer(numbers); msg != nil {
			if encoded, err := pushwire.Append(nil, msg); err == nil {
				m.control(item{data: encoded, result: result})
			}
		}
	}
	m.mu.Unlock()
	for _, g := range left {
		g.remove(m)
		if len(g.members) == 0 {
			h.interest(g, false)
		}
	}
	h.present(m, false, left)
}

// forget takes a group from those that the member is in. The caller holds m.mu.
func (m *Member) forget(number uint32) (was bool) {
	i, in := slices.BinarySearch(m.groups, number)
	if in {
		m.groups = slices.Delete(m.groups, i, i+1)
	}
	return in
}

// interest tells other servers that a group, which is locked, has members now, or
// none any more. How far the others come meanwhile, their beacons say.
func (h *Hub) interest(g *group, wanted bool) {
	for origin, at := range g.remote {
		g.remote[origin] = progress{seq: at.seq}
	}
	if h.bus != nil {
		_ = h.bus.WantGroup(g.number, wanted) // what does not come from there is noticed by its numbers
	}
}

package push

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/countersign-go/countersign/token/pushwire"
)

// A Group is what clients subscribe and publish to.
type Group struct {
	Number uint32
	Name   string
}

// A group is a Group with its members. It is never forgotten, as its count goes
// on when it is removed and comes back.
type group struct {
	number uint32

	mu       sync.Mutex
	name     string
	present  bool
	seq      uint64 // of the last publication here
	members  []*Member
	index    map[*Member]int              // in members
	watchers int                          // members who want to know of others
	remote   map[pushwire.Origin]progress // how far others have come, of maxOrigins
}

func (g *group) add(m *Member) {
	g.index[m] = len(g.members)
	g.members = append(g.members, m)
	if m.presence {
		g.watchers++
	}
}

func (g *group) remove(m *Member) {
	i, ok := g.index[m]
	if !ok {
		return
	}
	last := len(g.members) - 1
	moved := g.members[last]
	g.members[i], g.index[moved] = moved, i
	g.members[last] = nil
	g.members = g.members[:last]
	delete(g.index, m)
	if m.presence {
		g.watchers--
	}
}

// sorted gives group numbers in order, each once.
func sorted(groups []uint32) []uint32 {
	for i := 1; i < len(groups); i++ {
		if groups[i-1] >= groups[i] {
			groups = slices.Clone(groups)
			slices.Sort(groups)
			return slices.Compact(groups)
		}
	}
	return groups
}

// lock locks groups, of numbers in order, and gives them; or none if one does not exist.
// All who hold several groups lock them in this order.
func (h *Hub) lock(numbers []uint32) ([]*group, error) {
	known := *h.groups.Load()
	locked := make([]*group, 0, len(numbers))
	for _, n := range numbers {
		g := known[n]
		if g != nil {
			g.mu.Lock()
			locked = append(locked, g)
		}
		if g == nil || !g.present {
			unlock(locked)
			return nil, &Error{Status: pushwire.NoGroup, Why: fmt.Sprintf("there is no group %d", n)}
		}
	}
	return locked, nil
}

// lockKnown is lock for those of the groups that there ever were.
func (h *Hub) lockKnown(numbers []uint32) []*group {
	known := *h.groups.Load()
	locked := make([]*group, 0, len(numbers))
	for _, n := range numbers {
		if g := known[n]; g != nil {
			g.mu.Lock()
			locked = append(locked, g)
		}
	}
	return locked
}

func unlock(groups []*group) {
	for _, g := range groups {
		g.mu.Unlock()
	}
}

// maxGroupList is the longest list of groups that one message tells, in octets:
// what the length of a list can say.
const maxGroupList = 1<<16 - 1

func checkGroups(groups []Group) error {
	size := 0
	numbers := make(map[uint32]bool, len(groups))
	for _, g := range groups {
		if numbers[g.Number] {
			return fmt.Errorf("push: group %d twice", g.Number)
		}
		numbers[g.Number] = true
		if len(g.Name) > pushwire.MaxText {
			return fmt.Errorf("push: the name of group %d has %d octets, at most %d are allowed", g.Number, len(g.Name), pushwire.MaxText)
		}
		size += 4 + 1 + 2 + len(g.Name)
	}
	if size > maxGroupList {
		return errors.New("push: more groups than one message can tell a client of")
	}
	return nil
}

// SetGroups replaces all groups. Clients are told, and those in groups that are
// there no longer are not in them any more. It fails, with nothing changed, for a
// number that comes twice, a name longer than pushwire.MaxText, and for more
// than a message can tell of, which are about 2,000 with names of 25 letters.
func (h *Hub) SetGroups(groups []Group) error {
	if err := checkGroups(groups); err != nil {
		return err
	}
	h.setting.Lock()
	defer h.setting.Unlock()
	known := make(map[uint32]*group)
	removed := make(map[uint32]*group)
	for n, g := range *h.groups.Load() {
		known[n], removed[n] = g, g
	}
	for _, as := range groups {
		delete(removed, as.Number)
		g := known[as.Number]
		if g == nil {
			g = &group{number: as.Number, index: make(map[*Member]int)}
			known[as.Number] = g
		}
		g.mu.Lock()
		g.name, g.present = as.Name, true
		g.mu.Unlock()
	}
	h.groups.Store(&known)
	for _, g := range removed {
		h.dissolve(g)
	}
	h.epoch.Add(1)
	if h.bus != nil {
		h.beacon(false) // where the counting begins in new groups
	}
	for _, m := range h.everybody() {
		m.groupsChanged()
	}
	return nil
}

// dissolve removes a group and all who are in it.
func (h *Hub) dissolve(g *group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.present {
		return
	}
	g.present = false
	if len(g.members) == 0 {
		return
	}
	notice, err := pushwire.Append(nil, pushwire.Removed{Groups: []uint32{g.number}})
	for _, m := range slices.Clone(g.members) {
		m.mu.Lock()
		m.forget(g.number)
		if err == nil {
			m.control(item{data: notice})
		}
		m.mu.Unlock()
		g.remove(m)
	}
	h.interest(g, false)
}

// Groups gives all groups, by number.
func (h *Hub) Groups() []Group {
	known := *h.groups.Load()
	groups := make([]Group, 0, len(known))
	for _, g := range known {
		g.mu.Lock()
		if g.present {
			groups = append(groups, Group{g.number, g.name})
		}
		g.mu.Unlock()
	}
	slices.SortFunc(groups, func(a, b Group) int { return int(int64(a.Number) - int64(b.Number)) })
	return groups
}

// groupsFor gives the groups that a principal has any right to.
func (h *Hub) groupsFor(principal string) []pushwire.Group {
	var groups []pushwire.Group
	for _, g := range h.Groups() {
		var rights pushwire.Right
		for _, right := range []pushwire.Right{pushwire.Read, pushwire.Publish} {
			if h.allowed(principal, g.Number, right) {
				rights |= right
			}
		}
		if rights != 0 {
			groups = append(groups, pushwire.Group{Number: g.Number, Rights: rights, Name: g.Name})
		}
	}
	return groups
}

package push

import (
	"encoding/binary"
	"slices"

	"github.com/countersign-go/countersign/token/pushwire"
)

// present tells those in groups, which are locked, that a member came or went.
func (h *Hub) present(m *Member, entered bool, groups []*group) {
	if len(groups) == 0 {
		return
	}
	h.tellPresence(m, groups, pushwire.Presence{Entered: entered, Who: m.principal})
	if h.bus == nil {
		return
	}
	numbers := make([]uint32, len(groups))
	for i, g := range groups {
		numbers[i] = g.number
	}
	for chunk := range slices.Chunk(numbers, pushwire.MaxGroups) {
		if encoded, err := pushwire.Append(nil, pushwire.Presence{Entered: entered, Who: m.principal, Groups: chunk}); err == nil {
			_ = h.bus.Announce(encoded) // presence is no promise
		}
	}
}

// tellPresence queues a presence for all who want to know, each with those of
// the groups that it is in, but for who it is.
func (h *Hub) tellPresence(who *Member, groups []*group, p pushwire.Presence) {
	told := make(map[*Member][]uint32)
	for _, g := range groups {
		if g.watchers == 0 {
			continue
		}
		for _, m := range g.members {
			if m.presence && m != who {
				told[m] = append(told[m], g.number)
			}
		}
	}
	encodings := make(map[string][]byte) // by groups: as a rule there is one
	for m, numbers := range told {
		var key []byte
		for _, n := range numbers {
			key = binary.BigEndian.AppendUint32(key, n)
		}
		encoded := encodings[string(key)]
		if encoded == nil {
			p.Groups = numbers[:min(len(numbers), pushwire.MaxGroups)]
			var err error
			if encoded, err = pushwire.Append(nil, p); err != nil {
				return
			}
			encodings[string(key)] = encoded
		}
		m.inform(encoded)
	}
}

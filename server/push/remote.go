package push

import (
	"bytes"

	"github.com/countersign-go/countersign/token/pushwire"
)

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

// Sent delivers a message to a user who may be here.
func (r receiver) Sent(user User, msg []byte) (receivers int, err error) {
	f, ok := only[pushwire.Forward](msg)
	if !ok || (User{Name: f.To, Local: f.Local}) != user {
		return 0, ErrNobody
	}
	here := r.hub.users.sessions(user)
	if len(here) == 0 {
		return 0, ErrNobody
	}
	return sendTo(here, f.Direct)
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

// only reads a message that is alone and of the type.
func only[M pushwire.Message](msg []byte) (m M, ok bool) {
	next, rest, err := pushwire.Next(msg)
	if err != nil || len(rest) > 0 {
		return m, false
	}
	m, ok = next.(M)
	return m, ok
}

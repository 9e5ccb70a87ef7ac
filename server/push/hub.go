package push

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

// A Hub knows the groups, who is in them, and the sessions of every user. Its
// methods may be called by many goroutines.
//
// Locks are taken in this order: setting, groups by number, one member. Under
// users nothing else is taken.
type Hub struct {
	cfg    *Config
	bus    Bus // nil: alone
	origin pushwire.Origin

	setting sync.Mutex // SetGroups
	groups  atomic.Pointer[map[uint32]*group]
	epoch   atomic.Uint64 // of groups and policy: whoever decided by an older one decides again
	hurry   chan struct{} // asks for a beacon now

	origins origins
	users   users
}

// An Error says why something was not done.
type Error struct {
	Status pushwire.Status
	Why    string // empty: the status says all
}

func (e *Error) Error() string {
	if e.Why == "" {
		return "push: " + e.Status.String()
	}
	return "push: " + e.Why
}

func newHub(cfg *Config) *Hub {
	h := &Hub{cfg: cfg, bus: cfg.Bus, hurry: make(chan struct{}, 1)}
	_, _ = rand.Read(h.origin[:]) // does not fail
	h.groups.Store(&map[uint32]*group{})
	h.origins.known = make(map[pushwire.Origin]*heard)
	h.users.byName = make(map[User]*user)
	return h
}

func (h *Hub) allowed(principal string, group uint32, right pushwire.Right) bool {
	return h.cfg.Allowed == nil || h.cfg.Allowed(principal, group, right)
}

// may gives an error if the principal lacks the right to one of the groups.
func (h *Hub) may(principal string, groups []uint32, right pushwire.Right) error {
	for _, g := range groups {
		if !h.allowed(principal, g, right) {
			doing := "publish to"
			if right == pushwire.Read {
				doing = "subscribe to"
			}
			return &Error{Status: pushwire.Forbidden, Why: fmt.Sprintf("not allowed to %s group %d", doing, g)}
		}
	}
	return nil
}

// check gives an error if the principal lacks the right, 0 for none, to one of
// the groups, or one does not exist.
func (h *Hub) check(principal string, groups []uint32, right pushwire.Right) error {
	if right != 0 {
		if err := h.may(principal, groups, right); err != nil {
			return err
		}
	}
	locked, err := h.lock(groups)
	unlock(locked)
	return err
}

// Publish publishes data to groups, as the server: From is empty. It gives the
// number of sessions here that it was queued for. The policy is not asked. The
// error is an [*Error]; with [pushwire.Unreached] who is here got it.
func (h *Hub) Publish(_ context.Context, data []byte, groups ...uint32) (receivers int, err error) {
	return h.publish("", sorted(groups), data)
}

func (h *Hub) publish(from string, groups []uint32, data []byte) (receivers int, err error) {
	switch {
	case len(data) > h.cfg.Limits.MaxData:
		return 0, tooLong(h.cfg.Limits.MaxData)
	case len(groups) == 0 || len(groups) > pushwire.MaxGroups:
		return 0, &Error{Status: pushwire.NoGroup, Why: fmt.Sprintf("a message to %d groups", len(groups))}
	}
	stamps := make([]pushwire.Stamp, len(groups))
	room := make([]byte, 0, 32+len(from)+12*len(stamps)+len(data))
	locked, err := h.lock(groups)
	if err != nil {
		return 0, err
	}
	defer unlock(locked)
	for i, g := range locked {
		stamps[i] = pushwire.Stamp{Group: g.number, Seq: g.seq + 1}
	}
	p := pushwire.Publication{Origin: h.origin, Time: time.Now(), From: from, Stamps: stamps, Data: data}
	encoded, err := pushwire.Append(room, p)
	if err != nil {
		return 0, err
	}
	for _, g := range locked {
		g.seq++
	}
	receivers = h.deliver(locked, encoded, h.origin, stamps)
	if h.bus != nil {
		if err := h.bus.Publish(groups, encoded); err != nil {
			return receivers, &Error{Status: pushwire.Unreached}
		}
	}
	return receivers, nil
}

func tooLong(limit int) error {
	return &Error{Status: pushwire.TooLong, Why: fmt.Sprintf("messages have at most %d octets", limit)}
}

// deliver queues a publication for every member of groups, which are locked,
// once, and gives their number.
func (h *Hub) deliver(groups []*group, encoded []byte, origin pushwire.Origin, stamps []pushwire.Stamp) (receivers int) {
	for i, g := range groups {
		for _, m := range g.members {
			if i > 0 && slices.ContainsFunc(groups[:i], func(before *group) bool { _, in := before.index[m]; return in }) {
				continue
			}
			if m.push(encoded, origin, stamps) {
				receivers++
			}
		}
	}
	return receivers
}

// Send sends data to all sessions of a user, a principal or a local name, as the
// server: From is empty. It gives the number of sessions that it was queued for, as far
// as is known: those here, and those of the other server that answered first. The
// error is an [*Error]; with [pushwire.Unreached] who is here got it.
func (h *Hub) Send(ctx context.Context, to string, data []byte) (receivers int, err error) {
	return h.send(ctx, "", to, data)
}

func (h *Hub) send(ctx context.Context, from, to string, data []byte) (receivers int, err error) {
	switch {
	case len(data) > h.cfg.Limits.MaxData:
		return 0, tooLong(h.cfg.Limits.MaxData)
	case len(to) > pushwire.MaxName:
		return 0, &Error{Status: pushwire.Absent}
	}
	who := userOf(to)
	direct := pushwire.Direct{Time: time.Now(), From: from, Data: data}
	here := h.users.sessions(who)
	if receivers, err = sendTo(here, direct); err != nil {
		return 0, err
	}
	elsewhere, err := h.forward(ctx, who, direct)
	switch {
	case errors.Is(err, ErrNobody) && len(here) == 0:
		return 0, &Error{Status: pushwire.Absent}
	case err != nil && !errors.Is(err, ErrNobody):
		return receivers, &Error{Status: pushwire.Unreached}
	}
	return receivers + elsewhere, nil
}

// forward sends a message to a user's sessions on other servers.
func (h *Hub) forward(ctx context.Context, who User, direct pushwire.Direct) (receivers int, err error) {
	if h.bus == nil {
		return 0, ErrNobody
	}
	encoded, err := pushwire.Append(nil, pushwire.Forward{Local: who.Local, To: who.Name, Direct: direct})
	if err != nil {
		return 0, err
	}
	return h.bus.Send(ctx, who, encoded)
}

func sendTo(members []*Member, direct pushwire.Direct) (receivers int, err error) {
	encoded, err := pushwire.Append(nil, direct)
	if err != nil {
		return 0, err
	}
	for _, m := range members {
		if m.direct(encoded) {
			receivers++
		}
	}
	return receivers, nil
}

// userOf tells a principal, with an @ that is not escaped, from a local name.
func userOf(name string) User {
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '@':
			return User{Name: name}
		}
	}
	return User{Name: name, Local: true}
}

// Recheck asks the policy again, which has changed: who may not read a group any
// more is no longer in it, and all are told what they may do now.
func (h *Hub) Recheck() {
	h.epoch.Add(1)
	for _, m := range h.everybody() {
		h.recheck(m)
	}
}

// recheck has a member leave the groups that it may not read any more, and be told
// what the groups are for it now.
func (h *Hub) recheck(m *Member) {
	var lost []uint32
	for _, g := range m.Groups() {
		if !h.allowed(m.principal, g, pushwire.Read) {
			lost = append(lost, g)
		}
	}
	if len(lost) > 0 {
		h.leave(m, h.lockKnown(lost), false, func(left []uint32) pushwire.Message {
			if len(left) == 0 {
				return nil // it had left already
			}
			return pushwire.Removed{Groups: left}
		})
	}
	m.groupsChanged()
}

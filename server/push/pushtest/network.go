package pushtest

import (
	"context"
	"sync"

	"github.com/countersign-go/countersign/server/push"
)

// A Network joins the buses that it makes, in memory.
type Network struct {
	mu    sync.Mutex
	buses []*bus
}

// NewBus gives a bus of the network.
func (n *Network) NewBus() push.Bus {
	b := &bus{network: n, groups: make(map[uint32]bool), users: make(map[push.User]bool), come: make(chan func(push.Receiver), 1<<16), done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.buses = append(n.buses, b)
	return b
}

type bus struct {
	network *Network

	mu     sync.Mutex
	groups map[uint32]bool
	users  map[push.User]bool
	joined bool
	closed bool

	come chan func(push.Receiver)
	done chan struct{} // closed when nothing is received any more
}

func (b *bus) Join(receive push.Receiver) error {
	b.mu.Lock()
	b.joined = true
	b.mu.Unlock()
	go func() {
		defer close(b.done)
		for f := range b.come {
			f(receive)
		}
	}()
	return nil
}

// give has a bus receive something, in order.
func (b *bus) give(wanted func() bool, f func(push.Receiver)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.joined || b.closed || !wanted() {
		return false
	}
	b.come <- f
	return true
}

// others gives all buses but this.
func (b *bus) others() []*bus {
	b.network.mu.Lock()
	defer b.network.mu.Unlock()
	var others []*bus
	for _, o := range b.network.buses {
		if o != b {
			others = append(others, o)
		}
	}
	return others
}

func (b *bus) WantGroup(group uint32, wanted bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.groups[group] = wanted
	return nil
}

func (b *bus) WantUser(user push.User, wanted bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.users[user] = true; !wanted {
		delete(b.users, user)
	}
	return nil
}

func (b *bus) Publish(groups []uint32, msg []byte) error {
	for _, o := range b.others() {
		o.give(func() bool {
			for _, g := range groups {
				if o.groups[g] {
					return true
				}
			}
			return false
		}, func(r push.Receiver) { r.Published(msg) })
	}
	return nil
}

func (b *bus) Send(ctx context.Context, user push.User, msg []byte) (receivers int, err error) {
	others := b.others()
	type answer struct {
		receivers int
		err       error
	}
	answers := make(chan answer, len(others))
	asked := 0
	for _, o := range others {
		if o.give(func() bool { return o.users[user] }, func(r push.Receiver) {
			n, err := r.Sent(user, msg)
			answers <- answer{n, err}
		}) {
			asked++
		}
	}
	for range asked {
		select {
		case a := <-answers:
			if a.err == nil {
				return a.receivers, nil
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return 0, push.ErrNobody
}

func (b *bus) Announce(msg []byte) error {
	for _, o := range b.others() {
		o.give(func() bool { return true }, func(r push.Receiver) { r.Announced(msg) })
	}
	return nil
}

func (b *bus) Close() error {
	b.mu.Lock()
	joined := b.joined && !b.closed
	if !b.closed {
		b.closed = true
		close(b.come)
	}
	b.mu.Unlock()
	if joined {
		<-b.done
	}
	return nil
}

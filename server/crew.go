package server

import "sync"

// maxIdleCrew is how many goroutines wait for work at most. Those of a crowd that
// left end, or their stacks would be kept for nothing.
const maxIdleCrew = 64

// A crew is goroutines that take turns at the listeners: who leads one accepts a
// connection, leaves the lead to another and serves the connection. A goroutine
// that has served waits to lead again: a new one would have to grow its stack for
// every session, since the handshake needs more than it begins with, which was a
// twentieth of the time that a short session takes.
type crew struct {
	lead func(*front)
	next chan *front // taken by those who wait
	over chan struct{}
	all  sync.WaitGroup

	mu   sync.Mutex
	idle int // how many wait, or are about to
}

func newCrew(lead func(*front)) *crew {
	return &crew{lead: lead, next: make(chan *front), over: make(chan struct{})}
}

// take has the listener led, by one who waits or else by a new one. It does not
// wait for either.
func (c *crew) take(f *front) {
	select {
	case c.next <- f:
	default:
		c.all.Go(func() { c.work(f) })
	}
}

func (c *crew) work(f *front) {
	for f != nil {
		c.lead(f)
		if !c.rest() {
			return
		}
		select {
		case f = <-c.next:
		case <-c.over:
			f = nil
		}
		c.mu.Lock()
		c.idle--
		c.mu.Unlock()
	}
}

func (c *crew) rest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle == maxIdleCrew {
		return false
	}
	c.idle++
	return true
}

// dismiss waits until nobody leads or serves any more. Nobody waits from then on.
func (c *crew) dismiss() {
	close(c.over)
	c.all.Wait()
}

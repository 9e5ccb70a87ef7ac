package server

import "sync"

// maxIdleCrew is how many goroutines wait for sessions at most. Those of a
// crowd that left end, or their stacks would be kept for nothing.
const maxIdleCrew = 64

// A crew is goroutines that serve one session after the other. A new one would
// have to grow its stack for every session: the handshake needs more than it
// begins with, which was a twentieth of the time that a short session takes.
type crew struct {
	serve func(*Session)
	next  chan *Session // taken by those who wait
	all   sync.WaitGroup

	mu   sync.Mutex
	idle int // how many wait, or are about to
}

func newCrew(serve func(*Session)) *crew {
	return &crew{serve: serve, next: make(chan *Session)}
}

// take has the session served, by one who waits or else by a new one. It does
// not wait for either.
func (c *crew) take(s *Session) {
	select {
	case c.next <- s:
	default:
		c.all.Go(func() { c.work(s) })
	}
}

func (c *crew) work(s *Session) {
	for s != nil {
		c.serve(s)
		if !c.rest() {
			return
		}
		s = <-c.next // nil once the crew is dismissed
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

// dismiss waits until all sessions are over. None is taken any more.
func (c *crew) dismiss() {
	close(c.next)
	c.all.Wait()
}

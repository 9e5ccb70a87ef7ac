package push

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

// againGroups is how many groups are subscribed to at once after a reconnection:
// the positions of so many with ninety servers fit a message.
const againGroups = 32

// began makes a session the client's, subscribes to groups, and only then lets
// what waits be sent. It gives the requests for the groups.
func (c *Client) began(s *session, groups []uint32, again bool) []*Request {
	var first []*Request
	for part := range slices.Chunk(groups, againGroups) {
		r := c.subscribeRequest(part)
		r.again = again
		first = append(first, r)
	}
	if f := c.cfg.Events.Connected; f != nil {
		w := c.Welcome()
		c.callbacks.put(func() { f(w) })
	}
	if f := c.cfg.Events.Lost; f != nil && c.cfg.Events.Sent != nil && c.directsUnknown {
		c.callbacks.put(func() { f(Loss{DirectsUnknown: true}) })
	}
	c.directsUnknown = false
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil { // closed meanwhile
		s.end(c.err, &pushwire.Bye{Code: pushwire.Finished})
	}
	c.session = s
	c.pending = append(first, c.pending...)
	return first
}

// want notes what is to be subscribed to again.
func (c *Client) want(groups []uint32, wanted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range groups {
		if wanted {
			c.wanted[g] = true
		} else {
			delete(c.wanted, g)
		}
	}
}

// keep runs a session, and the ones after it, until the client ends. at is the
// server that the first one is with.
func (c *Client) keep(s *session, at int) {
	defer c.finish()
	attempts := 0 // since a connection that stood for long
	for {
		began := time.Now()
		err := s.run()
		c.interrupted(err)
		c.directsUnknown = c.directsUnknown || !inOrder(err)
		ended := s
		if s, err = c.renewed(ended, err); s != nil {
			c.began(s, c.Subscribed(), true)
			attempts = 0
			continue
		}
		if time.Since(began) >= c.cfg.MaxBackOff {
			attempts = 0
		}
		for s == nil {
			if c.Err() != nil {
				return
			}
			if final(err) {
				c.disconnected(err, 0)
				c.shut(err)
				return
			}
			pause := c.pause(attempts)
			if ended.next == nil { // with the same ticket it would be for moments
				pause = max(pause, time.Until(ended.expires))
			}
			attempts++
			c.disconnected(err, pause)
			select {
			case <-time.After(pause):
			case <-c.ctx.Done():
				return
			}
			at = (at + 1) % len(c.cfg.Addrs)
			s, err = c.connect(c.ctx, c.cfg.Addrs[at])
		}
		c.began(s, c.Subscribed(), true)
	}
}

// pause is how long to wait before an attempt, of which there were some before.
// All servers are tried before it grows.
func (c *Client) pause(attempts int) time.Duration {
	pause := c.cfg.MinBackOff
	for range attempts / len(c.cfg.Addrs) {
		if pause = min(2*pause, c.cfg.MaxBackOff); pause == c.cfg.MaxBackOff {
			break
		}
	}
	return pause - rand.N(pause/2+1)
}

func (c *Client) disconnected(err error, retryIn time.Duration) {
	if f := c.cfg.Events.Disconnected; f != nil {
		c.callbacks.put(func() { f(err, retryIn) })
	}
}

// inOrder says of the end of a session that the server had sent all it had
// queued for the client: a server that has to cut it off says another thing, or none.
func inOrder(err error) bool {
	bye, ok := errors.AsType[*ByeError](err)
	return ok && (bye.Code == pushwire.Finished || bye.Code == pushwire.Stopping)
}

// interrupted gives up what was under way when a session ended.
func (c *Client) interrupted(err error) {
	c.mu.Lock()
	c.session = nil
	lost := make([]*Request, 0, len(c.underWay))
	for _, r := range c.underWay {
		lost = append(lost, r)
		if leave, ok := r.message.(pushwire.LeaveRequest); ok {
			for _, g := range leave.Groups { // as good as left: it is not subscribed to again
				delete(c.wanted, g)
			}
		}
	}
	clear(c.underWay)
	c.pending = slices.DeleteFunc(c.pending, func(r *Request) bool {
		if r.again {
			lost = append(lost, r)
		}
		return r.again
	})
	c.room.Broadcast()
	c.tracker.suspend(func(g uint32) bool { return c.wanted[g] })
	c.mu.Unlock()
	slices.SortFunc(lost, func(a, b *Request) int { return cmp.Compare(a.id, b.id) })
	for _, r := range lost {
		r.finish(Result{}, &interruptedError{err})
	}
}

// refusedAgain sees to a group that could be subscribed to before the
// connection was lost, and cannot be now.
func (s *session) refusedAgain(r *Request, m pushwire.Result) error {
	subscribe, _ := r.message.(pushwire.SubscribeRequest)
	c := s.c
	if !r.again {
		return nil
	}
	if m.Status == pushwire.TooOften || m.Status == pushwire.Unreached {
		return &RefusedError{m.Status, m.Why} // another time
	}
	if len(subscribe.Groups) > 1 { // which of them?
		var again []*Request
		for _, g := range subscribe.Groups {
			one := c.subscribeRequest([]uint32{g})
			one.again = true
			again = append(again, one)
		}
		c.mu.Lock()
		c.pending = append(again, c.pending...)
		c.mu.Unlock()
		s.wake()
		return nil
	}
	c.tracker.left(subscribe.Groups)
	c.want(subscribe.Groups, false)
	return s.tellGroups(c.cfg.Events.Removed, subscribe.Groups)
}

// finish ends the client for good. What was asked for meanwhile fails.
func (c *Client) finish() {
	c.cancel()
	c.callbacks.end()
	close(c.kept)
}

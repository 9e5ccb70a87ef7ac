package push

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign-go/countersign/client"
)

const (
	// A context is renewed when so small a part of its life is left, and not more
	// than maxAhead: a ticket got early is one that ends early.
	aheadParts = 10
	maxAhead   = time.Minute

	// aheadSteps is into how many steps that time is divided. An attempt is made at
	// the beginning of each but the last, in which the connection is ended in any case.
	aheadSteps = 4

	// minLife is the shortest life of a context that is renewed ahead: a server of
	// shorter ones must not have its clients do nothing but connect.
	minLife = time.Second

	// settleTime is how long requests under way are waited for before the server is
	// told that the client goes.
	settleTime = 5 * time.Second
)

var (
	errSameTicket = errors.New("the ticket is still the one that ends")
	errNoBye      = errors.New("push: the server did not end the connection that the client was done with")
)

// renew ends the session in order before its context ends, after which nothing
// that comes could be read. Where it can it first has the next one's context, so
// that the user is away only for the greeting.
func (s *session) renew() {
	end := s.link.Context.Inquire().Expires
	life := time.Until(end)
	if end.IsZero() || life < minLife {
		return
	}
	ahead := min(life/aheadParts, maxAhead)
	step := ahead / aheadSteps
	if !s.sleep(life - ahead) {
		return
	}
	last := end.Add(-step)
	ctx, cancel := context.WithDeadline(s.c.ctx, last)
	defer cancel()
	go func() {
		select {
		case <-s.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	for at := end.Add(-ahead); at.Before(last) && s.next == nil; {
		s.next, s.unrenewed = s.successor(ctx, end)
		if s.next == nil {
			at = at.Add(step)
			if !s.sleep(time.Until(at)) {
				return
			}
		}
	}
	s.leave(end)
}

// successor establishes a context that lasts longer, with the same server.
func (s *session) successor(ctx context.Context, end time.Time) (*client.Link, error) {
	link, err := client.Establish(ctx, s.c.clientConfig(s.addr))
	if err != nil {
		return nil, err
	}
	if later := link.Context.Inquire().Expires; !later.IsZero() && !later.After(end) {
		_ = link.Close() // nothing was said on it
		return nil, errSameTicket
	}
	return link, nil
}

// leave ends the session in order: no more is asked for, what is under way gets
// its results, and the server's Bye comes after all that it had queued.
func (s *session) leave(end time.Time) {
	s.expires = end
	s.leaving.Store(true)
	s.c.mu.Lock()
	settled := len(s.c.underWay) == 0
	s.c.mu.Unlock()
	if !settled {
		timer := time.NewTimer(min(settleTime, time.Until(end)/2))
		defer timer.Stop()
		select {
		case <-s.settled:
		case <-timer.C:
		case <-s.over:
			return
		}
	}
	s.mu.Lock()
	s.parting = true
	s.mu.Unlock()
	s.wake()
	if s.sleep(min(s.c.cfg.Client.Timeout, time.Until(end))) {
		s.end(errNoBye, nil)
	}
}

// sleep reports whether the session goes on after that time.
func (s *session) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.over:
		return false
	}
}

// renewed gives the session that goes on where s ended in order to renew its
// context, nil if there is none, and then why there is no connection.
func (c *Client) renewed(s *session, err error) (*session, error) {
	if s.next == nil {
		if s.leaving.Load() && inOrder(err) {
			err = fmt.Errorf("push: the context ends, and there is no new one: %w", s.unrenewed)
		}
		return nil, err
	}
	if c.Err() != nil {
		_ = s.next.Close() // nothing was said on it
		return nil, err
	}
	return c.greeted(c.ctx, s.next, s.addr)
}

package push

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// maxPool is the most sessions of a pool: more than one machine has a use for.
const maxPool = 1024

// A Pool is several sessions of the same user. Its methods are safe for concurrent
// use.
type Pool struct {
	clients []*Client

	mu      sync.Mutex
	taken   map[*Client]bool
	changed chan struct{} // closed and replaced when a session came back or ended
}

// NewPool makes n sessions as Dial does, all or none. What comes to a user
// comes to every session of the user, so Config.Groups and Config.Events, but for
// Connected and Disconnected, are the first session's alone.
func NewPool(ctx context.Context, cfg Config, n int) (*Pool, error) {
	if n < 1 || n > maxPool {
		return nil, fmt.Errorf("push: pool of %d sessions, from 1 to %d are allowed", n, maxPool)
	}
	p := &Pool{changed: make(chan struct{}), taken: make(map[*Client]bool)}
	for range n {
		c, err := Dial(ctx, cfg)
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.clients = append(p.clients, c)
		context.AfterFunc(c.ctx, p.wake)
		cfg.Groups = nil
		cfg.Events = Events{Connected: cfg.Events.Connected, Disconnected: cfg.Events.Disconnected}
	}
	return p, nil
}

// First is the session whose events are told.
func (p *Pool) First() *Client { return p.clients[0] }

// Least gives the session with the fewest requests under way; nil if all are
// taken or have ended.
func (p *Pool) Least() *Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.least(p.clients)
}

// least gives the least busy of sessions; one with a connection before one without.
// The caller holds p.mu.
func (p *Pool) least(clients []*Client) *Client {
	var best *Client
	var fewest int
	for _, c := range clients {
		if p.taken[c] || c.Err() != nil {
			continue
		}
		load := c.UnderWay()
		if !c.connected() {
			load += window
		}
		if best == nil || load < fewest {
			best, fewest = c, load
		}
	}
	return best
}

// Take gives a session for one's own use: nobody else gets it until release is
// called. The first session is taken last. Take waits for one that is free; it
// gives nil if ctx ends before, or all sessions have ended. release may always be
// called, more than once, too.
func (p *Pool) Take(ctx context.Context) (c *Client, release func()) {
	for {
		p.mu.Lock()
		if c = p.least(p.clients[1:]); c == nil {
			c = p.least(p.clients[:1])
		}
		if c != nil {
			p.taken[c] = true
		}
		changed, ended := p.changed, p.ended()
		p.mu.Unlock()
		switch {
		case c != nil:
			return c, sync.OnceFunc(func() { p.giveBack(c) })
		case ended || ctx.Err() != nil:
			return nil, func() {}
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// ended says that no session will be free any more. The caller holds p.mu.
func (p *Pool) ended() bool {
	for _, c := range p.clients {
		if c.Err() == nil {
			return false
		}
	}
	return true
}

func (p *Pool) giveBack(c *Client) {
	p.mu.Lock()
	delete(p.taken, c)
	p.mu.Unlock()
	p.wake()
}

// wake has those who wait for a session look again.
func (p *Pool) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Close closes all sessions, those that are taken, too.
func (p *Pool) Close() error {
	var all sync.WaitGroup
	errs := make([]error, len(p.clients))
	for i, c := range p.clients {
		all.Go(func() { errs[i] = c.Close() })
	}
	all.Wait()
	return errors.Join(errs...)
}

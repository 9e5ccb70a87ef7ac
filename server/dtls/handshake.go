package dtls

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/dtls/psk"
)

// A stage is where a conn stands with its handshake.
type stage int

const (
	fresh stage = iota
	shaking
	shaken
)

// HandshakeContext makes the handshake, once, until ctx ends, the connection's
// deadline passes, or the transport's time limit is over, which began with the
// cookie. After an error the connection is of no more use; later calls return it
// again.
func (c *conn) HandshakeContext(ctx context.Context) error {
	c.handshaking.Lock()
	defer c.handshaking.Unlock()
	if err := c.beginHandshake(); err != nil || c.isShaken() {
		return cmp.Or(err, c.outcome)
	}
	limit := c.router.cfg.HandshakeTimeout
	within, stop := context.WithDeadline(c.ctx, c.since.Add(limit))
	defer stop()
	defer context.AfterFunc(ctx, func() { c.interrupt(ctx.Err()) })()
	err := c.dtls.HandshakeContext(within)

	c.mu.Lock()
	c.stage = shaken
	closed := c.closed
	c.rearm()
	c.mu.Unlock()
	c.router.pending.end(&c.place)
	if err != nil {
		c.outcome = c.explain(err, limit)
	} else {
		c.established.Store(true)
		c.note(Info, "encrypted with "+c.assoc.name)
	}
	if closed {
		c.finish()
		c.outcome = cmp.Or(c.outcome, net.ErrClosed)
	}
	return c.outcome
}

// beginHandshake says why there will be no handshake, nil if there is or was one.
func (c *conn) beginHandshake() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stage == shaken:
	case c.closed && errors.Is(context.Cause(c.ctx), server.ErrDisplaced):
		return server.ErrDisplaced
	case c.closed:
		return net.ErrClosed
	case c.leaving:
		return server.ErrShutdown
	default:
		c.stage = shaking
		c.rearm()
	}
	return nil
}

func (c *conn) isShaken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stage == shaken
}

// displace ends the handshake because another has its place.
func (c *conn) displace() {
	c.mu.Lock()
	waiting := c.stage == fresh
	c.mu.Unlock()
	if waiting {
		c.cancel(server.ErrDisplaced)
		_ = c.Close()
		return
	}
	c.interrupt(server.ErrDisplaced)
}

// evictLater closes the connection when the time limit is over and nobody has
// accepted it. It says whether the connection is not closed already.
func (c *conn) evictLater() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.timer = time.AfterFunc(time.Until(c.since.Add(c.router.cfg.HandshakeTimeout)), func() { _ = c.Close() })
	return true
}

// rearm has a handshake that is under way end at the deadline. Who sets one, or
// makes the handshake, has accepted the connection. c.mu is held.
func (c *conn) rearm() {
	c.timer.Stop()
	if c.stage == shaking && !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.interrupt(os.ErrDeadlineExceeded) })
	}
}

// interrupt ends a handshake that is under way, unless it has only to send its
// last messages: the client has its keys by then, or will in a moment, and only
// what comes after them is something to it.
func (c *conn) interrupt(cause error) {
	if !c.finishing.Load() && !c.isShaken() {
		c.fail(cause)
	}
}

// explain says why a handshake failed, and tells the peer what it may know.
func (c *conn) explain(err error, limit time.Duration) error {
	switch cause := context.Cause(c.ctx); {
	case errors.Is(cause, errWrongKey):
		c.alert(alert.Fatal, alert.DecryptError)
		if c.refused != nil {
			return c.refused
		}
		return fmt.Errorf("identity %q: %w", c.identity[:min(len(c.identity), maxShown)], errWrongKey)
	case errors.Is(cause, errReplaced):
		return cause
	case cause != nil: // it was interrupted
		c.alert(alert.Warning, alert.CloseNotify)
		return cause
	case errors.Is(err, context.DeadlineExceeded):
		c.alert(alert.Fatal, alert.HandshakeFailure)
		return fmt.Errorf("handshake not finished within %s", limit)
	}
	return err
}

// maxShown bounds what is shown of an identity, in bytes: peers have to manage
// as many (RFC 4279, section 5.3), and can send more.
const maxShown = 128

// key is asked by pion/dtls for the key of an identity. Where there is none a
// random key lets the handshake fail as with a wrong one, so that nobody can
// find out who is known (RFC 4279, section 2).
func (c *conn) key(identity []byte) ([]byte, error) {
	c.identity = string(identity)
	shown := identity[:min(len(identity), maxShown)]
	c.note(Info, fmt.Sprintf("PSK identity received: %q", shown))
	key, ok := c.router.cfg.Key(c.identity)
	switch {
	case !ok:
		c.refused = fmt.Errorf("unknown identity %q", shown)
	case len(key) == 0 || len(key) < psk.MinKey && !c.router.cfg.WeakKeys:
		c.refused = fmt.Errorf("the key of %q has %d bytes, fewer than %d: not used", shown, len(key), psk.MinKey)
	default:
		return key, nil
	}
	key = make([]byte, 2*psk.MinKey)
	_, _ = rand.Read(key) // never fails
	return key, nil
}

// serverHello puts the suite into the server's hello that the client knows it by.
func (c *conn) serverHello(m handshake.MessageServerHello) handshake.Message {
	m.CipherSuiteID = &c.assoc.id
	return &m
}

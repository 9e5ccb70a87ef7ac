package dtls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/alert"
	"github.com/pion/logging"

	"github.com/countersign-go/countersign/server"
)

// A conn is a peer's association: a net.Conn whose reads and writes are
// datagrams.
type conn struct {
	*peer
	dtls  *pion.Conn
	since time.Time // the cookie came back
	place place     // among the handshakes under way

	ctx    context.Context // of the handshake; its cause is why it, or the session, was ended from outside of pion/dtls
	cancel context.CancelCauseFunc

	handshaking sync.Mutex // held during the handshake
	identity    string     // what the peer sent
	refused     error      // why the identity has no key that can be used
	outcome     error      // of the handshake

	mu       sync.Mutex
	stage    stage
	deadline time.Time   // of reading, and so of the handshake
	timer    *time.Timer // ends the handshake at the deadline; before it, evicts who is not accepted
	leaving  bool        // nothing is read any more
	closed   bool

	theyClosed atomic.Bool
	empty      tally // of the reading goroutine
}

// silent keeps pion/dtls from logging on its own.
var silent = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}

// newConn makes a connection for a hello with a good cookie.
func (r *router) newConn(way path, h *clientHello, s *suite) (*conn, error) {
	c := &conn{peer: r.newPeer(way, h, s), since: time.Now()}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.failed = c.fail
	c.place.displaced = c.displace
	options := []pion.ServerOption{
		pion.WithPSK(c.key),
		pion.WithCustomCipherSuites(func() []pion.CipherSuite { return []pion.CipherSuite{c.assoc} }),
		pion.WithServerHelloMessageHook(c.serverHello),
		pion.WithLoggerFactory(silent),
	}
	if r.cfg.Hint != "" {
		options = append(options, pion.WithPSKIdentityHint([]byte(r.cfg.Hint)))
	}
	var err error
	if c.dtls, err = pion.ServerWithOptions(c.peer, net.UDPAddrFromAddrPort(way.remote), options...); err != nil {
		c.cancel(err)
		return nil, fmt.Errorf("dtls: %w", err)
	}
	return c, nil
}

// fail ends the handshake, or the session, for a reason that is found outside
// of pion/dtls.
func (c *conn) fail(cause error) {
	c.cancel(cause)
	_ = c.queue.Close() // which ends what pion/dtls reads
}

func (c *conn) note(kind Kind, text string) {
	c.router.cfg.note(Event{Kind: kind, Peer: c.way.remote, Text: text})
}

// LogFields say who is at the other end and how it is encrypted, for a log.
func (c *conn) LogFields() map[string]any {
	if !c.established.Load() {
		return nil
	}
	return map[string]any{"identity": c.identity, "cipher": c.assoc.name}
}

// Read gives the next message that is not empty. b has to have room for it.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.HandshakeContext(context.Background()); err != nil {
		return 0, err
	}
	for {
		n, err := c.dtls.Read(b)
		if err != nil {
			return n, c.reason(err)
		}
		if n == 0 {
			c.router.warn(&c.empty, c.way.remote, emptyDatagram)
			continue
		}
		if c.router.cfg.wantsDatagrams() {
			c.router.cfg.note(Event{Kind: Datagram, Peer: c.way.remote, Text: string(b[:n]), Ciphertext: c.ciphertext(b[:n])})
		}
		return n, nil
	}
}

// Write sends a message.
func (c *conn) Write(b []byte) (int, error) {
	if len(b) > MaxMessage {
		return 0, fmt.Errorf("dtls: a message of %d bytes: more than %d cannot be sent", len(b), MaxMessage)
	}
	if err := c.HandshakeContext(context.Background()); err != nil || len(b) == 0 {
		return 0, err
	}
	n, err := c.dtls.Write(b)
	if err != nil {
		return n, c.reason(err)
	}
	return n, nil
}

// reason says what stands behind an error of pion/dtls.
func (c *conn) reason(err error) error {
	c.mu.Lock()
	closed, leaving := c.closed, c.leaving
	c.mu.Unlock()
	if description, ok := c.remoteAlert(); ok {
		return fmt.Errorf("the peer ended the session: alert %v", description)
	}
	if cause := context.Cause(c.ctx); errors.Is(cause, errReplaced) {
		return cause
	}
	switch {
	case closed:
		return net.ErrClosed
	case errors.Is(err, io.EOF):
		c.theyClosed.Store(true)
	case errors.Is(err, context.DeadlineExceeded) && leaving:
		return server.ErrShutdown
	case errors.Is(err, context.DeadlineExceeded):
		return os.ErrDeadlineExceeded
	}
	return err
}

// leave ends reading, for good: the listener shuts down.
func (c *conn) leave() {
	c.mu.Lock()
	c.leaving = true
	_ = c.dtls.SetReadDeadline(longAgo) // never fails
	c.mu.Unlock()
	c.interrupt(server.ErrShutdown)
}

var longAgo = time.Unix(1, 0)

// CloseWithError closes the connection of a session that ended with err: nil,
// the reason, [server.ErrShutdown] or [server.ErrDisplaced].
func (c *conn) CloseWithError(err error) error {
	e := Event{Kind: Info, Peer: c.way.remote}
	switch {
	case errors.Is(err, server.ErrDisplaced):
		return c.Close() // who made it leave has told, of many at once
	case errors.Is(err, server.ErrShutdown):
		e.Text = "closed by shutdown"
	case err != nil && !c.established.Load():
		e.Kind, e.Text = Error, "handshake failed: "+err.Error()
	case err != nil:
		e.Kind, e.Text = Error, "session failed: "+err.Error()
	case c.theyClosed.Load():
		e.Text = "the peer closed"
	default:
		e.Text = "the session ended"
	}
	c.router.cfg.tell(e) // the engine logs it
	return c.Close()
}

// Close tells the peer and ends the routing to it. It does not wait: where a
// handshake has to end first, that does the rest.
func (c *conn) Close() error {
	c.mu.Lock()
	before, stage := c.closed, c.stage
	c.closed = true
	if stage == fresh && c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	switch {
	case before:
	case stage == fresh: // there will be no handshake
		c.router.pending.end(&c.place)
		c.alert(alert.Warning, alert.CloseNotify)
		c.finish()
	case stage == shaking:
		c.interrupt(net.ErrClosed)
	default:
		c.finish()
	}
	return nil
}

// finish sends the last word, if pion/dtls has keys for one, and lets go.
func (c *conn) finish() {
	c.cancel(net.ErrClosed)
	_ = c.dtls.Close() // what is lost is lost as on the way
	_ = c.peer.Close()
	c.router.release()
}

// RemoteAddr is the peer's address.
func (c *conn) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.way.remote) }

// SetDeadline sets the deadline of the handshake, of reads and of writes.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets the deadline of the handshake, and of reads after it.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving {
		return nil // it has passed
	}
	c.deadline = t
	c.rearm()
	return c.dtls.SetReadDeadline(t)
}

// SetWriteDeadline sets the deadline of writes.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.dtls.SetWriteDeadline(t) }

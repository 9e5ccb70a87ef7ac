package dtls

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/alert"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/logging"

	"github.com/countersign-go/countersign/server/dtls/psk"
)

// A conn is a peer's association for the engine: a net.Conn whose reads and
// writes are datagrams. The first write or read makes the handshake, within the
// deadline that is set.
type conn struct {
	*peer
	dtls *pion.Conn

	ctx    context.Context // of the handshake
	cancel context.CancelCauseFunc

	identity string // known when the handshake is over
	outcome  error  // of the handshake

	mu       sync.Mutex
	stage    stage
	over     chan struct{} // closed when the handshake is
	deadline time.Time
	closed   bool
}

// A stage is where a conn stands with its handshake.
type stage int

const (
	fresh stage = iota
	shaking
	shaken
)

// finishTime bounds what is waited for a handshake that has only to send its
// last messages.
const finishTime = time.Second

// silent keeps pion/dtls from logging on its own.
var silent = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}

// newConn makes a peer for a hello with a good cookie. Its handshake counts
// as begun.
func (r *router) newConn(from netip.AddrPort, h *clientHello, s *suite) (*conn, error) {
	c := &conn{peer: r.newPeer(from, h, s), over: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.failed = c.fail
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
	if c.dtls, err = pion.ServerWithOptions(c.peer, net.UDPAddrFromAddrPort(from), options...); err != nil {
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

// key is asked by pion/dtls for the key of an identity. Where there is none a
// random key lets the handshake fail as with a wrong one, so that nobody can
// find out who is known (RFC 4279, section 2).
func (c *conn) key(identity []byte) ([]byte, error) {
	c.identity = string(identity)
	cfg := c.router.cfg
	cfg.note(Event{Kind: Info, Peer: c.addr, Text: fmt.Sprintf("PSK identity received: %q", identity)})
	key, ok := cfg.Key(c.identity)
	switch {
	case !ok:
		c.note(Warning, fmt.Sprintf("unknown identity %q", identity))
	case len(key) == 0 || len(key) < psk.MinKey && !cfg.WeakKeys:
		c.note(Warning, fmt.Sprintf("the key of %q has %d bytes, fewer than %d: not used", identity, len(key), psk.MinKey))
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

func (c *conn) note(kind Kind, text string) {
	c.router.cfg.note(Event{Kind: kind, Peer: c.addr, Text: text})
}

// handshake makes the handshake, once. Only the session's goroutine calls it.
func (c *conn) handshake() error {
	c.mu.Lock()
	switch {
	case c.stage == fresh && c.closed:
		c.mu.Unlock()
		return net.ErrClosed
	case c.stage != fresh:
		c.mu.Unlock()
		return c.outcome
	}
	c.stage = shaking
	deadline := c.deadline
	c.mu.Unlock()

	ctx := c.ctx
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	err := c.dtls.HandshakeContext(ctx)

	c.mu.Lock()
	c.stage = shaken
	c.mu.Unlock()
	close(c.over)
	c.router.pending.end(c.addr.Addr())
	if err == nil {
		c.established.Store(true)
		c.note(Info, "encrypted with "+c.assoc.name)
		return nil
	}
	c.outcome = c.explain(err)
	e := Event{Kind: Error, Peer: c.addr, Text: "handshake failed: " + c.outcome.Error()}
	if errors.Is(c.outcome, net.ErrClosed) {
		e.Kind, e.Text = Info, closedByShutdown
	}
	c.router.cfg.tell(e) // the engine logs it
	return c.outcome
}

// explain says why a handshake failed, and tells the peer what it may know.
func (c *conn) explain(err error) error {
	switch cause := context.Cause(c.ctx); {
	case errors.Is(cause, errWrongKey):
		c.alert(alert.Fatal, alert.DecryptError)
		return fmt.Errorf("identity %q: %w", c.identity, errWrongKey)
	case errors.Is(cause, errReplaced), errors.Is(cause, net.ErrClosed):
		return cause
	case errors.Is(err, context.DeadlineExceeded):
		c.alert(alert.Fatal, alert.HandshakeFailure)
		return os.ErrDeadlineExceeded
	}
	return err
}

// Read gives the next message. An empty one gives 0 and no error.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.handshake(); err != nil {
		return 0, err
	}
	n, err := c.dtls.Read(b)
	if err != nil {
		return n, c.reason(err)
	}
	if n > 0 && c.router.cfg.wantsDatagrams() {
		c.router.cfg.note(Event{Kind: Datagram, Peer: c.addr, Text: string(b[:n]), Ciphertext: c.ciphertext(b[:n])})
	}
	return n, nil
}

// Write sends a message. Without one it makes the handshake.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.handshake(); err != nil || len(b) == 0 {
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
	if description, ok := c.remoteAlert(); ok {
		return fmt.Errorf("the peer ended the session: alert %v", description)
	}
	if cause := context.Cause(c.ctx); errors.Is(cause, errReplaced) {
		return cause
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return err
}

// Close tells the peer and ends the routing to it.
func (c *conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	stage := c.stage
	c.mu.Unlock()

	if stage == fresh { // there will be no handshake
		c.router.pending.end(c.addr.Addr())
	}
	switch {
	case stage == shaking && c.finishing.Load():
		// The client has its keys, or will in a moment: only an encrypted
		// alert is one to it, and that pion/dtls sends when it is done.
		select {
		case <-c.over:
		case <-time.After(finishTime):
		}
	case stage != shaken:
		c.alert(alert.Warning, alert.CloseNotify)
	}
	c.cancel(net.ErrClosed)
	err := c.dtls.Close()
	_ = c.peer.Close()
	return err
}

// RemoteAddr is the peer's address.
func (c *conn) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.addr) }

// SetDeadline sets the deadline of the handshake, and of reads and writes after it.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return c.dtls.SetDeadline(t)
}

// SetReadDeadline sets the deadline of reads.
func (c *conn) SetReadDeadline(t time.Time) error { return c.dtls.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of writes.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.dtls.SetWriteDeadline(t) }

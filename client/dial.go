package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// Dial gets the service ticket, connects and establishes the context, in this
// order, so that a server is not kept waiting for a KDC. With cfg.TLS the server's
// certificate is verified before anything of the session is sent. ctx and cfg.Timeout
// bound the whole; the session itself goes on when ctx ends. The error is
// that of [Config.Validate], or an [*Error].
func Dial(ctx context.Context, cfg Config) (*Session, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	sec, err := cfg.initiate(ctx, nil)
	if err != nil {
		return nil, err
	}
	conn, err := cfg.connect(ctx)
	if err != nil {
		if sec != nil {
			sec.Delete()
		}
		return nil, err
	}
	if sec, err = cfg.bind(ctx, conn, sec); err != nil {
		conn.Close()
		return nil, err
	}
	return cfg.start(ctx, conn, sec)
}

// connect connects, and secures the connection if TLS is wanted.
func (c *Config) connect(ctx context.Context) (net.Conn, error) {
	// A TCPConn comes with TCP_NODELAY, without which a frame could wait for
	// the acknowledgement of the one before.
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.Addr)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no connection within %v: %w", c.Timeout, err)
		}
		return nil, &Error{Connecting, err}
	}
	return c.secure(ctx, promptly(conn))
}

// bind gives a context that is bound to the connection in place of one that was
// prepared before there was any. The ticket is there.
func (c *Config) bind(ctx context.Context, conn net.Conn, sec gss.Context) (gss.Context, error) {
	if sec == nil {
		return nil, nil
	}
	bindings, err := c.bindings(conn)
	if bindings == nil && err == nil {
		return sec, nil
	}
	sec.Delete()
	if err != nil {
		return nil, err
	}
	return c.initiate(ctx, bindings)
}

// New establishes a session on a connection that stands already, which it
// owns from here on: it is closed when New fails, and with the session.
// cfg.Addr is used for nothing but the name of a TLS server. Bounds and errors
// are those of [Dial].
func New(ctx context.Context, conn net.Conn, cfg Config) (*Session, error) {
	cfg, err := cfg.complete()
	if err != nil {
		conn.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	sec, err := cfg.initiate(ctx, nil)
	if err != nil {
		conn.Close()
		return nil, err
	}
	secured, err := cfg.secure(ctx, conn)
	if err != nil {
		if sec != nil {
			sec.Delete()
		}
		return nil, err
	}
	if sec, err = cfg.bind(ctx, secured, sec); err != nil {
		secured.Close()
		return nil, err
	}
	return cfg.start(ctx, secured, sec)
}

// initiate prepares the context; nil for an unauthenticated session.
func (c *Config) initiate(ctx context.Context, bindings *gss.ChannelBindings) (gss.Context, error) {
	if c.Unauthenticated {
		return nil, nil
	}
	sec, err := c.Initiator.Initiate(ctx, gss.Request{Target: c.Target, Flags: c.Flags, Bindings: bindings})
	if err != nil {
		return nil, &Error{Initializing, err}
	}
	return sec, nil
}

// start greets the server and establishes the context that was prepared.
func (c *Config) start(ctx context.Context, conn net.Conn, sec gss.Context) (*Session, error) {
	s := &Session{cfg: *c, raw: conn}
	s.fill = s.appendMessage
	var err error
	if s.conn, err = (token.Config{Version: c.Version, MaxLength: c.MaxMessage}).NewConn(conn); err != nil {
		conn.Close()
		return nil, err
	}
	if err := s.establish(ctx, sec); err != nil {
		if sec != nil {
			sec.Delete()
		}
		conn.Close()
		return nil, &Error{Initializing, s.refusedTLS(err)}
	}
	return s, nil
}

// refusedTLS gives what the server said where it refused the client's
// certificate, else the error.
func (s *Session) refusedTLS(err error) error {
	if secured, ok := s.raw.(*tlsConn); ok {
		return secured.refused(err)
	}
	return err
}

func (s *Session) establish(ctx context.Context, sec gss.Context) error {
	deadline, _ := ctx.Deadline()
	if err := s.raw.SetDeadline(deadline); err != nil {
		return err
	}
	if sec == nil { // with a context the greeting goes out with its first token
		if err := s.conn.WriteFrame(token.NOOP, nil); err != nil {
			return fmt.Errorf("sending greeting: %w", carrying(err, s.cfg.Timeout))
		}
		return nil
	}
	// The ticket is there: gss.Initiate only exchanges tokens.
	var err error
	s.sec, err = gss.Initiate(ctx, &carrier{s.conn, s.cfg.Trace}, prepared{s.cfg.Initiator, sec}, gss.Request{Target: s.cfg.Target, Flags: s.cfg.Flags})
	if _, ok := errors.AsType[*gss.Error](err); err != nil && !ok {
		err = carrying(err, s.cfg.Timeout)
	}
	return err
}

// prepared is an initiator whose context was made before the connection.
type prepared struct {
	gss.Initiator
	sec gss.Context
}

func (p prepared) Initiate(context.Context, gss.Request) (gss.Context, error) { return p.sec, nil }

// carrier carries context tokens over frames and tells the trace.
type carrier struct {
	conn  *token.Conn
	trace *Trace
}

func (c *carrier) SetDeadline(t time.Time) error { return c.conn.SetDeadline(t) }

func (c *carrier) ReadToken() ([]byte, error) {
	if c.trace != nil && c.trace.TokenAwaited != nil {
		c.trace.TokenAwaited()
	}
	tok, err := c.conn.ReadToken()
	if err == nil && c.trace != nil && c.trace.TokenReceived != nil {
		c.trace.TokenReceived(len(tok))
	}
	return tok, err
}

func (c *carrier) WriteToken(tok []byte) error {
	if c.trace != nil && c.trace.TokenSending != nil {
		c.trace.TokenSending(len(tok))
	}
	return c.conn.WriteToken(tok)
}

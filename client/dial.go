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
// order, so that a server is not kept waiting for a KDC. ctx and cfg.Timeout
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
	sec, err := cfg.initiate(ctx)
	if err != nil {
		return nil, err
	}
	// A TCPConn comes with TCP_NODELAY, without which a frame could wait for
	// the acknowledgement of the one before.
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", cfg.Addr)
	if err != nil {
		if sec != nil {
			sec.Delete()
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no connection within %v: %w", cfg.Timeout, err)
		}
		return nil, &Error{Connecting, err}
	}
	return cfg.start(ctx, promptly(conn), sec)
}

// New establishes a session on a connection that stands already, which it
// owns from here on: it is closed when New fails, and with the session.
// cfg.Addr is not used. Bounds and errors are those of [Dial].
func New(ctx context.Context, conn net.Conn, cfg Config) (*Session, error) {
	cfg, err := cfg.complete()
	if err != nil {
		conn.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	sec, err := cfg.initiate(ctx)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return cfg.start(ctx, conn, sec)
}

// initiate prepares the context; nil for an unauthenticated session.
func (c *Config) initiate(ctx context.Context) (gss.Context, error) {
	if c.Unauthenticated {
		return nil, nil
	}
	sec, err := c.Initiator.Initiate(ctx, gss.Request{Target: c.Target, Flags: c.Flags})
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
		return nil, &Error{Initializing, err}
	}
	return s, nil
}

func (s *Session) establish(ctx context.Context, sec gss.Context) error {
	deadline, _ := ctx.Deadline()
	if err := s.raw.SetDeadline(deadline); err != nil {
		return err
	}
	greeting := token.NOOP | token.ContextNext
	if sec == nil {
		greeting = token.NOOP
	}
	if s.cfg.Version == token.V2 {
		if err := s.conn.WriteFrame(greeting, nil); err != nil {
			return fmt.Errorf("sending greeting: %w", carrying(err, s.cfg.Timeout))
		}
	}
	if sec == nil {
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

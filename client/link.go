package client

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// A Link is a connection with an established context, for a service that has
// another protocol than [Session.Sign]. Whoever has it reads and writes Frames.
type Link struct {
	Conn    net.Conn    // below Frames, for deadlines; none is set
	Frames  *token.Conn // of the config's version and length
	Context gss.Context

	arrivals *arrivals
}

// Establish does what [Dial] does, and gives connection and context as they
// are. Bounds and errors are Dial's. The config's wishes for messages are not
// for a link: one that is unauthenticated, unwrapped, unencrypted or without
// MICs is refused.
func Establish(ctx context.Context, cfg Config) (*Link, error) {
	cfg, err := cfg.valid()
	if err != nil {
		return nil, err
	}
	if cfg.Unauthenticated || cfg.Unwrapped || cfg.Unencrypted || cfg.NoMIC {
		return nil, errors.New("client: a link has a context, and is no session whose messages could be left unprotected")
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	var watched *arrivals
	plain := cfg
	cfg.Open = func(ctx context.Context, _ string) (net.Conn, error) {
		conn, err := plain.open(ctx)
		if err != nil {
			return nil, err
		}
		watched = &arrivals{Conn: conn, start: time.Now()}
		return watched, nil
	}
	conn, sec, err := cfg.dial(ctx)
	if err != nil {
		return nil, err
	}
	frames, sec, err := cfg.start(ctx, conn, sec)
	if err != nil {
		return nil, err
	}
	link := &Link{Conn: conn, Frames: frames, Context: sec, arrivals: watched}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		_ = link.Close() // the connection is broken already
		return nil, &Error{Initializing, err}
	}
	return link, nil
}

// LastReceived is when the server's last octets came, be they of a frame that is
// not complete yet.
func (l *Link) LastReceived() time.Time {
	return l.arrivals.start.Add(time.Duration(l.arrivals.last.Load()))
}

// Close closes the connection and deletes the context.
func (l *Link) Close() error {
	err := l.Conn.Close()
	l.Context.Delete()
	return err
}

// arrivals is a connection that remembers when something came last.
type arrivals struct {
	net.Conn
	start time.Time
	last  atomic.Int64 // nanoseconds since then
}

func (a *arrivals) Read(p []byte) (int, error) {
	n, err := a.Conn.Read(p)
	if n > 0 {
		a.last.Store(int64(time.Since(a.start)))
	}
	return n, err
}

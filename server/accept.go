package server

import (
	"cmp"
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/countersign-go/countersign/server/internal/tcp"
)

// When accepting fails for want of something (descriptors, memory) the loop
// waits before it tries again, so that it does not take the processor from the
// sessions whose end would help.
const (
	minBackOff = 5 * time.Millisecond
	maxBackOff = time.Second
)

// A front is a listener with the service of its connections.
type front struct {
	net.Listener
	service Service
}

// fronts gives each listener its own service if it has one, else the config's.
func (srv *Server) fronts(listeners []net.Listener) []*front {
	fronts := make([]*front, len(listeners))
	for i, l := range listeners {
		own, ok := l.(Listener)
		if p, isPointer := l.(*Listener); isPointer {
			own, ok = *p, true
		}
		if !ok {
			own.Listener = l
		}
		if l, ok := own.Listener.(*net.TCPListener); ok {
			own.Listener = tcp.NewListener(l)
		}
		fronts[i] = &front{own.Listener, cmp.Or(own.Service, srv.cfg.Service)}
	}
	return fronts
}

// lead accepts a connection, leaves the front to another of the crew and serves the
// connection. As long as there is just that one it is not left: nobody need wake up
// to wait for the next, which the connection waits for by itself. An error is one
// that the listener does not recover from.
func (srv *Server) lead(ctx context.Context, f *front, others *crew) error {
	for {
		conn, err := srv.next(ctx, f)
		if conn == nil {
			return err
		}
		s, err := srv.open(conn, f.service)
		if err != nil {
			continue // it is told, and closed
		}
		if c, ok := conn.(*tcp.Conn); ok {
			if end := c.Alone(func() { others.take(f) }); end != nil {
				_ = srv.serve(s) // logged there
				if alone := end(); alone {
					continue
				}
				return nil
			}
		}
		others.take(f)
		_ = srv.serve(s) // logged there
		return nil
	}
}

// next waits for a connection of the listener. It is nil, without an error, when
// ctx ends; an error is one that does not pass.
func (srv *Server) next(ctx context.Context, l net.Listener) (net.Conn, error) {
	var wait time.Duration
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil, nil
		case err == nil:
			return conn, nil
		case !passing(err):
			return nil, err
		}
		wait = min(max(2*wait, minBackOff), maxBackOff)
		srv.logAcceptError(err, wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// passing reports whether a listener can be expected to recover from the error.
func passing(err error) bool {
	if errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) {
		return true
	}
	var t interface{ Temporary() bool } // EMFILE, ENFILE, ECONNABORTED, EINTR
	return errors.As(err, &t) && t.Temporary()
}

package server

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// When accepting fails for want of something (descriptors, memory) the loop
// waits before it tries again, so that it does not take the processor from the
// sessions whose end would help.
const (
	minBackOff = 5 * time.Millisecond
	maxBackOff = time.Second
)

// accept hands over the connections of all listeners until ctx ends, handle has
// had enough, or a listener fails for good, whose error it returns. It closes
// the listeners.
func (srv *Server) accept(ctx context.Context, listeners []net.Listener, handle func(net.Conn, Service) (more bool)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, len(listeners))
	var loops sync.WaitGroup
	for _, l := range listeners {
		loops.Go(func() {
			defer stop()
			service := srv.serviceOf(l)
			err := srv.acceptFrom(ctx, l, func(conn net.Conn) (more bool) { return handle(conn, service) })
			if err != nil {
				failed <- err
			}
		})
	}
	<-ctx.Done()
	for _, l := range listeners {
		_ = l.Close() // ends its loop
	}
	loops.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// serviceOf is the listener's own service if it has one, else the config's.
func (srv *Server) serviceOf(l net.Listener) Service {
	var own Service
	switch l := l.(type) {
	case *Listener:
		own = l.Service
	case Listener:
		own = l.Service
	}
	return cmp.Or(own, srv.cfg.Service)
}

func (srv *Server) acceptFrom(ctx context.Context, l net.Listener, handle func(net.Conn) (more bool)) error {
	var wait time.Duration
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case err == nil:
			wait = 0
			if !handle(conn) {
				return nil
			}
		case !passing(err):
			return err
		default:
			wait = min(max(2*wait, minBackOff), maxBackOff)
			srv.logAcceptError(err, wait)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return nil
			}
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

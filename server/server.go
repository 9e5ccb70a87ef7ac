package server

import (
	"container/list"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Server serves connections until it is told to stop, once: a stopped server
// serves no more. Its methods may be called by many goroutines.
type Server struct {
	cfg Config

	ctx      context.Context // of the services; ends with the grace time
	end      context.CancelFunc
	draining atomic.Bool   // set under mu
	stopping chan struct{} // closed when draining

	mu            sync.Mutex
	sessions      map[*Session]struct{}
	pending       list.List     // of those sessions that are not established, the oldest first
	leaving       int           // of those sessions that gave way to others, and are not over yet
	empty         chan struct{} // closed when draining and no session is left
	lastID        uint64
	refusals      tally
	displacements tally
}

// New returns a server with a copy of the config, or an error if a field of it
// is out of range.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	srv := &Server{cfg: cfg, sessions: make(map[*Session]struct{}), empty: make(chan struct{}), stopping: make(chan struct{})}
	srv.ctx, srv.end = context.WithCancel(context.Background())
	return srv, nil
}

// Run serves the connections of the listeners until ctx ends, then drains: no
// connection is accepted any more, idle sessions are closed, the others when
// their exchange is over, and what is left after the grace time. It closes the
// listeners. A [Listener] has a service of its own, any other the config's. It
// returns nil after it was told to stop, and the error of a listener that failed
// for good.
func (srv *Server) Run(ctx context.Context, listeners ...net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	fronts := srv.fronts(listeners)
	failed := make(chan error, len(fronts))
	var all *crew
	all = newCrew(func(f *front) {
		if err := srv.lead(ctx, f, all); err != nil {
			failed <- err
			stop()
		}
	})
	for _, f := range fronts {
		all.take(f)
	}
	<-ctx.Done()
	closeAll(fronts)
	srv.drain()
	all.dismiss()
	return firstOf(failed)
}

// RunOnce serves the first connection that comes to one of the listeners and
// returns how it ended, as [Server.ServeConn] does. It closes the listeners. It
// returns nil if ctx ends before any connection comes.
func (srv *Server) RunOnce(ctx context.Context, listeners ...net.Listener) error {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	type accepted struct {
		conn    net.Conn
		service Service
	}
	fronts := srv.fronts(listeners)
	first := make(chan accepted, 1)
	failed := make(chan error, len(fronts))
	var all sync.WaitGroup
	for _, f := range fronts {
		all.Go(func() {
			defer stop()
			conn, err := srv.next(waiting, f)
			if conn == nil {
				failed <- err
				return
			}
			select {
			case first <- accepted{conn, f.service}:
			default:
				_ = conn.Close() // came to another listener at the same moment
			}
		})
	}
	<-waiting.Done()
	closeAll(fronts)
	all.Wait()
	select {
	case a := <-first:
		return srv.serveConn(ctx, a.conn, a.service)
	default:
		return firstOf(failed)
	}
}

func closeAll(fronts []*front) {
	for _, f := range fronts {
		_ = f.Close() // who waits there sees it
	}
}

// firstOf gives the first error that was told of, nil if none was.
func firstOf(failed <-chan error) error {
	for {
		select {
		case err := <-failed:
			if err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// ServeConn serves one connection by the config's service, closes it, and
// returns what the service returned, or [ErrFull] or [ErrShutdown] if it did not
// come to that. When ctx ends the server drains.
func (srv *Server) ServeConn(ctx context.Context, conn net.Conn) error {
	return srv.serveConn(ctx, conn, srv.cfg.Service)
}

func (srv *Server) serveConn(ctx context.Context, conn net.Conn, service Service) error {
	s, err := srv.open(conn, service)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, srv.drain)()
	return srv.serve(s)
}

// open registers a session for the connection. If there is no room for it or
// the server is draining, it closes the connection and says so.
func (srv *Server) open(conn net.Conn, service Service) (*Session, error) {
	s := &Session{srv: srv, conn: conn, service: service, started: time.Now(), unproved: maxHandshakeBytes}
	srv.mu.Lock()
	if srv.draining.Load() {
		srv.mu.Unlock()
		_ = conn.Close()
		return nil, ErrShutdown
	}
	displaced, ok := srv.room()
	if ok {
		srv.lastID++
		s.id = srv.lastID
		srv.sessions[s] = struct{}{}
		s.place = srv.pending.PushBack(s)
	}
	srv.mu.Unlock()
	if !ok {
		srv.refuse(conn)
		return nil, ErrFull
	}
	if displaced != nil {
		srv.displace(displaced)
	}
	return s, nil
}

// serve runs the service on the session and closes it.
func (srv *Server) serve(s *Session) error {
	srv.logOpen(s)
	err := s.handshake()
	if err == nil {
		err = s.service.Serve(srv.ctx, s)
	}
	if errors.Is(err, ErrShutdown) {
		err = nil // it was idle, or it was cut off and drain says so
		s.cut = true
	}
	s.close(err)
	srv.logEnd(s, err)
	srv.remove(s)
	return err
}

// drain ends all sessions: idle ones at once, others when they become idle, all
// after the grace time.
func (srv *Server) drain() {
	srv.mu.Lock()
	if srv.draining.Swap(true) {
		srv.mu.Unlock()
		return
	}
	close(srv.stopping)
	running := 0
	for s := range srv.sessions {
		if !s.closeIdle() {
			running++
		}
	}
	if len(srv.sessions) == 0 {
		close(srv.empty)
	}
	srv.mu.Unlock()
	srv.logDrain(running)

	grace := time.NewTimer(srv.cfg.Grace)
	defer grace.Stop()
	select {
	case <-srv.empty:
	case <-grace.C:
		srv.mu.Lock()
		for s := range srv.sessions {
			s.abort()
		}
		n := len(srv.sessions)
		srv.mu.Unlock()
		srv.logCutOff(n)
	}
	srv.end()
}

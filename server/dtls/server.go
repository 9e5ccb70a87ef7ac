package dtls

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/countersign-go/countersign/server"
)

// A Server answers messages that come over DTLS 1.2 with pre-shared keys. It
// listens on one address at a time. Its methods may be called by many
// goroutines.
type Server struct {
	cfg Config

	switching sync.Mutex // held by Listen and Close; a shutdown takes its time

	mu      sync.Mutex
	current *listening // nil: closed
	changed chan struct{}
}

// listening is a server on one address.
type listening struct {
	asked  string
	router *router
	stop   context.CancelFunc
	done   chan struct{} // closed when the last peer is gone
	err    error         // how the one session ended; set before done is closed
}

// New returns a server with a copy of the config, or an error if a field of it
// is missing or out of range.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if _, err := cfg.engine(&exchange{&cfg}); err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	return &Server{cfg: cfg, changed: make(chan struct{})}, nil
}

// Listen starts to serve the UDP address "host:port"; an empty host is every
// interface's, port 0 one that is free. On an address that is served already
// nothing happens; when it is another, the server is shut down there first, as
// by Close.
func (s *Server) Listen(address string) error {
	s.switching.Lock()
	defer s.switching.Unlock()
	if l := s.listening(); l != nil && l.running() && l.serves(address) {
		return nil
	}
	_ = s.shutDown()
	resolved, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return fmt.Errorf("dtls: %w", err)
	}
	sock, err := net.ListenUDP("udp", resolved)
	if err != nil {
		return fmt.Errorf("dtls: %w", err)
	}
	// A burst of hellos must not cost the datagrams of others. The system may
	// allow less.
	_ = sock.SetReadBuffer(socketBuffer)
	return s.serve(address, sock)
}

// socketBuffer is what the system is asked to keep for the router, in bytes:
// half a second of 10,000 hellos a second.
const socketBuffer = 1 << 20

// listening is what the server serves, nil if nothing.
func (s *Server) listening() *listening {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// serve starts the router and the engine. The caller holds s.switching.
func (s *Server) serve(address string, sock socket) error {
	engine, err := s.cfg.engine(&exchange{&s.cfg})
	if err != nil {
		_ = sock.Close()
		return fmt.Errorf("dtls: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &listening{asked: address, router: newRouter(&s.cfg, sock), stop: stop, done: make(chan struct{})}
	go l.router.run()
	go func() {
		l.err = l.serve(ctx, engine, s.cfg.Once)
		close(l.done)
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = l
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// serve serves peers until ctx ends, and then until the last of them is gone.
func (l *listening) serve(ctx context.Context, engine *server.Server, once bool) error {
	defer l.router.shut()
	if once {
		return engine.RunOnce(ctx, l.router)
	}
	return engine.Run(ctx, l.router)
}

func (l *listening) running() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// serves says whether the address is the one that is served.
func (l *listening) serves(address string) bool {
	if address == l.asked {
		return true
	}
	resolved, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return false
	}
	bound, ok := l.router.Addr().(*net.UDPAddr)
	if !ok || resolved.Port != bound.Port || resolved.Zone != bound.Zone {
		return false
	}
	return resolved.IP.Equal(bound.IP) || len(resolved.IP) == 0 && bound.IP.IsUnspecified()
}

// Listening says whether the server listens: since Listen and until Close; with
// Once until the first peer comes.
func (s *Server) Listening() bool {
	l := s.listening()
	return l != nil && l.running() && !l.router.isDeaf()
}

// Addr is the address that the server listens on, nil if it does not.
func (s *Server) Addr() net.Addr {
	l := s.listening()
	if l == nil || !l.running() {
		return nil
	}
	return l.router.Addr()
}

// Close shuts the server down: new peers are ignored, messages being answered
// get their answer within the grace time, every peer is told by an alert. It
// returns when the last of them is gone. Listen can be called again.
func (s *Server) Close() error {
	s.switching.Lock()
	defer s.switching.Unlock()
	return s.shutDown()
}

// shutDown is Close, with s.switching held.
func (s *Server) shutDown() error {
	s.mu.Lock()
	l := s.current
	s.current = nil
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	l.stop()
	_ = l.router.Close() // at once: who comes from now on is ignored
	<-l.done
	return l.err
}

// ErrNotListening is what Serve returns when there is nothing to wait for.
var ErrNotListening = errors.New("dtls: not listening: call Listen first")

// Serve waits until ctx ends, wherever the server listens meanwhile, and then
// closes it. With Once it returns when the first peer's session has ended, with
// how it did.
func (s *Server) Serve(ctx context.Context) error {
	s.switching.Lock()
	l := s.listening()
	s.switching.Unlock()
	if l == nil {
		return ErrNotListening
	}
	for {
		s.mu.Lock()
		l, changed := s.current, s.changed
		s.mu.Unlock()
		var done chan struct{} // without Once it is closed by somebody who may listen elsewhere next
		if s.cfg.Once && l != nil {
			done = l.done
		}
		select {
		case <-ctx.Done():
			return s.Close()
		case <-changed:
		case <-done:
			return s.Close()
		}
	}
}

package handshake

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"
)

// A Conn is a connection with a handshake to be done.
type Conn interface {
	net.Conn
	HandshakeContext(ctx context.Context) error
}

// An Operation says which side of a handshake was done.
type Operation int

const (
	Accept Operation = iota // the side that was connected to
	Connect
)

func (op Operation) String() string {
	if op == Connect {
		return "connect"
	}
	return "accept"
}

// A Completion says how a handshake ended.
type Completion struct {
	Conn      Conn  // the session; closed if there was an error
	Err       error // nil: it succeeded
	Operation Operation
	Duration  time.Duration // from its start; waiting for a worker not included
	Value     any           // as it was given at the start
}

// Defaults of a [Config].
const (
	DefaultTimeout    = 30 * time.Second
	DefaultMaxPending = 10000
)

// A Config says how a [Pool] works. Complete is required; zero elsewhere means
// the default.
type Config struct {
	// Complete is told of every handshake that was started, once, by as many
	// goroutines at a time as there are workers. A connection without an error is
	// its to keep and close. The connection's deadlines are as they were.
	Complete func(Completion)

	Workers    int           // [runtime.GOMAXPROCS] if zero
	MaxPending int           // handshakes under way or waiting for a worker
	Timeout    time.Duration // of a handshake
}

var (
	// ErrBusy says that MaxPending handshakes are pending.
	ErrBusy = errors.New("too many handshakes pending")
	// ErrClosed says that the pool was closed.
	ErrClosed = errors.New("handshakes are not done any more")
	// ErrTimeout says that a handshake took longer than Timeout.
	ErrTimeout = errors.New("handshake not finished in time")
)

// A Pool does handshakes. Its methods are safe for concurrent use, and may be
// called from Complete, except Close.
type Pool struct {
	cfg      Config
	slots    chan struct{} // one for each pending handshake
	finished chan Completion

	mu      sync.Mutex
	closed  bool
	ctx     context.Context // of the handshakes
	stop    context.CancelCauseFunc
	running sync.WaitGroup
	workers sync.WaitGroup
}

// New returns a pool with its workers waiting, or an error if the config is
// wrong.
func New(cfg Config) (*Pool, error) {
	if cfg.Complete == nil {
		return nil, errors.New("handshake: nobody to be told of completions")
	}
	if cfg.Workers < 0 || cfg.MaxPending < 0 || cfg.Timeout < 0 {
		return nil, errors.New("handshake: negative number of workers or handshakes, or time limit")
	}
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.MaxPending == 0 {
		cfg.MaxPending = DefaultMaxPending
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	p := &Pool{
		cfg:      cfg,
		slots:    make(chan struct{}, cfg.MaxPending),
		finished: make(chan Completion, cfg.MaxPending), // so that nothing finished waits to be queued
	}
	p.ctx, p.stop = context.WithCancelCause(context.Background())
	for range cfg.Workers {
		p.workers.Go(func() {
			for c := range p.finished {
				<-p.slots
				p.cfg.Complete(c)
			}
		})
	}
	return p, nil
}

// Accept starts the handshake of a connection that was accepted and returns. With
// [ErrBusy] and [ErrClosed] nothing was started: the connection is the caller's
// still. Otherwise it is the pool's until its completion, which carries value.
func (p *Pool) Accept(conn Conn, value any) error { return p.start(Accept, conn, value) }

// Connect does the same for a connection that was made.
func (p *Pool) Connect(conn Conn, value any) error { return p.start(Connect, conn, value) }

func (p *Pool) start(op Operation, conn Conn, value any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	select {
	case p.slots <- struct{}{}:
	default:
		return ErrBusy
	}
	p.running.Go(func() { p.finished <- p.do(op, conn, value) })
	return nil
}

func (p *Pool) do(op Operation, conn Conn, value any) Completion {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(p.ctx, p.cfg.Timeout, ErrTimeout)
	defer cancel()
	err := conn.HandshakeContext(ctx)
	if err != nil {
		_ = conn.Close() // it is of no more use
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w after %s: %w", cause, time.Since(began).Round(time.Millisecond), err)
		}
	}
	return Completion{Conn: conn, Err: err, Operation: op, Duration: time.Since(began), Value: value}
}

// Pending is the number of handshakes under way or waiting for a worker.
func (p *Pool) Pending() int { return len(p.slots) }

// Close starts no more handshakes, ends those under way with [ErrClosed], and
// returns when every completion has been told.
func (p *Pool) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.workers.Wait()
		return
	}
	p.closed = true
	p.mu.Unlock()
	p.stop(ErrClosed)
	p.running.Wait()
	close(p.finished)
	p.workers.Wait()
}

package server

import (
	"time"

	"github.com/countersign-go/countersign/server/internal/tcp"
)

// Duplex parts the session's two directions, once it is [Session.Established]:
// one goroutine reads, another may write. From then on a message's time is the
// time to read it, [Session.Done] says that it was read, and a write takes as
// long as [Session.SetWriteDeadline] lets it. Errors of writes are the connection's.
//
// A server that stops does not wait for what is being read: Read fails with
// [ErrShutdown] at once, writes go on for the grace time. The channel is closed then,
// for who waits for something else.
func (s *Session) Duplex() (stopping <-chan struct{}) {
	s.duplex = true
	if conn, ok := s.conn.(*tcp.Conn); ok {
		conn.Share()
	}
	_ = s.conn.SetWriteDeadline(time.Time{}) // fails when it is closed, as all that follows
	s.state.CompareAndSwap(running, idle)
	if s.srv.draining.Load() {
		s.Interrupt()
	}
	return s.srv.stopping
}

// SetWriteDeadline sets the time after which writes of a duplex session fail;
// the zero time means never. Any goroutine may call it.
func (s *Session) SetWriteDeadline(t time.Time) error { return s.conn.SetWriteDeadline(t) }

// Interrupt has Read of a duplex session fail with [ErrShutdown], the one
// under way and all that follow. Any goroutine may call it.
func (s *Session) Interrupt() { s.closeIdle() }

// IdleTimeout is how long the next message is waited for.
func (s *Session) IdleTimeout() time.Duration { return s.srv.cfg.IdleTimeout }

package server

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server/internal/tcp"
)

const (
	// maxHandshakeBytes bounds what is read before the peer has proved who it
	// is. Tokens with large authorization data reach 64 KiB; this is room for
	// a few of them.
	maxHandshakeBytes = 256 << 10

	// A session that failed is closed in two steps, so that a reset does not
	// destroy what the peer was told last: the sending side at once, the rest
	// when the peer has closed, has sent this much more, or this time is over.
	lingerBytes = 64 << 10
	lingerTime  = time.Second
)

var (
	// ErrShutdown is what reads and writes of a session give after it was
	// closed because the server stops.
	ErrShutdown = errors.New("the server is shutting down")

	// ErrFull says that there were [Config.MaxConnections] established connections.
	ErrFull = errors.New("too many connections")

	// ErrHandshakeTooLong says that the peer sent more than any handshake needs.
	ErrHandshakeTooLong = fmt.Errorf("handshake is longer than %d bytes", maxHandshakeBytes)
)

// A session is idle before its first byte and from Done to the next message's
// first byte, unless that was read ahead. Only then does drain close it.
const (
	idle int32 = iota
	running
	closed
)

// A Session is one connection being served. It is an io.ReadWriter whose reads
// and writes are bounded by the time limit of the session's stage. Only the
// goroutine that serves it uses it, unless it is duplex: see [Session.Duplex].
type Session struct {
	srv       *Server
	conn      net.Conn
	service   Service
	id        uint64
	started   time.Time
	state     atomic.Int32
	place     *list.Element // in the server's pending; nil: established, displaced or over. Of srv.mu
	displaced atomic.Bool   // closed to make room for another
	unproved  int           // bytes that may still be read before Established
	proved    bool          // Established was called
	begun     bool          // something has been read
	awaiting  bool          // no byte of the next message has been read yet
	duplex    bool          // reads and writes know nothing of each other
	messages  int
	cut       bool // ended by the server's stop
	fields    logrus.Fields
}

// Read reads from the peer. It fails with [ErrHandshakeTooLong], with an error
// that is [os.ErrDeadlineExceeded] and says which limit was passed, with
// [ErrShutdown] or [ErrDisplaced], or as the connection does.
func (s *Session) Read(p []byte) (int, error) {
	if !s.proved {
		if s.unproved == 0 {
			return 0, ErrHandshakeTooLong
		}
		p = p[:min(len(p), s.unproved)]
	}
	if s.state.Load() == closed {
		return 0, s.ended()
	}
	if s.awaiting {
		// Of writing, too: TLS answers a key update while it reads, and the last
		// message's time may be over.
		if err := s.limit(s.srv.cfg.IdleTimeout); err != nil {
			return 0, s.explain(err)
		}
		if s.state.Load() == closed { // closeIdle came before the deadline was set
			return 0, s.ended()
		}
	} else if s.begun {
		tcp.QuickACK(s.conn)
	}
	n, err := s.conn.Read(p)
	if !s.proved {
		s.unproved -= n
	}
	if n > 0 {
		if !s.start() {
			return 0, s.ended()
		}
		s.begun = true
	}
	if err != nil {
		err = s.explain(err)
	}
	if n > 0 && s.awaiting {
		s.awaiting = false
		if derr := s.limit(s.srv.cfg.MessageTimeout); derr != nil && err == nil {
			err = s.explain(derr)
		}
	}
	return n, err
}

// Write writes to the peer. It fails as Read does.
func (s *Session) Write(p []byte) (int, error) {
	n, err := s.conn.Write(p)
	if err != nil && !s.duplex {
		err = s.explain(err)
	}
	return n, err
}

// Established ends the handshake: the peer is known, or need not be. Messages
// follow. Until then, a newer connection can take the session's place when the
// server is full.
func (s *Session) Established() {
	s.proved = true
	s.awaiting = true
	s.srv.mu.Lock()
	s.srv.settle(s)
	s.srv.mu.Unlock()
}

// Done ends an exchange: the message has been answered, the next one is waited
// for. A server that stops does not wait for it, unless the service has read
// some of it already and says so: then its time runs from now.
func (s *Session) Done(begun bool) {
	s.messages++
	if begun {
		_ = s.limit(s.srv.cfg.MessageTimeout) // fails when it is closed, as all that follows
		return
	}
	s.awaiting = true
	if s.duplex {
		return
	}
	s.state.CompareAndSwap(running, idle)
	if s.srv.draining.Load() {
		s.state.CompareAndSwap(idle, closed)
	}
}

// RemoteAddr is the peer's address.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// Logs reports whether records of the level are wanted. Who asks first spends
// nothing on making what nobody reads.
func (s *Session) Logs(level logrus.Level) bool {
	return s.srv.cfg.Log != nil && s.srv.cfg.Log.IsLevelEnabled(level)
}

// Note adds a field to all further log records of the session; nil takes it away.
// Of text longer than 1 KiB they have the beginning and the length.
func (s *Session) Note(key string, value any) {
	switch text, isText := value.(string); {
	case s.fields == nil:
	case value == nil:
		delete(s.fields, key)
	case isText:
		s.fields[key] = clip(text)
	default:
		s.fields[key] = value
	}
}

// Log writes a log record with the session's fields.
func (s *Session) Log(level logrus.Level, what string) {
	if s.Logs(level) {
		// Log copies the fields, WithFields would copy them once more.
		(&logrus.Entry{Logger: s.srv.cfg.Log, Data: s.fields}).Log(level, what)
	}
}

// limit starts the time of what comes next: of a duplex session's reading only.
func (s *Session) limit(d time.Duration) error {
	end := time.Now().Add(d)
	if s.duplex {
		return s.conn.SetReadDeadline(end)
	}
	return s.conn.SetDeadline(end)
}

// start leaves the idle state, unless drain was faster. A duplex session does not.
func (s *Session) start() bool {
	if s.duplex {
		return s.state.Load() == idle
	}
	return s.state.CompareAndSwap(idle, running) || s.state.Load() == running
}

// closeIdle ends an idle session and reports whether it was idle. The session's
// goroutine is interrupted and closes the connection: that can mean sending a
// last word, and takes as long as the peer likes.
func (s *Session) closeIdle() bool {
	if !s.state.CompareAndSwap(idle, closed) {
		return s.state.Load() == closed
	}
	if s.conn.SetReadDeadline(time.Unix(1, 0)) != nil {
		s.abort()
	}
	return true
}

// abort closes the session whatever it does, without a last word.
func (s *Session) abort() {
	s.state.Store(closed)
	conn := s.conn
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = over.NetConn()
	}
	_ = conn.Close() // the session's goroutine sees it
}

// Conn is the connection, for what its transport knows of the peer. Reading,
// writing and closing are the session's.
func (s *Session) Conn() net.Conn { return s.conn }

// handshake does the transport's handshake, if it has one. The service's own
// must end within the same time limit.
func (s *Session) handshake() error {
	deadline := s.started.Add(s.srv.cfg.HandshakeTimeout)
	if err := s.conn.SetDeadline(deadline); err != nil {
		return s.explain(err)
	}
	if s.state.Load() == closed { // closeIdle came before the deadline was set
		return s.ended()
	}
	conn, ok := s.conn.(interface{ HandshakeContext(context.Context) error })
	if !ok {
		return nil
	}
	ctx, cancel := context.WithDeadline(s.srv.ctx, deadline)
	defer cancel()
	err := conn.HandshakeContext(ctx)
	if known, ok := s.conn.(interface{ LogFields() map[string]any }); ok && s.fields != nil {
		for key, value := range known.LogFields() {
			s.Note(key, value)
		}
	}
	if err != nil {
		return s.explain(err)
	}
	return nil
}

// ended says why the server closed the session.
func (s *Session) ended() error {
	if s.displaced.Load() {
		return ErrDisplaced
	}
	return ErrShutdown
}

// explain says what stands behind an error of the connection.
func (s *Session) explain(err error) error {
	if s.state.Load() == closed {
		return s.ended()
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	switch cfg := &s.srv.cfg; {
	case !s.proved:
		return fmt.Errorf("handshake not finished within %s: %w", cfg.HandshakeTimeout, os.ErrDeadlineExceeded)
	case s.awaiting:
		return fmt.Errorf("no message for %s: %w", cfg.IdleTimeout, os.ErrDeadlineExceeded)
	default:
		return fmt.Errorf("message and answer not finished within %s: %w", cfg.MessageTimeout, os.ErrDeadlineExceeded)
	}
}

// close closes the connection of a session that ended with err, and tells the
// transport if it wants to know.
func (s *Session) close(err error) {
	if told, ok := s.conn.(interface{ CloseWithError(error) error }); ok {
		if s.cut {
			err = ErrShutdown
		}
		_ = told.CloseWithError(err) // nothing unsent is left
		return
	}
	half, ok := s.conn.(interface{ CloseWrite() error })
	told := err != nil && s.state.Load() == running || s.duplex && (err != nil || s.cut)
	if ok && told && half.CloseWrite() == nil &&
		s.conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, s.conn, lingerBytes) // the peer has been told; what it still says is not read
	}
	_ = s.conn.Close() // nothing unsent is left
}

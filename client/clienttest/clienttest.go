package clienttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// A Fault is what a server does wrong.
type Fault string

// The faults. Those after OldReply come when the context stands.
const (
	Honest      Fault = "honest"
	Garbage     Fault = "garbage"      // sends bytes of no protocol
	Huge        Fault = "huge"         // claims a frame of 2^32-1 bytes
	Silent      Fault = "silent"       // reads, and answers nothing
	Closing     Fault = "closing"      // closes after the first frame
	OldReply    Fault = "old-reply"    // answers the second connection with the first one's AP-REP
	Mute        Fault = "mute"         // establishes the context, then answers nothing
	Leaving     Fault = "leaving"      // closes where the first MIC is due
	WrongMIC    Fault = "wrong-mic"    // flips a bit of each MIC
	OtherMIC    Fault = "other-mic"    // signs another message
	ReplayedMIC Fault = "replayed-mic" // answers every message by the first MIC
	SkippedMIC  Fault = "skipped-mic"  // leaves one sequence number out before each MIC
	NoMIC       Fault = "no-mic"       // answers by NOOP where a MIC was asked for
	HugeMIC     Fault = "huge-mic"     // claims a MIC of 2^32-1 bytes
	LateError   Fault = "late-error"   // sends a context token where a MIC is due
)

// A Server answers clients until it is closed.
type Server struct {
	acceptor gss.Acceptor
	fault    Fault
	listener net.Listener
	serving  sync.WaitGroup

	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	closed   bool
	firstRep []byte
	errs     []error
	messages int
	accepted int
}

// NewServer starts a server on a loopback port. acceptor may be nil where the
// fault needs no context.
func NewServer(acceptor gss.Acceptor, fault Fault) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("clienttest: %w", err)
	}
	s := &Server{acceptor: acceptor, fault: fault, listener: listener, conns: make(map[net.Conn]struct{})}
	s.serving.Go(s.serve)
	return s, nil
}

// Addr is the server's address, "127.0.0.1:port".
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends all sessions and waits for them.
func (s *Server) Close() {
	s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// Counts are the connections accepted and the messages answered so far.
func (s *Server) Counts() (connections, messages int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted, s.messages
}

// Err joins the errors of all sessions that have ended; nil if each was ended
// by the client as the protocol has it.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

func (s *Server) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			conn.Close()
		}
		s.conns[conn] = struct{}{}
		s.accepted++
		s.mu.Unlock()
		s.serving.Go(func() { s.session(conn) })
	}
}

func (s *Server) session(conn net.Conn) {
	x := &exchange{server: s, raw: conn, conn: token.NewConn(conn)}
	x.fill = x.appendMIC
	err := x.serve()
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
	s.messages += x.messages
	if err != nil && !s.closed {
		s.errs = append(s.errs, err)
	}
}

// replyOnce gives the reply to send: the first ever where an old one is to be
// given.
func (s *Server) replyOnce(reply []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.firstRep == nil {
		s.firstRep = bytes.Clone(reply)
	}
	if s.fault == OldReply {
		return s.firstRep
	}
	return reply
}

// An exchange is one session.
type exchange struct {
	server *Server
	raw    net.Conn
	conn   *token.Conn
	sec    gss.Context

	plain    []byte
	msg      []byte
	firstMIC []byte
	fill     func(dst []byte) ([]byte, error)
	messages int
}

func (x *exchange) serve() error {
	first, err := x.conn.ReadFrame()
	if err != nil {
		return fmt.Errorf("first frame: %w", err)
	}
	switch x.server.fault {
	case Garbage:
		x.raw.Write([]byte("SSH-2.0-OpenSSH_9.2p1 Debian\r\n"))
		return x.drain()
	case Huge:
		x.raw.Write([]byte{byte(token.Context), 0xff, 0xff, 0xff, 0xff})
		return x.drain()
	case Silent:
		return x.drain()
	case Closing:
		return nil
	}
	if x.conn.Version() == token.V1 || first.Flags&token.ContextNext != 0 {
		if err := x.establish(first); err != nil {
			return err
		}
		defer x.sec.Delete()
	}
	for {
		frame, err := x.conn.ReadFrame()
		if err != nil {
			if x.conn.Version() == token.V1 && x.messages > 0 {
				return nil
			}
			return fmt.Errorf("message: %w", err)
		}
		if frame.Flags&token.NOOP != 0 {
			return nil
		}
		if err := x.answer(frame); err != nil {
			return err
		}
		x.messages++
	}
}

// drain reads until the client closes.
func (x *exchange) drain() error {
	buf := make([]byte, 4096)
	for {
		if _, err := x.raw.Read(buf); err != nil {
			return nil
		}
	}
}

func (x *exchange) establish(first token.Frame) error {
	c := &carrier{Conn: x.conn, server: x.server}
	if x.conn.Version() == token.V1 {
		c.first = first.Data
	}
	var err error
	if x.sec, err = gss.Accept(context.Background(), c, x.server.acceptor, nil); err != nil {
		return fmt.Errorf("accepting context: %w", err)
	}
	return nil
}

func (x *exchange) answer(frame token.Frame) (err error) {
	v1 := x.conn.Version() == token.V1
	x.msg = frame.Data
	if v1 || frame.Flags&token.Wrapped != 0 {
		if x.plain, _, err = x.sec.Unwrap(x.plain[:0], frame.Data); err != nil {
			return fmt.Errorf("unsealing message: %w", err)
		}
		x.msg = x.plain
	}
	wantsMIC := v1 || frame.Flags&token.SendMIC != 0
	switch x.server.fault {
	case Mute:
		return x.drain()
	case Leaving:
		return errors.New("left as ordered")
	case NoMIC:
		wantsMIC = false
	case HugeMIC:
		x.raw.Write([]byte{byte(token.MIC), 0xff, 0xff, 0xff, 0xff})
		return x.drain()
	case LateError:
		return x.conn.WriteToken([]byte("no"))
	}
	if !wantsMIC {
		return x.conn.WriteFrame(token.NOOP, nil)
	}
	return x.conn.WriteFrameFunc(token.MIC, x.fill)
}

func (x *exchange) appendMIC(dst []byte) ([]byte, error) {
	switch x.server.fault {
	case OtherMIC:
		return x.sec.MIC(dst, append([]byte("not "), x.msg...))
	case SkippedMIC:
		if _, err := x.sec.MIC(nil, x.msg); err != nil {
			return nil, err
		}
	case ReplayedMIC:
		if x.firstMIC == nil {
			var err error
			if x.firstMIC, err = x.sec.MIC(nil, x.msg); err != nil {
				return nil, err
			}
		}
		return append(dst, x.firstMIC...), nil
	}
	frame, err := x.sec.MIC(dst, x.msg)
	if err == nil && x.server.fault == WrongMIC {
		frame[len(frame)-1] ^= 1
	}
	return frame, err
}

// carrier gives back the token that told the version, and sends old replies.
type carrier struct {
	*token.Conn
	server *Server
	first  []byte
}

func (c *carrier) ReadToken() ([]byte, error) {
	if tok := c.first; tok != nil {
		c.first = nil
		return tok, nil
	}
	return c.Conn.ReadToken()
}

func (c *carrier) WriteToken(tok []byte) error {
	return c.Conn.WriteToken(c.server.replyOnce(tok))
}

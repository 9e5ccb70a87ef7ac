package client

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// A Session is a connection to a server, with a context unless it is
// unauthenticated. Its methods are safe for concurrent use; messages go one
// after the other.
type Session struct {
	cfg  Config
	raw  net.Conn
	conn *token.Conn
	sec  gss.Context // nil: unauthenticated

	mu     sync.Mutex                       // held while a message is under way
	failed error                            // what ended the session
	limit  int                              // of a message's length; zero: not yet known
	msg    []byte                           // being sent
	fill   func(dst []byte) ([]byte, error) // appendMessage, made once
}

// Info tells about the context. It is the zero Info for an unauthenticated
// session.
func (s *Session) Info() gss.Info {
	if s.sec == nil {
		return gss.Info{}
	}
	return s.sec.Inquire()
}

// Sign sends a message and gives the server's MIC of it, verified, as
// GSS_GetMIC makes them (RFC 2743, section 2.3.1). It is valid until the next
// call. Where no MIC is asked for, the answer is awaited and is nil.
//
// msg is not kept or changed. The session ends with the first error, an
// [*Error], which later calls return again. A MIC that is a duplicate is one;
// so is one out of order, where [gss.Sequencing] was asked for.
func (s *Session) Sign(msg []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return nil, s.failed
	}
	mic, step, err := s.exchange(msg)
	if err != nil {
		s.end(&Error{step, err})
		return nil, s.failed
	}
	return mic, nil
}

func (s *Session) exchange(msg []byte) (mic []byte, at Step, err error) {
	if longest, err := s.longest(); err != nil {
		return nil, Wrapping, err
	} else if len(msg) > longest {
		return nil, Sending, &TooLongError{len(msg), longest}
	}
	if err := s.raw.SetDeadline(time.Now().Add(s.cfg.Timeout)); err != nil {
		return nil, Sending, err
	}
	if at, err := s.send(msg); err != nil {
		if at == Sending {
			// What the server said before it closed tells more than that it did.
			if frame, rerr := s.conn.ReadFrame(); rerr == nil && frame.Flags&token.Context != 0 {
				return nil, Initializing, s.refusal(frame)
			}
		}
		return nil, at, refusedTLS(s.raw, err)
	}
	frame, err := s.conn.ReadFrame()
	if err != nil {
		return nil, Receiving, refusedTLS(s.raw, carrying(err, s.cfg.Timeout))
	}
	want := s.answerFlags()
	if s.cfg.Version == token.V2 && frame.Flags&token.Context != 0 && s.sec != nil {
		return nil, Initializing, s.refusal(frame)
	}
	if s.cfg.Version == token.V2 && frame.Flags != want {
		return nil, Receiving, &AnswerError{frame.Flags, want}
	}
	if s.cfg.NoMIC {
		return nil, "", nil
	}
	if err := s.sec.VerifyMIC(msg, frame.Data); err != nil {
		return nil, Verifying, err
	}
	return frame.Data, "", nil
}

// refusal is what a context token says that comes where an answer is due: the
// server did not accept the context, which without mutual authentication the
// client cannot know before. A context of which the answer is still due reads
// the token: an error token belongs to none in particular.
func (s *Session) refusal(frame token.Frame) error {
	unexplained := &AnswerError{frame.Flags, s.answerFlags()}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	sec, err := s.cfg.Initiator.Initiate(ctx, gss.Request{Target: s.cfg.Target, Flags: s.cfg.Flags | gss.Mutual})
	if err != nil {
		return unexplained
	}
	defer sec.Delete()
	if _, err := sec.Step(nil); err != nil {
		return unexplained
	}
	_, err = sec.Step(frame.Data)
	if e, ok := errors.AsType[*gss.Error](err); ok && e.Remote {
		return e
	}
	return unexplained
}

// maxV1Frame is the longest data that version 1 has a length for: its first byte is
// zero.
const maxV1Frame = 1<<24 - 1

// longest is the length of the longest message that fits a frame, once it is
// wrapped where it is to be. The caller holds s.mu.
func (s *Session) longest() (int, error) {
	if s.limit > 0 {
		return s.limit, nil
	}
	limit := s.cfg.MaxMessage
	if limit == 0 {
		limit = token.DefaultMaxLength
	}
	if s.cfg.Version == token.V1 {
		limit = min(limit, maxV1Frame)
	}
	if !s.cfg.Unwrapped {
		var err error
		if limit, err = s.sec.WrapSizeLimit(limit, !s.cfg.Unencrypted); err != nil {
			return 0, err
		}
	}
	s.limit = limit
	return limit, nil
}

func (s *Session) answerFlags() token.Flags {
	if s.cfg.NoMIC {
		return token.NOOP
	}
	return token.MIC
}

// send writes the message as one frame, wrapped in its place.
func (s *Session) send(msg []byte) (at Step, err error) {
	if s.cfg.Unwrapped {
		err = s.conn.WriteFrame(s.cfg.messageFlags(), msg)
	} else {
		s.msg = msg
		err = s.conn.WriteFrameFunc(s.cfg.messageFlags(), s.fill)
		s.msg = nil
	}
	if _, ok := errors.AsType[*gss.Error](err); ok {
		return Wrapping, err
	}
	if err != nil {
		return Sending, carrying(err, s.cfg.Timeout)
	}
	return "", nil
}

func (s *Session) appendMessage(dst []byte) ([]byte, error) {
	return s.sec.Wrap(dst, s.msg, !s.cfg.Unencrypted)
}

// Close ends the session: it tells the server, if no message is under way,
// and closes the connection. A message that is under way fails.
func (s *Session) Close() error {
	if !s.mu.TryLock() {
		err := s.raw.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.end(errClosed)
		return err
	}
	defer s.mu.Unlock()
	if s.failed != nil {
		return nil
	}
	var err error
	if s.cfg.Version == token.V2 {
		if err = s.raw.SetDeadline(time.Now().Add(s.cfg.Timeout)); err == nil {
			err = s.conn.WriteFrame(token.NOOP, nil)
		}
	}
	return errors.Join(err, s.end(errClosed))
}

// end makes cause the result of all later calls, unless the session has ended
// already. The caller holds s.mu.
func (s *Session) end(cause error) error {
	if s.failed != nil {
		return nil
	}
	s.failed = cause
	if s.sec != nil {
		s.sec.Delete()
	}
	return s.raw.Close()
}

package gss

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/countersign-go/countersign/token"
)

// Handshake establishes the context if that has not been done. Most programs
// need not call it: the first Read or Write does.
func (s *Stream) Handshake() error { return s.HandshakeContext(context.Background()) }

// HandshakeContext is Handshake under a context: its end interrupts the
// handshake, which then has failed for good. Once done, ctx has no more effect.
// A peer that says nothing is waited for until ctx or a deadline ends.
//
// An error of the mechanism is an [*Error].
func (s *Stream) HandshakeContext(ctx context.Context) error {
	if s.established.Load() != nil {
		return nil
	}
	s.handshakeMu.Lock()
	defer s.handshakeMu.Unlock()
	if s.handshaken {
		return s.handshakeErr
	}
	if s.closed.Load() {
		return net.ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.life, func() { cancel(net.ErrClosed) })()

	sec, err := s.handshake(ctx)
	if err == nil {
		err = s.begin(sec)
	}
	if err != nil && s.closed.Load() {
		err = net.ErrClosed
	}
	s.handshaken, s.handshakeErr = true, err
	return err
}

// begin makes an established context the stream's.
func (s *Stream) begin(sec Context) error {
	size, err := sec.WrapSizeLimit(maxRecord, true)
	if err == nil && size < 2 {
		err = &Error{Major: ErrFailure, Err: fmt.Errorf("the mechanism puts %d octets into a token of %d", size, maxRecord)}
	}
	if err != nil {
		sec.Delete()
		return err
	}
	s.out.size = min(size, maxRecord) - 1 // for the kind
	s.sec = sec
	s.wire.keeps = true
	info := sec.Inquire()
	s.established.Store(&info)
	if s.closed.Load() { // Close has missed it
		sec.Delete()
		return net.ErrClosed
	}
	return nil
}

// A streamCarrier is the carrier of a stream's context tokens: nothing but these
// is in the frames, no greeting either, and no end is expected among them.
type streamCarrier struct{ *token.Conn }

// ReadToken implements Carrier.
func (c streamCarrier) ReadToken() ([]byte, error) {
	frame, err := c.Conn.ReadFrame()
	switch {
	case err == io.EOF:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	case frame.Flags&token.Context == 0:
		return nil, &token.UnexpectedFrameError{Flags: frame.Flags}
	}
	return frame.Data, nil
}

// WriteToken implements Carrier.
func (c streamCarrier) WriteToken(tok []byte) error { return c.Conn.WriteFrame(token.Context, tok) }

// checkStreamContext refuses a context that a stream cannot rest on.
func checkStreamContext(sec Context, required Flags) error {
	missing := required &^ sec.Inquire().Flags
	switch {
	case missing == 0:
		return nil
	case missing&ChannelBound != 0:
		return &Error{
			Major: ErrBadBindings,
			Err:   errors.New("the client did not bind its context to the channel"),
			Hint:  "give the client the same Bindings as the server",
		}
	default:
		return &Error{Major: ErrUnauthorized, Err: fmt.Errorf("the context lacks %s, which a sealed stream needs", missing)}
	}
}

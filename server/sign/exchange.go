package sign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/token"
)

// An exchange is the state of one session.
type exchange struct {
	*Service
	session *server.Session
	conn    *token.Conn

	sec       gss.Context    // nil: unauthenticated
	delegated gss.Credential // nil: none
	sequenced bool           // Sequencing was negotiated

	msg  []byte                           // being answered
	held int                              // bytes of memory that msg takes beside its frame
	fill func(dst []byte) ([]byte, error) // appendMIC, made once
}

// plaintexts are buffers for unwrapped messages, held from a message's unwrapping
// to its answer, wiped in between. Larger ones than maxKept are left to the
// garbage collector.
var plaintexts = sync.Pool{New: func() any { return new([]byte) }}

const (
	maxKept      = 1 << 20
	smallMessage = 4 << 10 // so much is not counted
)

var errUnauthenticated = errors.New("unauthenticated client requested authenticated services")

// established goes from the handshake to the messages.
func (x *exchange) established() {
	x.session.Established()
	x.conn.SetBudget(x.memory)
}

func (x *exchange) serveV2(ctx context.Context, greeting token.Flags) error {
	switch greeting {
	case token.Greeting:
		if err := x.establish(ctx, nil); err != nil {
			return err
		}
	case token.NOOP:
		if !x.cfg.AllowUnauthenticated {
			x.session.Note("hint", "the client asks for no authentication; gss-server's --allow-unauthenticated lets it in")
			return errors.New("unauthenticated session refused: it is not allowed here")
		}
		x.out.unauthenticated()
	default:
		x.out.unexpectedGreeting(greeting)
		return fmt.Errorf("expected a NOOP frame first, got one with %v", greeting)
	}
	x.established()
	for {
		frame, err := x.conn.ReadFrame()
		if err == io.EOF {
			return errors.New("connection closed without the NOOP frame that ends a session")
		}
		if err != nil {
			return fmt.Errorf("receiving message: %w", err)
		}
		if frame.Flags&token.NOOP != 0 {
			x.out.noop()
			return nil
		}
		if err := x.answerV2(frame); err != nil {
			return err
		}
		x.session.Done(x.conn.Buffered() > 0)
	}
}

// answerV2 prints a message and answers it as its flags ask for. ENCRYPTED alone
// asks for nothing: MIT's client sends it so under -nw.
func (x *exchange) answerV2(frame token.Frame) error {
	const alien = token.Context | token.MIC | token.ContextNext
	if frame.Flags&token.Data == 0 || frame.Flags&alien != 0 {
		return fmt.Errorf("expected a DATA frame, got one with %v", frame.Flags)
	}
	if x.sec == nil && frame.Flags&(token.Wrapped|token.Encrypted|token.SendMIC) != 0 {
		x.out.unauthenticatedRequest()
		return errUnauthenticated
	}
	if x.cfg.Verbose {
		x.out.messageToken(frame.Flags, frame.Data)
	}
	x.msg = frame.Data
	if frame.Flags&token.Wrapped != 0 {
		buf := plaintexts.Get().(*[]byte)
		defer x.putPlaintext(buf)
		sealed, err := x.unwrap(buf, frame.Data)
		if err != nil {
			return err
		}
		if !sealed && frame.Flags&token.Encrypted != 0 {
			x.out.notEncrypted()
		}
	}
	x.out.message(x.msg)
	if frame.Flags&token.SendMIC != 0 {
		return x.sendMIC()
	}
	if err := x.conn.WriteFrame(token.NOOP, nil); err != nil {
		return fmt.Errorf("sending NOOP: %w", err)
	}
	return nil
}

func (x *exchange) serveV1(ctx context.Context, first []byte) error {
	if err := x.establish(ctx, first); err != nil {
		return err
	}
	x.established()
	for messages := 0; ; messages++ {
		frame, err := x.conn.ReadFrame()
		switch {
		case err == io.EOF && messages > 0:
			return nil
		case err == io.EOF:
			return errors.New("connection closed before any message came")
		case err != nil:
			return fmt.Errorf("receiving message: %w", err)
		}
		if err := x.answerV1(frame.Data); err != nil {
			return err
		}
		x.session.Done(x.conn.Buffered() > 0)
	}
}

func (x *exchange) answerV1(data []byte) error {
	if x.cfg.Verbose {
		x.out.messageToken(0, data)
	}
	buf := plaintexts.Get().(*[]byte)
	defer x.putPlaintext(buf)
	sealed, err := x.unwrap(buf, data)
	if err != nil {
		return err
	}
	if !sealed {
		x.out.notEncrypted()
	}
	x.out.message(x.msg)
	return x.sendMIC()
}

// unwrap unwraps a token into buf and makes it the message to be answered. A
// message out of sequence is one only where the client did not ask for
// sequencing.
func (x *exchange) unwrap(buf *[]byte, data []byte) (sealed bool, err error) {
	if n := len(data); n > smallMessage {
		if err := x.memory.Take(n); err != nil {
			return false, fmt.Errorf("unsealing message: %w", err)
		}
		x.held = n
	}
	msg, sealed, err := x.sec.Unwrap((*buf)[:0], data)
	if msg != nil {
		*buf = msg
	}
	outOfOrder := errors.Is(err, gss.ErrUnseqToken) || errors.Is(err, gss.ErrGapToken)
	if err != nil && (x.sequenced || !outOfOrder) {
		return false, x.fail("unsealing message", err)
	}
	x.msg = msg
	return sealed, nil
}

func (x *exchange) sendMIC() error {
	err := x.conn.WriteFrameFunc(token.MIC, x.fill)
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*gss.Error](err); ok {
		return x.fail("signing message", err)
	}
	return fmt.Errorf("sending MIC: %w", err)
}

func (x *exchange) appendMIC(dst []byte) ([]byte, error) { return x.sec.MIC(dst, x.msg) }

// release ends the context, on every way out, and the credential that came with
// it, which nothing here has a use for.
func (x *exchange) release() {
	if x.delegated != nil {
		_ = x.delegated.Release() // held in memory, and nobody could do anything
	}
	if x.sec != nil {
		x.sec.Delete()
	}
}

func (x *exchange) putPlaintext(buf *[]byte) {
	x.memory.Give(x.held)
	x.held = 0
	if cap(*buf) > maxKept {
		return
	}
	clear(*buf)
	*buf = (*buf)[:0]
	plaintexts.Put(buf)
}

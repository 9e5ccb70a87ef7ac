package gss

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Carrier sends and receives context tokens whole. Where it also has a
// SetDeadline method, as net.Conn does, cancelling the context.Context of
// [Initiate] and [Accept] interrupts it at once, and its deadline is then in the
// past; otherwise between two tokens.
type Carrier interface {
	ReadToken() ([]byte, error)
	WriteToken(token []byte) error
}

// maxLegs bounds the tokens that one side takes before the context stands, so
// that a peer cannot keep an exchange going for ever. Kerberos needs two, with
// negotiation and a nested exchange with the KDC under ten.
const maxLegs = 32

// Initiate establishes a context with the peer at the carrier's other end. The
// context is ready for per-message calls when it returns. ctx bounds the whole
// exchange, the mechanism's own I/O included.
//
// A failure in the mechanism is an [*Error]; a failure of the carrier is its
// own error, wrapped.
func Initiate(ctx context.Context, carrier Carrier, mech Initiator, req Request) (Context, error) {
	sec, err := mech.Initiate(ctx, req)
	if err != nil {
		return nil, err
	}
	out, err := sec.Step(nil)
	return establish(ctx, carrier, sec, out, err)
}

// Accept answers the peer at the carrier's other end until a context stands.
// bindings are those of the channel below the carrier, nil when it has none.
// An error token that the mechanism makes is sent to the peer before Accept
// returns the error.
func Accept(ctx context.Context, carrier Carrier, mech Acceptor, bindings *ChannelBindings) (Context, error) {
	sec, err := mech.Accept(bindings)
	if err != nil {
		return nil, err
	}
	return establish(ctx, carrier, sec, nil, nil)
}

// establish sends out, the result of a step that ended with err, and goes on
// reading, stepping and sending until the context stands.
func establish(ctx context.Context, carrier Carrier, sec Context, out []byte, err error) (Context, error) {
	stop := interruptOnCancel(ctx, carrier)
	err = exchange(ctx, carrier, sec, out, err)
	if interrupted := stop(); interrupted && err == nil {
		err = fmt.Errorf("after the last context token: %w", context.Cause(ctx)) // the carrier is of no more use
	}
	if err != nil {
		sec.Delete()
		return nil, err
	}
	return sec, nil
}

func exchange(ctx context.Context, carrier Carrier, sec Context, out []byte, err error) error {
	for legs := 0; ; legs++ {
		if len(out) > 0 {
			if werr := carrier.WriteToken(out); werr != nil && err == nil {
				err = carrierError(ctx, "sending", werr)
			}
		}
		if err == nil && sec.Established() {
			return nil
		}
		var in []byte
		if err == nil && legs == maxLegs {
			err = &Error{Major: ErrDefectiveToken, Err: fmt.Errorf("no context after %d tokens", maxLegs)}
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			if in, err = carrier.ReadToken(); err != nil {
				err = carrierError(ctx, "receiving", err)
			}
		}
		if err != nil {
			return err
		}
		out, err = sec.Step(in)
	}
}

func carrierError(ctx context.Context, doing string, err error) error {
	if cerr := context.Cause(ctx); cerr != nil {
		err = errors.Join(cerr, err)
	}
	return fmt.Errorf("%s context token: %w", doing, err)
}

// interruptOnCancel makes ctx's end fail the carrier's reads and writes. The
// function returned ends that, and tells whether it was too late: the carrier's
// deadline has then passed.
func interruptOnCancel(ctx context.Context, carrier Carrier) (stop func() (interrupted bool)) {
	d, ok := carrier.(interface{ SetDeadline(time.Time) error })
	if !ok || ctx.Done() == nil {
		return func() bool { return false }
	}
	done := make(chan struct{})
	stopped := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = d.SetDeadline(time.Unix(1, 0)) // a carrier without deadlines is checked between tokens
	})
	return func() bool {
		if stopped() {
			return false
		}
		<-done
		return true
	}
}

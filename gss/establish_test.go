package gss_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// A queue is a carrier without deadlines: one channel each way.
type queue struct {
	in, out chan []byte
	sent    int
	onRead  func()
}

func queues() (a, b *queue) {
	x, y := make(chan []byte, 64), make(chan []byte, 64)
	return &queue{in: x, out: y}, &queue{in: y, out: x}
}

func (q *queue) ReadToken() ([]byte, error) {
	if q.onRead != nil {
		q.onRead()
	}
	tok, ok := <-q.in
	if !ok {
		return nil, io.EOF
	}
	return tok, nil
}

func (q *queue) WriteToken(tok []byte) error {
	q.out <- bytes.Clone(tok)
	q.sent++
	return nil
}

// Both ends come to a context that works, however many tokens it takes.
func TestEstablish(t *testing.T) {
	for _, legs := range []int{1, 2, 5, 32} {
		t.Run(fmt.Sprint(legs), func(t *testing.T) {
			a, b := queues()
			type result struct {
				sec gss.Context
				err error
			}
			accepted := make(chan result)
			go func() {
				sec, err := gss.Accept(t.Context(), b, &fakeMech{legs: legs}, nil)
				accepted <- result{sec, err}
			}()
			ic, err := gss.Initiate(t.Context(), a, &fakeMech{legs: legs}, gss.Request{Target: fakeTarget})
			acc := <-accepted
			if err != nil || acc.err != nil {
				t.Fatal(err, acc.err)
			}
			if a.sent != legs || b.sent != legs {
				t.Errorf("%d and %d tokens were sent, want %d each", a.sent, b.sent, legs)
			}
			tok, err := ic.Wrap(nil, []byte("hello"), true)
			if err != nil {
				t.Fatal(err)
			}
			if msg, sealed, err := acc.sec.Unwrap(nil, tok); string(msg) != "hello" || !sealed || err != nil {
				t.Errorf("unwrapped %q, %t, %v", msg, sealed, err)
			}
		})
	}
}

// A refusal is sent to the peer, who learns that it is the other's.
func TestEstablishErrorToken(t *testing.T) {
	a, b := queues()
	done := make(chan error)
	go func() {
		sec, err := gss.Accept(t.Context(), b, &fakeMech{password: "secret"}, nil)
		if sec != nil {
			t.Error("a context came with the error")
		}
		done <- err
	}()
	sec, err := gss.Initiate(t.Context(), a, &fakeMech{password: "guess"}, gss.Request{Target: fakeTarget})
	var e *gss.Error
	if sec != nil || !errors.As(err, &e) || !e.Remote || e.Err.Error() != "wrong password" {
		t.Errorf("the initiator has %v", err)
	}
	if err := <-done; !errors.Is(err, gss.ErrUnauthorized) || !errors.Is(err, errPassword) || !errors.As(err, &e) || e.Remote {
		t.Errorf("the acceptor has %v", err)
	}
}

// An error token that cannot be sent does not hide why it was to be sent.
func TestEstablishErrorTokenLost(t *testing.T) {
	carrier := &oneToken{tok: []byte("nonsense")}
	if _, err := gss.Accept(t.Context(), carrier, &fakeMech{}, nil); !errors.Is(err, gss.ErrDefectiveToken) || errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

// oneToken is a carrier with one token to read; nothing can be written to it.
type oneToken struct{ tok []byte }

func (c *oneToken) ReadToken() ([]byte, error) {
	tok := c.tok
	if c.tok = nil; tok == nil {
		return nil, io.EOF
	}
	return tok, nil
}

func (c *oneToken) WriteToken([]byte) error { return io.ErrClosedPipe }

// A failing carrier's error is not a mechanism's, and is to be seen.
func TestEstablishCarrierError(t *testing.T) {
	for name, carrier := range map[string]gss.Carrier{
		"sending":   &oneToken{},
		"receiving": func() gss.Carrier { a, _ := queues(); close(a.in); return a }(),
	} {
		want := map[string]error{"sending": io.ErrClosedPipe, "receiving": io.EOF}[name]
		_, err := gss.Initiate(t.Context(), carrier, &fakeMech{}, gss.Request{Target: fakeTarget})
		var e *gss.Error
		if !errors.Is(err, want) || errors.As(err, &e) || err.Error() != name+" context token: "+want.Error() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A peer that never comes to an end is stopped.
func TestEstablishEndlessPeer(t *testing.T) {
	a, b := queues()
	defer close(a.out) // ends the acceptor
	go func() { _, _ = gss.Accept(t.Context(), b, &fakeMech{endless: true}, nil) }()
	_, err := gss.Initiate(t.Context(), a, &fakeMech{endless: true}, gss.Request{Target: fakeTarget})
	if !errors.Is(err, gss.ErrDefectiveToken) || a.sent > 40 {
		t.Errorf("after %d tokens: %v", a.sent, err)
	}
}

// The context's end interrupts a carrier that waits at once, where the carrier
// has deadlines, and is the error.
func TestEstablishCancelled(t *testing.T) {
	cause := errors.New("shutting down")
	for name, establish := range map[string]func(context.Context, gss.Carrier) (gss.Context, error){
		"reading": func(ctx context.Context, c gss.Carrier) (gss.Context, error) {
			return gss.Accept(ctx, c, &fakeMech{}, nil)
		},
		"writing": func(ctx context.Context, c gss.Carrier) (gss.Context, error) {
			return gss.Initiate(ctx, c, &fakeMech{}, gss.Request{Target: fakeTarget})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, peer := net.Pipe() // the peer neither reads nor writes
				defer conn.Close()
				defer peer.Close()
				ctx, cancel := context.WithCancelCause(context.Background())
				time.AfterFunc(time.Second, func() { cancel(cause) })
				start := time.Now()
				sec, err := establish(ctx, token.NewConn(conn))
				if sec != nil || !errors.Is(err, cause) || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v, %v", sec, err)
				}
				if took := time.Since(start); took != time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// Without deadlines the context is looked at between tokens.
func TestEstablishCancelledBetweenTokens(t *testing.T) {
	a, b := queues()
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	a.onRead = func() {
		if reads++; reads == 3 {
			cancel()
		}
	}
	defer close(a.out) // ends the acceptor
	go func() { _, _ = gss.Accept(t.Context(), b, &fakeMech{endless: true}, nil) }()
	_, err := gss.Initiate(ctx, a, &fakeMech{endless: true}, gss.Request{Target: fakeTarget})
	if !errors.Is(err, context.Canceled) || reads != 3 {
		t.Errorf("after %d reads: %v", reads, err)
	}
}

// lateCarrier is a carrier whose deadline is set only as the last token goes.
type lateCarrier struct {
	*queue
	cancel   func()
	deadline chan time.Time
}

func (c lateCarrier) WriteToken(tok []byte) error {
	c.cancel()
	c.deadline <- <-c.deadline // the interruption has begun
	return c.queue.WriteToken(tok)
}

func (c lateCarrier) SetDeadline(t time.Time) error {
	c.deadline <- t
	return nil
}

// A context that ends while the exchange succeeds has spoilt the carrier: the
// exchange fails rather than what comes after it.
func TestEstablishCancelledAtTheEnd(t *testing.T) {
	a, b := queues()
	ctx, cancel := context.WithCancel(t.Context())
	ic, err := (&fakeMech{}).Initiate(t.Context(), gss.Request{Target: fakeTarget})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := ic.Step(nil)
	if err != nil {
		t.Fatal(err)
	}
	a.out <- tok
	sec, err := gss.Accept(ctx, lateCarrier{b, cancel, make(chan time.Time, 1)}, &fakeMech{}, nil)
	if sec != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", sec, err)
	}
}

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/countersign-go/countersign/token"
)

// A Step is a part of a session, by the words with which its failure is told.
type Step string

// The steps, in their order.
const (
	Connecting   Step = "connecting to server"
	Initializing Step = "initializing context" // the ticket, and the exchange of context tokens
	Wrapping     Step = "wrapping message"
	Sending      Step = "sending message"
	Receiving    Step = "receiving answer"
	Verifying    Step = "verifying signature"
)

// An Error says at which step a session failed. Its cause is a [*gss.Error] in
// Initializing, Wrapping and Verifying where the mechanism found the fault or
// the server said so, a [*CertificateError] in Securing where the server's
// certificate is at fault, a [*RefusedError] in the steps that follow it where
// the client's is, a [*TooLongError] in Sending, an [*EchoError] in Receiving;
// else a network error, an [*AnswerError], or [os.ErrDeadlineExceeded], [io.EOF]
// and package token's errors, wrapped.
type Error struct {
	Step Step
	Err  error
}

// Error gives step and cause in one line.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Step, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// An AnswerError says that the server answered a message by another frame than
// was asked for.
type AnswerError struct {
	Got, Want token.Flags
}

func (e *AnswerError) Error() string {
	if e.Got&token.Context != 0 {
		return "the server sent a context token instead of an answer: it refused the context"
	}
	return fmt.Sprintf("the server answered by a frame with %v, not %v", e.Got, e.Want)
}

// A TooLongError says that a message does not fit a frame: nothing of it was
// sent. What wrapping adds counts.
type TooLongError struct {
	Length, Limit int // bytes, of the message and of the longest that fits
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("the message has %d bytes, and the longest that fits a frame in this session has %d", e.Length, e.Limit)
}

var errClosed = fmt.Errorf("the session is closed: %w", net.ErrClosed)

// carrying words an error of the connection for whoever awaited something
// within the time limit.
func carrying(err error, limit time.Duration) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the server did not answer within %v: %w", limit, os.ErrDeadlineExceeded)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the server closed the connection: %w", err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the server closed the connection where its answer was due: %w", io.EOF)
	}
	return err
}

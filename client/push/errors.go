package push

import (
	"errors"
	"fmt"
	"net"

	"github.com/countersign-go/countersign/token/pushwire"
)

// A RefusedError says that the server did not do what was asked for.
type RefusedError struct {
	Status pushwire.Status
	Why    string // in the server's words; may be empty
}

func (e *RefusedError) Error() string {
	if e.Why == "" || e.Why == e.Status.String() {
		return e.Status.String()
	}
	return fmt.Sprintf("%v: %s", e.Status, printable(e.Why))
}

// Is has errors.Is find the sentinel of the status.
func (e *RefusedError) Is(target error) bool {
	other, ok := target.(*RefusedError)
	return ok && other.Why == "" && other.Status == e.Status
}

// What a [RefusedError] is, for errors.Is.
var (
	ErrForbidden error = &RefusedError{Status: pushwire.Forbidden}
	ErrNoGroup   error = &RefusedError{Status: pushwire.NoGroup}
	ErrAbsent    error = &RefusedError{Status: pushwire.Absent}
	ErrTooOften  error = &RefusedError{Status: pushwire.TooOften}
	ErrTooLong   error = &RefusedError{Status: pushwire.TooLong}
	ErrTooMany   error = &RefusedError{Status: pushwire.TooMany}
	ErrDeclined  error = &RefusedError{Status: pushwire.Declined}
	ErrUnreached error = &RefusedError{Status: pushwire.Unreached} // Result.Receivers got it all the same
)

var (
	// ErrInterrupted is of a request that was under way when the connection
	// went: nobody knows whether it was done.
	ErrInterrupted = errors.New("push: the connection went before the result came")

	// ErrClosed is of requests after Close.
	ErrClosed = fmt.Errorf("push: the client is closed: %w", net.ErrClosed)

	errSilent  = errors.New("push: the server gives no sign of life")
	errOverrun = errors.New("push: the server tells more than the program's callbacks take")
)

// An interruptedError is an ErrInterrupted with its cause.
type interruptedError struct{ cause error }

func (e *interruptedError) Error() string { return fmt.Sprintf("%v: %v", ErrInterrupted, e.cause) }

func (e *interruptedError) Is(target error) bool { return target == ErrInterrupted }

func (e *interruptedError) Unwrap() error { return e.cause }

// A ByeError says that the server ended the connection, in its words.
type ByeError struct {
	Code pushwire.ByeCode
	Why  string
}

var byeTexts = map[pushwire.ByeCode]string{
	pushwire.Finished:  "the server ended the connection",
	pushwire.Stopping:  "the server stops",
	pushwire.TooSlow:   "the server ended the connection, as what it sent was taken too slowly",
	pushwire.Refused:   "the server refused the client",
	pushwire.Violation: "the server says that the protocol was broken",
	pushwire.Failed:    "the server failed",
}

func (e *ByeError) Error() string {
	text := "push: " + byeTexts[e.Code]
	if e.Why != "" && e.Why != byeTexts[e.Code] {
		text += ": " + printable(e.Why)
	}
	return text
}

// final says that connecting again is of no use.
func final(err error) bool {
	bye, ok := errors.AsType[*ByeError](err)
	return ok && (bye.Code == pushwire.Refused || bye.Code == pushwire.Violation)
}

// A ProtocolError says what a server did that the protocol does not allow.
type ProtocolError struct{ Err error }

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("push: the server broke the protocol: %v", e.Err)
}

func (e *ProtocolError) Unwrap() error { return e.Err }

func violation(format string, args ...any) error {
	return &ProtocolError{fmt.Errorf(format, args...)}
}

// printable gives a peer's text without what would act on a terminal.
func printable(text string) string {
	safe := fmt.Sprintf("%+q", text)
	return safe[1 : len(safe)-1]
}

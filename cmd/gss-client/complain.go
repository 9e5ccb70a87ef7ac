package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/client/dtls"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// A failure is an error with what was being done and what to do about it.
type failure struct {
	doing string
	err   error
	hint  string
}

func (f *failure) Error() string { return f.doing + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// usage is a fault in the command line.
func usage(text, hint string) error {
	return &failure{doing: "reading the command line", err: errors.New(text), hint: hint}
}

// complain prints an error: the two lines that MIT's client has for one of the
// GSS-API, then what failed and why, then what to do about it.
func complain(w io.Writer, err error) {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		fmt.Fprintf(w, "gss-client: %v\n", err)
		return
	}
	cause, hint := f.err.Error(), f.hint
	if e, ok := errors.AsType[*gss.Error](f.err); ok {
		fmt.Fprintf(w, "GSS-API error %s: %v\n", f.doing, e.Major)
		cause = e.Major.Error()
		if e.Err != nil {
			cause = e.Err.Error()
			fmt.Fprintf(w, "GSS-API error %s: %s\n", f.doing, cause)
		}
		if e.Remote {
			cause = "the server says: " + cause
		}
		if hint == "" {
			hint = e.Hint
		}
	}
	fmt.Fprintf(w, "gss-client: %s: %s\n", f.doing, cause)
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}

// minorUnknownService is KDC_ERR_S_PRINCIPAL_UNKNOWN as MIT numbers it.
const minorUnknownService = -1765328377

// explain makes a failure of an error of a session.
func (o *options) explain(err error) error {
	ce, ok := errors.AsType[*client.Error](err)
	if !ok {
		return &failure{doing: "connecting to server", err: err}
	}
	f := &failure{doing: string(ce.Step), err: ce.Err}
	if errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) {
		f.err = errors.New("interrupted")
		return f
	}
	if e, ok := errors.AsType[*gss.Error](err); ok {
		if service, host, _ := strings.Cut(o.service, "@"); e.Minor == minorUnknownService && host == "" {
			f.hint = fmt.Sprintf("%s without a host stands for the service on this machine: write %s@%s", o.service, service, o.host)
		}
		return f
	}
	f.hint = o.carrierHint(ce)
	return f
}

func (o *options) carrierHint(err *client.Error) string {
	if hint := o.tlsHint(err); hint != "" {
		return hint
	}
	_, noHost := errors.AsType[*net.DNSError](err)
	_, tooLong := errors.AsType[*token.TooLongError](err)
	_, unsent := errors.AsType[*client.TooLongError](err)
	_, notContext := errors.AsType[*token.UnexpectedFrameError](err)
	_, notAnswer := errors.AsType[*client.AnswerError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "is gss-server running on that host and port? -port names another"
	case errors.Is(err, dtls.ErrBusy):
		return "try again in a moment; the server's log says which limit it was"
	case noHost:
		return "check the host's spelling, and that DNS or /etc/hosts knows it"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "is that a gss-server, and not busy with another client? --timeout gives it longer"
	case unsent:
		return "send it in parts"
	case tooLong, notContext, errors.Is(err, token.ErrNoFlags):
		return "is that a gss-server? what it sent is not of this protocol"
	case o.v1 && errors.Is(err, io.EOF):
		return "MIT's gss-server serves no version 1 clients: leave -v1 away"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), notAnswer:
		return "the server's log says why"
	}
	return ""
}

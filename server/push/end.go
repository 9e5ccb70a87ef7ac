package push

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/token"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A farewell is how a session ends.
type farewell struct {
	finish bool // do the requests that are waiting
	flush  bool // write what is queued
	bye    *pushwire.Bye
	err    error // what is said of it in the log
}

// farewell tells by the error of the side that reads how the session ends.
func (m *Member) farewell(err error) farewell {
	m.mu.Lock()
	failure := m.failure
	m.mu.Unlock()
	var refused *refusedError
	var noRoom *token.BudgetError
	switch {
	case err == errFinished:
		return farewell{finish: true, flush: true, bye: &pushwire.Bye{Code: pushwire.Finished}}
	case failure != nil: // it has stopped the side that reads
		return farewell{err: failure}
	case errors.Is(err, server.ErrShutdown), errors.Is(err, errGone):
		return farewell{flush: true, bye: &pushwire.Bye{Code: pushwire.Stopping}, err: server.ErrShutdown}
	case errors.As(err, &refused):
		return farewell{bye: &pushwire.Bye{Code: pushwire.Refused, Why: refused.err.Error()}, err: err}
	case isLost(err):
		return farewell{err: err}
	case errors.As(err, &noRoom):
		return farewell{bye: &pushwire.Bye{Code: pushwire.Failed, Why: "the server has no memory left"}, err: err}
	default:
		return farewell{bye: &pushwire.Bye{Code: pushwire.Violation, Why: err.Error()}, err: err}
	}
}

// isLost reports whether an error says that the peer is not there any more.
func isLost(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, token.ErrTruncated) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed)
}

// end ends a session of which nothing more is read. It returns when nothing of the
// session runs any more, and gives how it ended.
func (m *Member) end(err error) error {
	how := m.farewell(err)
	if how.finish {
		close(m.leaving)
	} else {
		m.cancel()
	}
	if how.bye == nil {
		m.abandon()
	}
	m.mu.Lock()
	m.gone = true
	groups := slices.Clone(m.groups)
	m.was = groups
	if !how.flush {
		m.closed = true
		m.discard()
	}
	m.mu.Unlock()
	m.hub.leave(m, m.hub.lockKnown(groups), false, nil)
	m.worker.Wait()
	m.sayBye(how)
	m.writer.Wait()

	m.session.Note("requests", m.requests)
	m.session.Note("pushed", m.pushed)
	if m.refused.all > 0 {
		m.session.Note("refused", m.refused.all)
	}
	if m.dropped > 0 {
		m.session.Note("lost", m.dropped)
	}
	return how.err
}

// sayBye has the last word written after what is queued.
func (m *Member) sayBye(how farewell) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.failure != nil || how.bye == nil {
		return
	}
	m.last, _ = pushwire.Append(nil, *how.bye) // it fits
	if m.held {
		m.writing, m.held = false, false
	}
	m.wake()
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// outputRoom is what waits to be printed at most, in bytes: seconds of a
	// busy server's output. An event that is larger by itself is let in when
	// nothing else waits.
	outputRoom = 8 << 20

	// outputPatience is how long a session waits for room, and only the first
	// one that finds none: a reader that is merely slow loses nothing, and one
	// that does not read at all holds nobody up.
	outputPatience = time.Second

	// outputDelay is how long an event waits for others to be written with it, as
	// long as no more than outputBatch bytes do. Short sessions print three events
	// each, and a system call and a goroutine's waking for each of them is more
	// than the rest of such a session's output costs.
	outputDelay = 25 * time.Millisecond
	outputBatch = 64 << 10

	// lastOutput is what the queue is given when the grace time is over.
	lastOutput = 250 * time.Millisecond
)

// openOutput gives where the lines go that MIT's gss-server prints: nowhere, and
// so they are not even made, in inetd mode and when standard output is the null
// device. flush is called at the end; when ctx is done it takes no longer than
// the grace time allows.
func openOutput(ctx context.Context, opts options, log *logrus.Logger) (out io.Writer, flush func()) {
	if opts.inetd {
		return nil, func() {}
	}
	if out, err := os.Stdout.Stat(); err == nil {
		if null, err := os.Stat(os.DevNull); err == nil && os.SameFile(out, null) {
			return nil, func() {}
		}
	}
	signal.Ignore(syscall.SIGPIPE) // or the first line that nobody reads would end the program
	q := newQueue(os.Stdout, log)
	graceOver := make(chan struct{})
	context.AfterFunc(ctx, func() {
		time.AfterFunc(opts.server.Grace, func() { close(graceOver) })
	})
	return q, func() { q.flush(graceOver) }
}

// A queue stands between the sessions and standard output, which may be read
// slowly or not at all: one goroutine writes, and what finds no room is dropped
// whole. It is an io.Writer that never fails; each Write is an event of whole
// lines.
type queue struct {
	w   io.Writer
	log *logrus.Logger // nil: no log

	mu      sync.Mutex
	pending []byte        // to be written next
	writing int           // lines being written
	lost    int           // lines dropped after pending
	failing bool          // the last write failed
	broken  bool          // nobody reads any more
	changed chan struct{} // closed and replaced at every change
	more    chan struct{} // holds one item if there is something to write now
	delay   *time.Timer   // gives more its item
	delayed bool          // delay runs
}

func newQueue(w io.Writer, log *logrus.Logger) *queue {
	q := &queue{w: w, log: log, changed: make(chan struct{}), more: make(chan struct{}, 1)}
	q.delay = time.AfterFunc(outputDelay, q.wake)
	q.delay.Stop()
	go q.run()
	return q
}

// Stat tells what is behind the queue: a terminal has colours.
func (q *queue) Stat() (os.FileInfo, error) {
	if f, ok := q.w.(*os.File); ok {
		return f.Stat()
	}
	return nil, errors.ErrUnsupported
}

// Write queues an event.
func (q *queue) Write(event []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken {
		return len(event), nil // said already
	}
	if !q.roomFor(event) && q.lost == 0 {
		wait(q, time.After(outputPatience), func() bool { return q.roomFor(event) || q.broken || q.lost > 0 })
	}
	switch {
	case q.broken:
	case q.lost == 0 && q.roomFor(event):
		q.pending = append(q.pending, event...)
		if len(q.pending) > outputBatch {
			q.wake()
		} else if !q.delayed {
			q.delayed = true
			q.delay.Reset(outputDelay)
		}
	default:
		if q.lost == 0 {
			q.warn(logrus.Fields{}, "standard output is not read, dropping lines")
		}
		q.lost += max(bytes.Count(event, newline), 1)
		q.change() // nobody else need wait
	}
	return len(event), nil
}

var newline = []byte("\n")

func (q *queue) roomFor(event []byte) bool {
	return len(q.pending) == 0 || len(q.pending)+len(event) <= outputRoom
}

// run writes what is queued.
func (q *queue) run() {
	var buf []byte
	for range q.more {
		q.mu.Lock()
		buf, q.pending = q.pending, buf[:0]
		q.delay.Stop()
		q.delayed = false
		if q.lost > 0 {
			buf = fmt.Appendf(buf, "... %d lines lost\n", q.lost)
			q.warn(logrus.Fields{"lines": q.lost}, "standard output is read again, lines were lost")
			q.lost = 0
		}
		if len(buf) == 0 { // it was woken twice, or nobody reads any more
			q.mu.Unlock()
			continue
		}
		q.writing = bytes.Count(buf, newline)
		q.change()
		q.mu.Unlock()

		_, err := q.w.Write(buf)

		q.mu.Lock()
		if err != nil && !q.failing { // said once, a disk can be full for long
			q.warn(logrus.Fields{logrus.ErrorKey: err, "lines": q.writing}, "cannot write to standard output, lines were lost")
		}
		q.failing, q.broken = err != nil, errors.Is(err, syscall.EPIPE)
		if q.broken {
			q.pending, q.lost = nil, 0
		}
		q.writing = 0
		q.change()
		q.mu.Unlock()
		if cap(buf) > 2*outputRoom {
			buf = nil
		}
	}
}

// flush waits until everything is written. Once giveUp is closed it waits a
// moment longer and says what was lost.
func (q *queue) flush(giveUp <-chan struct{}) {
	done := func() bool { return len(q.pending) == 0 && q.writing == 0 && q.lost == 0 }
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake()
	if wait(q, giveUp, done); done() {
		return
	}
	if wait(q, time.After(lastOutput), done); !done() {
		n := q.writing + bytes.Count(q.pending, newline) + q.lost
		q.warn(logrus.Fields{"lines": n}, "standard output is not read, lines were lost")
	}
}

// wait gives the queue to others until until is true or over gives something.
func wait[T any](q *queue, over <-chan T, until func() bool) {
	for !until() {
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-changed:
			q.mu.Lock()
		case <-over:
			q.mu.Lock()
			return
		}
	}
}

// change tells those who wait.
func (q *queue) change() {
	close(q.changed)
	q.changed = make(chan struct{})
	if len(q.pending) > 0 || q.lost > 0 {
		q.wake()
	}
}

// wake has run look again.
func (q *queue) wake() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

func (q *queue) warn(fields logrus.Fields, what string) {
	if q.log != nil {
		q.log.WithFields(fields).Warn(what)
	}
}

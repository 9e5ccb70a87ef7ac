package gss

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// closeTimeout bounds how long Close waits for the end of the stream to be
// taken, as crypto/tls does.
const closeTimeout = 5 * time.Second

var errWriteClosed = errors.New("gss: sealed stream: written to after CloseWrite")

// streamOutput is the writing side of a Stream.
type streamOutput struct {
	sync.Mutex
	size  int   // of the content of a full record
	ended bool  // the end of the stream is sealed
	err   error // returned from now on

	deadline deadline

	fill func(dst []byte) ([]byte, error) // wrapRecord, bound once
	msg  []byte                           // what it wraps
	room []byte                           // where it may do so
}

// Write seals p and sends it, after the handshake where that has not been done,
// in records of up to 64 KiB and none for an empty p. When it fails, n is the
// number of bytes that are sealed and sent or, where the deadline has passed,
// go first with whatever is written next.
func (s *Stream) Write(p []byte) (n int, err error) {
	if err := s.Handshake(); err != nil {
		return 0, err
	}
	s.out.Lock()
	defer s.out.Unlock()
	for n < len(p) {
		if s.closed.Load() {
			return n, net.ErrClosed
		}
		content := p[n:min(len(p), n+s.out.size)]
		sealed, err := s.writeRecord(content, kindData)
		if sealed {
			n += len(content)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// CloseWrite tells the peer that the stream ends here, after the handshake
// where that has not been done. The peer's Read then returns [io.EOF]; the
// other direction goes on, and the connection below stays as it is. Closing
// again does nothing but send what a deadline held back.
func (s *Stream) CloseWrite() error {
	if err := s.Handshake(); err != nil {
		return err
	}
	s.out.Lock()
	defer s.out.Unlock()
	if s.closed.Load() {
		return net.ErrClosed
	}
	return s.endOutput()
}

// endOutput sends the end of the stream. The caller holds the lock.
func (s *Stream) endOutput() error {
	if s.out.ended {
		return s.wire.flush()
	}
	sealed, err := s.writeRecord(nil, kindEnd)
	if sealed {
		s.out.ended, s.out.err = true, errWriteClosed
	}
	return err
}

// closeOutput is Close's part in writing. It leaves a Write that is under way,
// and that Close is about to interrupt, without an end of the stream.
func (s *Stream) closeOutput() error {
	if s.established.Load() == nil || !s.out.TryLock() {
		return nil
	}
	defer s.out.Unlock()
	if s.out.err != nil && !s.out.ended {
		return nil // told before
	}
	_ = s.SetWriteDeadline(time.Now().Add(closeTimeout)) // without it the connection decides
	err := s.endOutput()
	if s.in.ended.Load() && !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// writeRecord sends a record. Where it was sealed but not all of it sent, the
// deadline's error comes with sealed set. The caller holds the lock.
func (s *Stream) writeRecord(content []byte, kind byte) (sealed bool, err error) {
	out := &s.out
	if out.err != nil {
		return false, out.err
	}
	if out.deadline.passed() {
		return false, os.ErrDeadlineExceeded // before a sequence number is spent
	}
	if err := s.wire.flush(); err != nil {
		return false, s.writeFailed(err)
	}
	plain, room := takeRecordBuffer(), takeRecordBuffer()
	out.msg = append(append(plain[:0], content...), kind)
	out.room = room[:0]
	err = s.frames.WriteFrameFunc(recordFlags, out.fill)
	giveRecordBuffer(plain, len(out.msg))
	giveRecordBuffer(room, 0)
	out.msg, out.room = nil, nil
	if err != nil {
		return false, s.writeFailed(err)
	}
	return true, s.wire.held()
}

// wrapRecord appends the record to the frame that dst begins, in a buffer that
// has room for all of it.
func (s *Stream) wrapRecord(dst []byte) ([]byte, error) {
	return s.sec.Wrap(append(s.out.room, dst...), s.out.msg, true)
}

// writeFailed makes an error stick, unless it is a deadline's.
func (s *Stream) writeFailed(err error) error {
	if s.closed.Load() {
		return net.ErrClosed
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		s.out.err = err
	}
	return err
}

// wire is the connection as package token writes to it. A frame that a deadline
// cut short is kept, so that what is left of it can go later.
type wire struct {
	net.Conn
	keeps bool   // frames, once the context stands
	rest  []byte // of a frame, yet to be sent
	why   error  // the deadline's error, not yet told
}

// Write implements io.Writer.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if w.keeps && n >= 0 && n < len(p) && errors.Is(err, os.ErrDeadlineExceeded) {
		w.rest = append([]byte(nil), p[n:]...)
		w.why = err
		return len(p), nil
	}
	return n, err
}

// held gives the error that kept a frame from leaving, once.
func (w *wire) held() error {
	err := w.why
	w.why = nil
	return err
}

// flush sends what was kept.
func (w *wire) flush() error {
	for len(w.rest) > 0 {
		n, err := w.Conn.Write(w.rest)
		if n < 0 || n > len(w.rest) || n == 0 && err == nil {
			return errors.New("gss: sealed stream: the connection miscounts what it writes")
		}
		if w.rest = w.rest[n:]; err != nil {
			return err
		}
	}
	w.rest = nil
	return nil
}

// A deadline remembers the write deadline, so that it can be looked at before
// anything is sealed. It is safe for concurrent use.
type deadline struct {
	mu sync.Mutex
	t  time.Time
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.t = t
}

func (d *deadline) passed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.t.IsZero() && !time.Now().Before(d.t)
}

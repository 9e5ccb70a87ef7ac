package gss

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
)

// streamInput is the reading side of a Stream.
type streamInput struct {
	sync.Mutex
	buffer *[maxRecord + recordRoom]byte // borrowed while unread has something
	unread []byte                        // of the buffer, plain text
	used   int                           // octets of the buffer that are plain text
	err    error                         // returned from now on
	ended  atomic.Bool                   // err is io.EOF, for those without the lock
}

// Read reads what the peer wrote, at least one byte unless p is empty, after
// the handshake where that has not been done. It may use all of p as scratch
// space. At the authenticated end of the stream it returns [io.EOF], where the
// connection was cut [io.ErrUnexpectedEOF].
func (s *Stream) Read(p []byte) (int, error) {
	if err := s.Handshake(); err != nil {
		return 0, err
	}
	in := &s.in
	in.Lock()
	defer in.Unlock()
	switch {
	case s.closed.Load():
		in.drop()
		return 0, net.ErrClosed
	case len(in.unread) > 0:
		return in.take(p), nil
	case in.err != nil:
		return 0, in.err
	case len(p) == 0:
		return 0, nil
	}
	n, err := s.readRecord(p)
	if err == nil {
		return n, nil
	}
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		in.err = err
		in.ended.Store(err == io.EOF)
	}
	return 0, err
}

// readRecord reads a record with data into p, or into a buffer where p has not
// the room that decrypting takes.
func (s *Stream) readRecord(p []byte) (int, error) {
	in := &s.in
	frame, err := s.frames.ReadFrame()
	switch {
	case err == io.EOF:
		return 0, io.ErrUnexpectedEOF
	case err != nil:
		return 0, err
	case frame.Flags != recordFlags:
		return 0, fmt.Errorf("gss: sealed stream: expected a frame with %v, got one with %v", recordFlags, frame.Flags)
	case len(frame.Data) > maxRecord:
		return 0, fmt.Errorf("gss: sealed stream: record of %d octets is longer than the limit of %d", len(frame.Data), maxRecord)
	}
	dst := p
	direct := len(p) >= len(frame.Data) // no mechanism's token is shorter than what is in it
	if !direct {
		in.buffer = takeRecordBuffer()
		dst = in.buffer[:]
	}
	msg, err := s.openRecord(dst[:0:len(dst)], frame.Data)
	if direct {
		return copy(p, msg), err // no copy where the mechanism worked in place
	}
	in.unread = in.buffer[:copy(in.buffer[:], msg)]
	in.used = len(in.unread) + 1
	if err != nil {
		in.drop()
		return 0, err
	}
	return in.take(p), nil
}

// openRecord appends a record's content, which is not empty, to dst. The end
// of the stream is io.EOF.
func (s *Stream) openRecord(dst, record []byte) ([]byte, error) {
	msg, sealed, err := s.sec.Unwrap(dst, record)
	if err != nil {
		// Gaps and tokens out of order come with the message: it is not given on.
		clear(msg)
		return nil, err
	}
	if !sealed {
		clear(msg)
		return nil, errors.New("gss: sealed stream: the peer sent a message that is not encrypted")
	}
	if len(msg) == 0 {
		return nil, errors.New("gss: sealed stream: empty message")
	}
	content, kind := msg[:len(msg)-1], msg[len(msg)-1]
	switch {
	case kind == kindData && len(content) > 0:
		return content, nil
	case kind == kindEnd && len(content) == 0:
		return nil, io.EOF
	case kind&0xf0 != streamVersion:
		err = fmt.Errorf("gss: sealed stream: the peer's format is of version %d, this is version %d", kind>>4, streamVersion>>4)
	default:
		err = fmt.Errorf("gss: sealed stream: message of kind %#x with %d octets", kind, len(content))
	}
	clear(msg)
	return nil, err
}

// take gives what is unread as far as p has room.
func (in *streamInput) take(p []byte) int {
	n := copy(p, in.unread)
	in.unread = in.unread[n:]
	if len(in.unread) == 0 {
		in.drop()
	}
	return n
}

// drop gives the buffer back.
func (in *streamInput) drop() {
	if in.buffer != nil {
		giveRecordBuffer(in.buffer, in.used)
		in.buffer, in.unread = nil, nil
	}
}

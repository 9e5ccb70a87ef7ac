package token

import (
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"time"
)

const (
	// DefaultMaxLength is the longest data of a frame, in bytes, unless Config says otherwise. It is far above any context
	// token and holds the files that the sample programs send as one message.
	DefaultMaxLength = 16 << 20

	// maxV1Length keeps the first byte of a version 1 frame 0, by which the versions are told apart.
	maxV1Length = 1<<24 - 1

	// MaxLength is the highest limit, in bytes. It keeps frames within int on every platform.
	MaxLength = math.MaxInt32 - maxHeader
)

// Config is what a Conn can be told.
type Config struct {
	Version   Version // Detect if zero; an initiator of version 1 names V1
	MaxLength int     // longest data of a frame, in bytes; DefaultMaxLength if zero; version 1 itself has no more than 2^24-1
	Budget    *Budget // shared by all Conns that have it, for what they read; no bound if nil
}

// A Conn reads and writes frames on a stream. It owns the stream: it reads ahead of the frame that it returns, so nobody
// else may read from the stream afterwards. It does not close the stream.
//
// One goroutine may read while another writes. Version and the methods that set deadlines may be called at any time.
//
// A failure sticks, each direction for itself: after a read or a write has failed, further ones return the same error, but
// a frame that says what was wrong can still be written after a bad one was read, and what the peer said before it closed
// can still be read after a write has failed. Two things are no failure: a read whose deadline has passed, which the next
// read takes up where it stopped, and a frame refused before anything of it was written.
type Conn struct {
	rw      io.ReadWriter
	max     int
	version atomic.Int32 // a Version: the reader detects, the writer follows
	begun   atomic.Bool  // a frame was read or written
	in      input
	out     output
}

// NewConn returns a Conn with the zero [Config]: an acceptor's, or an initiator's of version 2.
func NewConn(rw io.ReadWriter) *Conn {
	return newConn(rw, Detect, DefaultMaxLength)
}

// NewConn returns a Conn, or an error if a field of cfg is out of range. The stream is not used yet.
func (cfg Config) NewConn(rw io.ReadWriter) (*Conn, error) {
	if cfg.Version < Detect || cfg.Version > V2 {
		return nil, fmt.Errorf("token: no such version: %d", int(cfg.Version))
	}
	if cfg.MaxLength < 0 || cfg.MaxLength > MaxLength {
		return nil, fmt.Errorf("token: maximum length of %d bytes is not between 0 and %d", cfg.MaxLength, MaxLength)
	}
	if cfg.MaxLength == 0 {
		cfg.MaxLength = DefaultMaxLength
	}
	c := newConn(rw, cfg.Version, cfg.MaxLength)
	c.in.budget = cfg.Budget
	return c, nil
}

func newConn(rw io.ReadWriter, v Version, maxLength int) *Conn {
	c := &Conn{rw: rw, max: maxLength}
	c.version.Store(int32(v))
	return c
}

// Version gives the version of the frames, or [Detect] as long as nothing was read or written.
func (c *Conn) Version() Version { return Version(c.version.Load()) }

// SetBudget has frames that are read from now on use another budget.
func (c *Conn) SetBudget(b *Budget) { c.in.budget = b }

// Buffered is the number of bytes that were read ahead of the frame returned last: the next one, or its beginning.
func (c *Conn) Buffered() int { return c.in.w - c.in.r }

// Release gives the memory of the frame returned last back, as the next read does. Whoever has a budget calls it when no
// more is read.
func (c *Conn) Release() { c.in.release() }

// limit is the longest data of a frame of version v.
func (c *Conn) limit(v Version) int {
	if v == V1 {
		return min(c.max, maxV1Length)
	}
	return c.max
}

// SetDeadline sets the time after which reads and writes fail with [os.ErrDeadlineExceeded]; the zero time means never. A
// write that fails so is final, as part of a frame may have gone out. If the stream has no such method the error is
// an [os.ErrNoDeadline].
func (c *Conn) SetDeadline(t time.Time) error {
	if s, ok := c.rw.(interface{ SetDeadline(time.Time) error }); ok {
		return s.SetDeadline(t)
	}
	return c.noDeadline()
}

// SetReadDeadline is SetDeadline for reads.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if s, ok := c.rw.(interface{ SetReadDeadline(time.Time) error }); ok {
		return s.SetReadDeadline(t)
	}
	return c.noDeadline()
}

// SetWriteDeadline is SetDeadline for writes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if s, ok := c.rw.(interface{ SetWriteDeadline(time.Time) error }); ok {
		return s.SetWriteDeadline(t)
	}
	return c.noDeadline()
}

func (c *Conn) noDeadline() error { return fmt.Errorf("token: %T: %w", c.rw, os.ErrNoDeadline) }

package token

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// output is the writing side of a Conn. It holds no buffer between frames.
type output struct {
	filled  int   // size of the last frame made in place, header included: most likely that of the next
	failure error // returned from now on
}

// WriteFrame writes a frame by one Write, so that it leaves in one segment if it can. Version 1 has no place for flags and
// sends none.
//
// It returns [ErrNoFlags] if version 2 is given none, and a [*TooLongError] if data is longer than the limit: nothing was
// written then. Any error of the stream is final.
func (c *Conn) WriteFrame(flags Flags, data []byte) error {
	header, err := c.checkWrite(flags)
	if err != nil {
		return err
	}
	if err := c.checkLength(len(data)); err != nil {
		return err
	}
	p := takeBuffer(header + len(data))
	defer giveBuffer(p)
	return c.send(flags, append((*p)[:header], data...))
}

// WriteToken writes a context token: a frame with [Context] in version 2. If that is the first frame of all, whoever writes
// it is the initiator, and a [Greeting] goes before it in the same Write. It returns the errors of [Conn.WriteFrame].
func (c *Conn) WriteToken(tok []byte) error {
	header, err := c.checkWrite(Context)
	if err != nil {
		return err
	}
	if header == lengthSize || c.begun.Load() {
		return c.WriteFrame(Context, tok)
	}
	if err := c.checkLength(len(tok)); err != nil {
		return err
	}
	p := takeBuffer(2*header + len(tok))
	defer giveBuffer(p)
	frames := append((*p)[:2*header], tok...)
	putHeader(frames[:header], Greeting, 0)
	putHeader(frames[header:], Context, len(tok))
	return c.write(frames)
}

// WriteFrameFunc is WriteFrame for data that is made in place rather than copied. It calls fill once, with a buffer to which
// fill appends the data as the builtin append does; what dst holds already is the room for the header and must stay in
// front. fill must keep neither dst nor what it returns. An error of fill is returned as it is, with nothing written.
//
//	err := conn.WriteFrameFunc(token.MIC, func(dst []byte) ([]byte, error) { return sec.MIC(dst, msg) })
func (c *Conn) WriteFrameFunc(flags Flags, fill func(dst []byte) ([]byte, error)) error {
	header, err := c.checkWrite(flags)
	if err != nil {
		return err
	}
	p := takeBuffer(max(c.out.filled, header))
	defer giveBuffer(p)
	frame, err := fill((*p)[:header])
	if err != nil {
		return err
	}
	if len(frame) < header {
		return errors.New("token: the room for the frame's header was cut off")
	}
	if err := c.checkLength(len(frame) - header); err != nil {
		return err
	}
	c.out.filled = len(frame)
	return c.send(flags, frame)
}

// checkWrite gives the size of the header of the next frame if one with flags can be written now.
func (c *Conn) checkWrite(flags Flags) (header int, err error) {
	c.version.CompareAndSwap(int32(Detect), int32(V2)) // who writes first chooses
	v := c.Version()
	switch {
	case c.out.failure != nil:
		return 0, c.out.failure
	case v == V2 && flags == 0:
		return 0, ErrNoFlags
	}
	return v.headerSize(), nil
}

func (c *Conn) checkLength(n int) error {
	if limit := c.limit(c.Version()); n > limit {
		return &TooLongError{Length: int64(n), Limit: int64(limit)}
	}
	return nil
}

// send fills the header in and writes the frame.
func (c *Conn) send(flags Flags, frame []byte) error {
	header := c.Version().headerSize()
	if header == lengthSize {
		binary.BigEndian.PutUint32(frame, uint32(len(frame)-header))
	} else {
		putHeader(frame, flags, len(frame)-header)
	}
	return c.write(frame)
}

// putHeader writes a header of version 2.
func putHeader(dst []byte, flags Flags, length int) {
	dst[0] = byte(flags)
	binary.BigEndian.PutUint32(dst[1:maxHeader], uint32(length))
}

func (c *Conn) write(frames []byte) error {
	c.begun.Store(true)
	n, err := c.rw.Write(frames)
	if err == nil && n != len(frames) {
		err = fmt.Errorf("token: %d of %d bytes written: %w", n, len(frames), io.ErrShortWrite)
	}
	c.out.failure = err
	return err
}

package token

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// readAhead is what a Conn holds while it waits, in bytes: most frames of an exchange fit, header and all, and are then
	// read by one system call.
	readAhead = 2 << 10

	// maxEmptyReads bounds how often in a row a stream may give neither data nor an error.
	maxEmptyReads = 100
)

// A Frame is one frame as read.
type Frame struct {
	Flags Flags  // 0 in version 1, at least one flag in version 2
	Data  []byte // may be changed in place; the next read takes the memory back and gives it to other Conns: copy what is to be kept
}

// input is the reading side of a Conn. A frame that fits the read-ahead stays there until it is complete; of a longer one the
// data goes to a borrowed buffer.
type input struct {
	ahead   []byte // allocated by the first read
	r, w    int    // ahead[r:w] is read and not yet returned
	pending error  // came along with data that goes first
	failure error  // returned from now on

	budget *Budget // that further long frames use
	lender *Budget // that the long frame uses
	long   *[]byte // data of a long frame, nil if there is none
	flags  Flags   // of the long frame
	length int     // of the long frame's data
	got    int     // of these, how many have come
}

// ReadFrame reads a frame, however the stream divides it. The frame's data is valid until the next read.
//
// It returns [io.EOF] if the stream ended before the frame's first byte, [ErrTruncated] if it ended later, a
// [*TooLongError] if the header says more than the limit, a [*BudgetError] if there is a budget and it is used up,
// [ErrNoFlags] if a version 2 frame has none, and otherwise the stream's own error. After one that is [os.ErrDeadlineExceeded] another ReadFrame goes on with the same frame; any other
// is final.
func (c *Conn) ReadFrame() (Frame, error) {
	in := &c.in
	if in.failure != nil {
		return Frame{}, in.failure
	}
	frame, err := c.readFrame()
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		in.release()
		in.ahead, in.r, in.w = nil, 0, 0
		in.failure = err
	}
	if err == nil {
		c.begun.Store(true)
	}
	return frame, err
}

// ReadToken reads a frame that has to be a context token: any in version 1, one with [Context] in version 2. As the first
// frame of all a [Greeting] may come before it, which is passed over. It returns the errors of [Conn.ReadFrame], and an
// [*UnexpectedFrameError] for another frame, after which reading can go on. The token is valid until the next read.
func (c *Conn) ReadToken() ([]byte, error) {
	first := !c.begun.Load()
	frame, err := c.ReadFrame()
	if first && err == nil && c.Version() == V2 && frame.Flags == Greeting {
		frame, err = c.ReadFrame()
	}
	if err != nil {
		return nil, err
	}
	if c.Version() == V2 && frame.Flags&Context == 0 {
		return nil, &UnexpectedFrameError{frame.Flags}
	}
	return frame.Data, nil
}

func (c *Conn) readFrame() (Frame, error) {
	in := &c.in
	if in.long != nil && in.got < in.length {
		return c.readLong() // stopped by a deadline
	}
	in.release()

	if err := c.buffer(1, 1); err != nil {
		return Frame{}, err
	}
	v := c.Version()
	if v == Detect {
		v = V2
		if in.ahead[in.r] == 0 {
			v = V1
		}
		c.version.Store(int32(v))
	}
	if v == V2 && in.ahead[in.r] == 0 {
		return Frame{}, ErrNoFlags
	}
	header := v.headerSize()
	if err := c.buffer(header, header); err != nil {
		return Frame{}, err
	}
	var flags Flags
	if v == V2 {
		flags = Flags(in.ahead[in.r])
	}
	claim := int64(binary.BigEndian.Uint32(in.ahead[in.r+header-lengthSize:]))
	if limit := int64(c.limit(v)); claim > limit {
		return Frame{}, &TooLongError{Length: claim, Limit: limit}
	}
	length := int(claim)

	if size := header + length; size <= readAhead {
		if err := c.buffer(size, size); err != nil {
			return Frame{}, err
		}
		data := in.ahead[in.r+header : in.r+size : in.r+size]
		in.r += size
		return Frame{flags, data}, nil
	}
	in.flags, in.length, in.lender = flags, length, in.budget
	if err := in.lender.Take(bufferSize(smallestClass)); err != nil {
		return Frame{}, err
	}
	in.long = takeBuffer(smallestClass)
	in.got = copy(*in.long, in.ahead[in.r+header:in.w])
	in.r, in.w = 0, 0
	return c.readLong()
}

// readLong completes the data of a long frame, in a buffer that grows as it fills.
func (c *Conn) readLong() (Frame, error) {
	in := &c.in
	for in.got < in.length {
		if in.got == len(*in.long) {
			next := min(in.length, nextClass(len(*in.long)))
			if err := in.lender.Take(bufferSize(next)); err != nil {
				return Frame{}, err
			}
			larger := takeBuffer(next)
			copy(*larger, *in.long)
			in.release()
			in.long = larger
		}
		n, err := c.read((*in.long)[in.got:min(in.length, len(*in.long))])
		in.got += n
		if n == 0 {
			return Frame{}, in.ended(err, in.got, in.length)
		}
	}
	return Frame{in.flags, (*in.long)[:in.length:in.length]}, nil
}

// buffer reads until at least n bytes are ahead, and as many more as come with them. If the stream ends first, the frame
// had at least size bytes to come.
func (c *Conn) buffer(n, size int) error {
	in := &c.in
	if in.ahead == nil {
		in.ahead = make([]byte, readAhead)
	}
	for in.w-in.r < n {
		if in.r > 0 {
			in.w = copy(in.ahead, in.ahead[in.r:in.w])
			in.r = 0
		}
		got, err := c.read(in.ahead[in.w:])
		in.w += got
		if got == 0 {
			return in.ended(err, in.w, size)
		}
	}
	return nil
}

// read gives at least one byte, or an error. An error that comes along with data is given after it.
func (c *Conn) read(p []byte) (int, error) {
	if err := c.in.pending; err != nil {
		c.in.pending = nil
		return 0, err
	}
	for range maxEmptyReads {
		n, err := c.rw.Read(p)
		if n < 0 || n > len(p) {
			return 0, fmt.Errorf("token: %T read %d bytes into %d", c.rw, n, len(p))
		}
		if n > 0 {
			c.in.pending = err
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// ended says what a read error means when got of at least size bytes have come.
func (in *input) ended(err error, got, size int) error {
	if err == io.EOF && got == 0 && in.long == nil {
		return io.EOF
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF && (got > 0 || in.long != nil) {
		return fmt.Errorf("%w: %d bytes of at least %d came", ErrTruncated, got, size)
	}
	return err
}

// release gives the buffer of a long frame back.
func (in *input) release() {
	if in.long != nil {
		in.lender.Give(len(*in.long))
		giveBuffer(in.long)
		in.long = nil
	}
}

package pushwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/countersign-go/countersign/token"
)

// A Context protects what a [Conn] carries. A context of package gss is one;
// its rules for overlapping arguments hold.
type Context interface {
	Wrap(dst, msg []byte, seal bool) ([]byte, error)
	Unwrap(dst, token []byte) (msg []byte, sealed bool, err error)
}

// frameFlags are those of every frame once the context stands.
const frameFlags = token.Data | token.Wrapped | token.Encrypted

// numberSize is the length of the number that begins every token's message.
const numberSize = 8

// maxKept is the largest buffer that is kept for others, in octets.
const maxKept = 128 << 10

// buffers hold plain text: for what is read from one Read to the next, for what is
// written during the Write. A Conn that waits holds none.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// A Conn reads and writes messages in tokens. One goroutine may read while
// another writes. A failure of either is final.
type Conn struct {
	frames *token.Conn
	sec    Context
	budget *token.Budget

	read struct {
		next   uint64
		buffer *[]byte // of the message returned last
		held   int     // of the budget
	}
	written uint64
}

// NewConn returns a Conn over an established context. The messages that are
// being read take their memory from the budget, beside what frames itself
// takes for the tokens; nil has no bound.
func NewConn(frames *token.Conn, sec Context, budget *token.Budget) *Conn {
	return &Conn{frames: frames, sec: sec, budget: budget}
}

// Read reads the messages of one token, for [Next]. They are valid until the
// next Read or Release. The end of the connection is [io.ErrUnexpectedEOF]: who
// ends it says [Bye] first.
func (c *Conn) Read() ([]byte, error) {
	c.Release()
	frame, err := c.frames.ReadFrame()
	switch {
	case err == io.EOF:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	case frame.Flags != frameFlags:
		return nil, fmt.Errorf("push: expected a frame with %v, got one with %v", frameFlags, frame.Flags)
	}
	if err := c.budget.Take(len(frame.Data)); err != nil {
		return nil, err
	}
	c.read.held = len(frame.Data)
	c.read.buffer = buffers.Get().(*[]byte)
	msg, sealed, err := c.sec.Unwrap((*c.read.buffer)[:0], frame.Data)
	if msg != nil {
		*c.read.buffer = msg
	}
	switch {
	case err != nil:
		return nil, err
	case !sealed:
		return nil, errors.New("push: the peer sent a message that is not encrypted")
	case len(msg) < numberSize:
		return nil, errors.New("push: token without a number")
	}
	if number := binary.BigEndian.Uint64(msg); number != c.read.next {
		return nil, fmt.Errorf("push: token %d came where token %d was due", number, c.read.next)
	}
	c.read.next++
	return msg[numberSize:], nil
}

// Release gives the memory of what was read last back, as the next Read does.
func (c *Conn) Release() {
	c.budget.Give(c.read.held)
	c.read.held = 0
	if c.read.buffer != nil {
		putBuffer(c.read.buffer)
		c.read.buffer = nil
	}
	c.frames.Release()
}

// Write writes encoded messages, in the order given, as one token and by one
// write of the connection below. They are [MaxToken] octets together at the most.
func (c *Conn) Write(msgs ...[]byte) error {
	buffer := buffers.Get().(*[]byte)
	defer putBuffer(buffer)
	plain := binary.BigEndian.AppendUint64((*buffer)[:0], c.written)
	for _, m := range msgs {
		plain = append(plain, m...)
	}
	*buffer = plain
	if len(plain)-numberSize > MaxToken {
		return fmt.Errorf("push: %d octets in one token, at most %d are allowed", len(plain)-numberSize, MaxToken)
	}
	err := c.frames.WriteFrameFunc(frameFlags, func(dst []byte) ([]byte, error) { return c.sec.Wrap(dst, plain, true) })
	if err != nil {
		return err
	}
	c.written++
	return nil
}

// putBuffer wipes a buffer of plain text and keeps it for others, unless it is large.
func putBuffer(b *[]byte) {
	clear(*b)
	if *b = (*b)[:0]; cap(*b) <= maxKept {
		buffers.Put(b)
	}
}

package token

import (
	"errors"
	"fmt"
	"io"
)

// ErrTruncated says that the stream ended inside a frame. It is also [io.ErrUnexpectedEOF]. An end between two frames is
// [io.EOF].
var ErrTruncated error = truncated{}

type truncated struct{}

func (truncated) Error() string { return "token: stream ended inside a frame" }
func (truncated) Unwrap() error { return io.ErrUnexpectedEOF }

// ErrNoFlags says that a version 2 frame has no flags: read, it is most likely the start of a version 1 token.
var ErrNoFlags = errors.New("token: version 2 frame without flags (does the peer speak version 1?)")

// A TooLongError says that the data of a frame is longer than the limit. Nothing was allocated for it or written of it.
type TooLongError struct {
	Length int64 // bytes, as the header says, or of the data to be written
	Limit  int64 // bytes
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("token: frame of %d bytes is longer than the limit of %d", e.Length, e.Limit)
}

// An UnexpectedFrameError says that a version 2 frame came where a context token was due.
type UnexpectedFrameError struct {
	Flags Flags // of the frame that came
}

func (e *UnexpectedFrameError) Error() string {
	return fmt.Sprintf("token: expected a frame with CONTEXT, got one with %v", e.Flags)
}

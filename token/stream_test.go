package token_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"

	"github.com/countersign-go/countersign/token"
)

// stream is a connection whose two directions are independent: what the peer says is given, what is written is kept, a slice
// a Write.
type stream struct {
	io.Reader
	writes [][]byte
}

func (s *stream) Write(p []byte) (int, error) {
	s.writes = append(s.writes, bytes.Clone(p))
	return len(p), nil
}

func peerSays(b []byte) *stream { return &stream{Reader: bytes.NewReader(b)} }

// loop is a connection to oneself: frames written to it can be read from it. Read when it is empty, it says that a deadline
// has passed, as does an idle connection that was given one.
type loop struct{ bytes.Buffer }

func (l *loop) Read(p []byte) (int, error) {
	if l.Len() == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return l.Buffer.Read(p)
}

// v1 and v2 put a frame's bytes together, independently of the package.
func v1(data []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...)
}

func v2(flags token.Flags, data []byte) []byte { return append([]byte{byte(flags)}, v1(data)...) }

// pattern is n bytes that differ from their neighbours at every power of two.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

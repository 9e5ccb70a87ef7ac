package token_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/countersign-go/countersign/token"
)

// FuzzReadFrame reads anything as frames. Those read, written again, are the bytes that they were read from; how the stream
// was cut in pieces makes no difference; what was allocated is in proportion to what came.
func FuzzReadFrame(f *testing.F) {
	for _, exchange := range transcripts(f) {
		f.Add(exchange.initiator)
		f.Add(exchange.acceptor)
	}
	f.Add([]byte(nil))
	f.Add([]byte("\x02\xff\xff\xff\xff"))
	f.Add([]byte("\x02\x01\x00\x00\x00short"))
	f.Add([]byte("\x02\x01\x00\x00\x01"))
	f.Add([]byte("\x00\xff\xff\xffshort"))
	f.Add(concat(v2(token.Data, pattern(2044)), v2(token.Data, pattern(2042)), v2(token.NOOP, nil), []byte{0}))
	f.Add(concat(v1(pattern(5000)), v1(nil), []byte{1}))

	f.Fuzz(func(t *testing.T, wire []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		in := &stream{Reader: bytes.NewReader(wire)}
		count, err := 0, error(nil)
		for c := token.NewConn(in); err == nil; count++ {
			_, err = c.ReadFrame()
		}
		runtime.ReadMemStats(&after)
		// The claim may be 16 MiB; the rest of the process allocates a little meanwhile.
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20+uint64(6*len(wire)) {
			t.Errorf("%d bytes allocated for %d", n, len(wire))
		}

		again := &stream{}
		in = &stream{Reader: iotest.HalfReader(iotest.DataErrReader(bytes.NewReader(wire)))}
		c := token.NewConn(in)
		var out *token.Conn
		for range count - 1 {
			frame, err := c.ReadFrame()
			if err != nil {
				t.Fatalf("in pieces: %v", err)
			}
			if out == nil {
				out = conn(t, c.Version(), 0, again)
			}
			if err := out.WriteFrame(frame.Flags, frame.Data); err != nil {
				t.Fatal(err)
			}
		}
		if _, pieces := c.ReadFrame(); pieces == nil || pieces.Error() != err.Error() {
			t.Errorf("%v, but in pieces %v", err, pieces)
		}
		written := concat(again.writes...)
		if !bytes.HasPrefix(wire, written) || len(again.writes) != count-1 {
			t.Errorf("read % x\nwrote % x", wire, written)
		}
		rest := wire[len(written):]
		switch tooLong := new(*token.TooLongError); {
		case err == io.EOF:
			if len(rest) != 0 {
				t.Errorf("clean end with % x left", rest)
			}
		case errors.Is(err, token.ErrTruncated):
			if len(rest) == 0 {
				t.Errorf("truncated with nothing left")
			}
		case errors.Is(err, token.ErrNoFlags):
			if rest[0] != 0 {
				t.Errorf("no flags in % x", rest)
			}
		case errors.As(err, tooLong):
			if (*tooLong).Length <= (*tooLong).Limit {
				t.Error(err)
			}
		default:
			t.Errorf("unexpected error: %v", err)
		}
	})
}

package token_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/countersign-go/countersign/token"
)

// lengths are those about which the reader changes its way: the read-ahead, each class of buffer, and their neighbours.
var lengths = []int{0, 1, 64, 2042, 2043, 2044, 2045, 4095, 4096, 4101, 4102, 16384, 16389, 16390, 65536, 65542, 1 << 20, 1<<20 + 6}

func TestReadFrame(t *testing.T) {
	for _, version := range []token.Version{token.V1, token.V2} {
		var wire []byte
		var want []token.Frame
		for i, n := range lengths {
			frame := token.Frame{Data: pattern(n)}
			if version == token.V1 {
				wire = append(wire, v1(frame.Data)...)
			} else {
				frame.Flags = token.Flags(i + 1)
				wire = append(wire, v2(frame.Flags, frame.Data)...)
			}
			want = append(want, frame)
		}
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole":           func(r io.Reader) io.Reader { return r },
			"one byte":        iotest.OneByteReader,
			"half":            iotest.HalfReader,
			"error with data": iotest.DataErrReader,
			"empty reads":     func(r io.Reader) io.Reader { return &hesitant{r: r} },
		} {
			for _, told := range []token.Version{token.Detect, version} {
				t.Run(fmt.Sprintf("version %v told %v/%s", version, told, name), func(t *testing.T) {
					c, err := token.Config{Version: told}.NewConn(&stream{Reader: wrap(bytes.NewReader(wire))})
					if err != nil {
						t.Fatal(err)
					}
					for i, want := range want {
						got, err := c.ReadFrame()
						if err != nil || got.Flags != want.Flags || !bytes.Equal(got.Data, want.Data) {
							t.Fatalf("frame %d of %d bytes: flags %v, %d bytes, error %v", i, len(want.Data), got.Flags, len(got.Data), err)
						}
						if cap(got.Data) != len(got.Data) {
							t.Errorf("frame %d: appending to its data overwrites what follows", i)
						}
						if c.Version() != version {
							t.Errorf("version is %v, want %v", c.Version(), version)
						}
					}
					for range 2 {
						if _, err := c.ReadFrame(); err != io.EOF {
							t.Errorf("at the end: %v, want EOF", err)
						}
					}
				})
			}
		}
	}
}

// hesitant gives nothing at every second read.
type hesitant struct {
	r    io.Reader
	rest bool
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.rest = !h.rest; h.rest {
		return 0, nil
	}
	return h.r.Read(p)
}

// Every strict prefix of a good stream ends cleanly exactly at the ends of its frames, and is truncated elsewhere.
func TestReadFrameTruncated(t *testing.T) {
	for _, version := range []token.Version{token.V1, token.V2} {
		var wire []byte
		whole := map[int]int{0: 0} // how many frames end at this offset
		for i, n := range []int{0, 3, 600, 5000, 1} {
			if version == token.V1 {
				wire = append(wire, v1(pattern(n))...)
			} else {
				wire = append(wire, v2(token.Data, pattern(n))...)
			}
			whole[len(wire)] = i + 1
		}
		for cut := range wire {
			c := token.NewConn(peerSays(wire[:cut]))
			frames := 0
			var err error
			for err == nil {
				if _, err = c.ReadFrame(); err == nil {
					frames++
				}
			}
			if want, ok := whole[cut]; ok {
				if err != io.EOF || frames != want {
					t.Errorf("version %v cut at %d: %d frames, then %v; want %d, then EOF", version, cut, frames, err, want)
				}
			} else if !errors.Is(err, token.ErrTruncated) || !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
				t.Errorf("version %v cut at %d: %v, want ErrTruncated", version, cut, err)
			}
			if _, again := c.ReadFrame(); again != err {
				t.Errorf("version %v cut at %d: %v does not stick: %v", version, cut, err, again)
			}
		}
	}
}

// A stream such as TLS knows by itself that it was cut off, and says so: between frames that is for it to name.
func TestReadFrameStreamCutOff(t *testing.T) {
	for _, test := range []struct {
		cut  int
		want error
	}{{0, io.ErrUnexpectedEOF}, {3, token.ErrTruncated}, {5, token.ErrTruncated}, {2500, token.ErrTruncated}} {
		wire := v2(token.Data, pattern(3000))[:test.cut]
		c := token.NewConn(&stream{Reader: io.MultiReader(bytes.NewReader(wire), iotest.ErrReader(io.ErrUnexpectedEOF))})
		if _, err := c.ReadFrame(); !errors.Is(err, test.want) || errors.Is(err, token.ErrTruncated) != (test.cut > 0) {
			t.Errorf("cut at %d: %v, want %v", test.cut, err, test.want)
		}
	}
}

func TestReadFrameLimit(t *testing.T) {
	for _, test := range []struct {
		version token.Version
		max     int
		limit   int
	}{
		{token.V2, 0, 16 << 20},
		{token.V2, 1, 1},
		{token.V2, 1000, 1000},
		{token.V2, 20 << 20, 20 << 20},
		{token.V1, 0, 1<<24 - 1},
		{token.V1, 1000, 1000},
		{token.V1, 20 << 20, 1<<24 - 1},
	} {
		t.Run(fmt.Sprintf("version %v of %d", test.version, test.max), func(t *testing.T) {
			for _, over := range []int{0, 1} {
				data := pattern(test.limit + over)
				wire := v2(token.Data, data)
				if test.version == token.V1 {
					wire = v1(data)
				}
				c, err := token.Config{Version: test.version, MaxLength: test.max}.NewConn(peerSays(wire))
				if err != nil {
					t.Fatal(err)
				}
				frame, err := c.ReadFrame()
				if over == 0 {
					if err != nil || !bytes.Equal(frame.Data, data) {
						t.Errorf("frame of %d bytes: %d bytes, error %v", len(data), len(frame.Data), err)
					}
					continue
				}
				var tooLong *token.TooLongError
				if !errors.As(err, &tooLong) || *tooLong != (token.TooLongError{Length: int64(len(data)), Limit: int64(test.limit)}) {
					t.Errorf("frame of %d bytes: %v", len(data), err)
				}
				if _, again := c.ReadFrame(); again != err {
					t.Errorf("%v does not stick: %v", err, again)
				}
			}
		})
	}
}

func TestReadFrameBad(t *testing.T) {
	for _, test := range []struct {
		name    string
		version token.Version
		wire    string
		want    string
	}{
		{"4 GiB", token.Detect, "\x02\xff\xff\xff\xff", "token: frame of 4294967295 bytes is longer than the limit of 16777216"},
		{"version 1 said, version 2 sent", token.V1, "\x11\x00\x00\x00\x00", "token: frame of 285212672 bytes is longer than the limit of 16777215"},
		{"version 2 said, version 1 sent", token.V2, "\x00\x00\x00\x01x", token.ErrNoFlags.Error()},
		{"version 2 said, one byte", token.V2, "\x00", token.ErrNoFlags.Error()},
		{"second frame without flags", token.Detect, "\x11\x00\x00\x00\x00\x00", token.ErrNoFlags.Error()},
		{"HTTP", token.Detect, "GET / HTTP/1.1\r\n", "token: frame of 1163141167 bytes is longer than the limit of 16777216"},
	} {
		c, err := token.Config{Version: test.version}.NewConn(peerSays([]byte(test.wire)))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = c.ReadFrame()
		}
		if err.Error() != test.want {
			t.Errorf("%s: %q, want %q", test.name, err, test.want)
		}
		if err := c.WriteFrame(token.Context, []byte("error token")); err != nil {
			t.Errorf("%s: the peer cannot be told: %v", test.name, err)
		}
	}
}

func TestReadFrameBadStream(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range []struct {
		name string
		r    io.Reader
		want string
	}{
		{"error", iotest.ErrReader(broken), "broken"},
		{"error in frame", io.MultiReader(strings.NewReader("\x04\x00\x00"), iotest.ErrReader(broken)), "broken"},
		{"error in long frame", io.MultiReader(bytes.NewReader(v2(token.Data, pattern(9000))[:8000]), iotest.ErrReader(broken)), "broken"},
		{"never anything", readFunc(func([]byte) (int, error) { return 0, nil }), io.ErrNoProgress.Error()},
		{"less than nothing", readFunc(func([]byte) (int, error) { return -1, nil }), "token: *token_test.stream read -1 bytes into 2048"},
		{"too much", readFunc(func(p []byte) (int, error) { return len(p) + 1, nil }), "token: *token_test.stream read 2049 bytes into 2048"},
	} {
		c := token.NewConn(&stream{Reader: test.r})
		_, err := c.ReadFrame()
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
		if _, again := c.ReadFrame(); again != err {
			t.Errorf("%s: %v does not stick: %v", test.name, err, again)
		}
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// An error that comes along with data is kept until the data is used, even if the stream would not repeat it.
func TestReadFrameErrorWithData(t *testing.T) {
	broken := errors.New("broken")
	asked := false
	c := token.NewConn(&stream{Reader: readFunc(func(p []byte) (int, error) {
		if asked {
			t.Error("read after an error")
		}
		asked = true
		return copy(p, concat(v2(token.Data, []byte("one")), v2(token.NOOP, nil), []byte{4})), broken
	})})
	for _, want := range []string{"one", ""} {
		if frame, err := c.ReadFrame(); err != nil || string(frame.Data) != want {
			t.Errorf("%q, %v; want %q", frame.Data, err, want)
		}
	}
	if _, err := c.ReadFrame(); err != broken {
		t.Errorf("%v, want %v", err, broken)
	}
}

// A read that a deadline stops anywhere goes on there.
func TestReadFrameResumes(t *testing.T) {
	wire := concat(v2(token.Data, pattern(10)), v2(token.MIC, pattern(5000)), v2(token.NOOP, nil))
	for step := 1; step < 300; step = step*2 + 1 {
		rest := wire
		asleep := false
		c := token.NewConn(&stream{Reader: readFunc(func(p []byte) (int, error) {
			if asleep = !asleep; asleep {
				return 0, os.ErrDeadlineExceeded
			}
			n := copy(p[:min(step, len(p))], rest)
			rest = rest[n:]
			return n, nil
		})})
		for _, want := range []token.Frame{{Flags: token.Data, Data: pattern(10)}, {Flags: token.MIC, Data: pattern(5000)}, {Flags: token.NOOP}} {
			got, err := c.ReadFrame()
			stops := 0
			for ; errors.Is(err, os.ErrDeadlineExceeded); stops++ {
				got, err = c.ReadFrame()
			}
			if err != nil || got.Flags != want.Flags || !bytes.Equal(got.Data, want.Data) {
				t.Fatalf("step %d: after %d stops %v, %d bytes, error %v; want %v, %d bytes", step, stops, got.Flags, len(got.Data), err, want.Flags, len(want.Data))
			}
			if least := len(want.Data) / step / 2; stops < least {
				t.Errorf("step %d: stopped %d times, want at least %d", step, stops, least)
			}
		}
	}
}

func concat(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

func TestReadToken(t *testing.T) {
	c := token.NewConn(peerSays(concat(v2(token.Context, []byte("one")), v2(token.Greeting, nil), v2(token.Context, nil))))
	if tok, err := c.ReadToken(); err != nil || string(tok) != "one" {
		t.Errorf("%q, %v", tok, err)
	}
	var unexpected *token.UnexpectedFrameError
	if tok, err := c.ReadToken(); tok != nil || !errors.As(err, &unexpected) || unexpected.Flags != token.Greeting ||
		err.Error() != "token: expected a frame with CONTEXT, got one with NOOP|CONTEXT_NEXT" {
		t.Errorf("%q, %v", tok, err)
	}
	if tok, err := c.ReadToken(); err != nil || len(tok) != 0 {
		t.Errorf("%q, %v", tok, err)
	}
	if tok, err := c.ReadToken(); tok != nil || err != io.EOF {
		t.Errorf("%q, %v", tok, err)
	}

	c = token.NewConn(peerSays(v1([]byte("any"))))
	if tok, err := c.ReadToken(); err != nil || string(tok) != "any" {
		t.Errorf("version 1: %q, %v", tok, err)
	}
}

// The greeting of an initiator is passed over once, as the first frame of all.
func TestReadGreeting(t *testing.T) {
	greeting, tok := v2(token.Greeting, nil), v2(token.Context, []byte("one"))
	for name, tt := range map[string]struct {
		wire  []byte
		begin func(*token.Conn) error
		want  string // token or error
	}{
		"greeting":           {wire: concat(greeting, tok), want: "one"},
		"none":               {wire: tok, want: "one"},
		"two":                {wire: concat(greeting, greeting, tok), want: "token: expected a frame with CONTEXT, got one with NOOP|CONTEXT_NEXT"},
		"unauthenticated":    {wire: concat(v2(token.NOOP, nil), tok), want: "token: expected a frame with CONTEXT, got one with NOOP"},
		"end":                {wire: greeting, want: "EOF"},
		"token in it":        {wire: v2(token.Greeting|token.Context, []byte("one")), want: "one"},
		"data in it":         {wire: concat(v2(token.Greeting, pattern(5000)), tok), want: "one"},
		"to an initiator":    {wire: concat(greeting, tok), begin: func(c *token.Conn) error { return c.WriteToken([]byte("hello")) }, want: "token: expected a frame with CONTEXT, got one with NOOP|CONTEXT_NEXT"},
		"after another read": {wire: concat(greeting, greeting, tok), begin: func(c *token.Conn) error { _, err := c.ReadFrame(); return err }, want: "token: expected a frame with CONTEXT, got one with NOOP|CONTEXT_NEXT"},
	} {
		c := token.NewConn(peerSays(tt.wire))
		if tt.begin != nil {
			if err := tt.begin(c); err != nil {
				t.Fatal(err)
			}
		}
		tok, err := c.ReadToken()
		got := string(tok)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}

	// A deadline between the two frames changes nothing.
	l := &loop{}
	l.Write(greeting)
	c := token.NewConn(l)
	if _, err := c.ReadToken(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	l.Write(tok)
	if got, err := c.ReadToken(); string(got) != "one" || err != nil {
		t.Errorf("after a deadline: %q, %v", got, err)
	}
}

// A small frame costs one read, and so do many that came together.
func TestReadFrameSystemCalls(t *testing.T) {
	together := concat(v2(token.Data, pattern(100)), v2(token.Data, pattern(200)), v2(token.NOOP, nil))
	for _, wire := range [][]byte{v2(token.Data, pattern(2043)), together} {
		reads := 0
		r := bytes.NewReader(wire)
		c := token.NewConn(&stream{Reader: readFunc(func(p []byte) (int, error) { reads++; return r.Read(p) })})
		for got := 0; got < len(wire); {
			frame, err := c.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			got += 5 + len(frame.Data)
		}
		if reads != 1 {
			t.Errorf("%d bytes took %d reads, want 1", len(wire), reads)
		}
	}
}

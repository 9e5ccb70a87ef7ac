package token_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/countersign-go/countersign/token"
)

func conn(t testing.TB, version token.Version, maxLength int, rw io.ReadWriter) *token.Conn {
	t.Helper()
	c, err := token.Config{Version: version, MaxLength: maxLength}.NewConn(rw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever is written and however, each frame is one Write of the bytes that it should be.
func TestWriteFrame(t *testing.T) {
	for _, version := range []token.Version{token.V1, token.V2} {
		for _, n := range append(lengths, 16<<20-1) {
			data := pattern(n)
			s := &stream{}
			c := conn(t, version, 0, s)
			fill := func(dst []byte) ([]byte, error) { return append(dst, data...), nil }
			if err := errors.Join(
				c.WriteFrame(token.Data|token.SendMIC, data),
				c.WriteFrameFunc(token.Data|token.Wrapped, fill),
				c.WriteFrameFunc(token.MIC, fill),
				c.WriteToken(data),
			); err != nil {
				t.Fatal(err)
			}
			want := [][]byte{v2(token.Data|token.SendMIC, data), v2(token.Data|token.Wrapped, data), v2(token.MIC, data), v2(token.Context, data)}
			if version == token.V1 {
				want = [][]byte{v1(data), v1(data), v1(data), v1(data)}
			}
			if len(s.writes) != len(want) {
				t.Fatalf("%d writes for %d frames", len(s.writes), len(want))
			}
			for i := range want {
				if !bytes.Equal(s.writes[i], want[i]) {
					t.Errorf("version %v, %d bytes: frame %d is wrong", version, n, i)
				}
			}
		}
	}
}

// Who writes a token before anything else is an initiator, whose greeting goes with it, once.
func TestWriteGreeting(t *testing.T) {
	greeted := concat(v2(token.Greeting, nil), v2(token.Context, []byte("one")))
	alone := v2(token.Context, []byte("one"))
	read := func(c *token.Conn) error { _, err := c.ReadFrame(); return err }
	for name, tt := range map[string]struct {
		version token.Version
		begin   func(*token.Conn) error
		want    []byte
	}{
		"first":              {want: greeted},
		"first, version 2":   {version: token.V2, want: greeted},
		"first, version 1":   {version: token.V1, want: v1([]byte("one"))},
		"an acceptor's":      {begin: read, want: alone},
		"after a greeting":   {begin: func(c *token.Conn) error { return c.WriteFrame(token.Greeting, nil) }, want: alone},
		"after a refusal":    {begin: func(c *token.Conn) error { c.WriteToken(make([]byte, 101)); return nil }, want: greeted},
		"the second of two":  {begin: func(c *token.Conn) error { return c.WriteToken(nil) }, want: alone},
		"detected version 1": {begin: read, want: v1([]byte("one"))},
	} {
		s := peerSays(v2(token.Context, []byte("hello")))
		if name == "detected version 1" {
			s = peerSays(v1([]byte("hello")))
		}
		c := conn(t, tt.version, 100, s)
		if tt.begin != nil {
			if err := tt.begin(c); err != nil {
				t.Fatal(err)
			}
		}
		before := len(s.writes)
		if err := c.WriteToken([]byte("one")); err != nil || len(s.writes) != before+1 || !bytes.Equal(s.writes[before], tt.want) {
			t.Errorf("%s: %q, %v; want one more of %q", name, s.writes, err, tt.want)
		}
	}
}

// Who writes before anything was read chooses version 2.
func TestWriteFirst(t *testing.T) {
	s := &stream{Reader: bytes.NewReader(v2(token.Context, []byte("reply")))}
	c := token.NewConn(s)
	if err := c.WriteToken([]byte("hello")); err != nil || c.Version() != token.V2 {
		t.Fatalf("version %s, %v", c.Version(), err)
	}
	if tok, err := c.ReadToken(); err != nil || string(tok) != "reply" {
		t.Errorf("%q, %v", tok, err)
	}
}

// What is refused leaves nothing on the stream, and the Conn as good as before.
func TestWriteFrameRefused(t *testing.T) {
	never := errors.New("no message today")
	for _, test := range []struct {
		name    string
		version token.Version
		max     int
		write   func(*token.Conn) error
		want    error
	}{
		{"no flags", token.V2, 0, func(c *token.Conn) error { return c.WriteFrame(0, nil) }, token.ErrNoFlags},
		{"no flags, func", token.V2, 0, func(c *token.Conn) error { return c.WriteFrameFunc(0, nil) }, token.ErrNoFlags},
		{"fill fails", token.V2, 0, func(c *token.Conn) error {
			return c.WriteFrameFunc(token.Data, func([]byte) ([]byte, error) { return nil, never })
		}, never},
		{"too long", token.V2, 10, func(c *token.Conn) error { return c.WriteFrame(token.Data, pattern(11)) }, &token.TooLongError{Length: 11, Limit: 10}},
		{"too long, func", token.V2, 10, func(c *token.Conn) error {
			return c.WriteFrameFunc(token.Data, func(dst []byte) ([]byte, error) { return append(dst, pattern(11)...), nil })
		}, &token.TooLongError{Length: 11, Limit: 10}},
		{"too long for version 1", token.V1, 20 << 20, func(c *token.Conn) error { return c.WriteFrame(0, make([]byte, 1<<24)) },
			&token.TooLongError{Length: 1 << 24, Limit: 1<<24 - 1}},
		{"header cut off", token.V2, 0, func(c *token.Conn) error {
			return c.WriteFrameFunc(token.Data, func([]byte) ([]byte, error) { return []byte("data"), nil })
		}, errors.New("token: the room for the frame's header was cut off")},
	} {
		s := &stream{Reader: bytes.NewReader(v2(token.NOOP|token.ContextNext, nil))}
		c := conn(t, test.version, test.max, s)
		if err := test.write(c); err == nil || err.Error() != test.want.Error() {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if len(s.writes) != 0 {
			t.Errorf("%s: % x written", test.name, s.writes)
		}
		if _, err := c.ReadFrame(); test.version != token.V1 && err != nil {
			t.Errorf("%s: then %v", test.name, err)
		}
		if err := c.WriteFrame(token.Data, pattern(10)); err != nil || len(s.writes) != 1 {
			t.Errorf("%s: then %v, %d writes", test.name, err, len(s.writes))
		}
	}
}

type writeFunc func([]byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

// A failed write is final for writing; reading goes on, as the peer may have said why.
func TestWriteFrameFails(t *testing.T) {
	for _, test := range []struct {
		name  string
		write writeFunc
		want  error
	}{
		{"error", func([]byte) (int, error) { return 0, os.ErrClosed }, os.ErrClosed},
		{"error after a part", func(p []byte) (int, error) { return len(p) - 1, os.ErrDeadlineExceeded }, os.ErrDeadlineExceeded},
		{"short", func(p []byte) (int, error) { return len(p) - 1, nil }, io.ErrShortWrite},
		{"nothing", func(p []byte) (int, error) { return 0, nil }, io.ErrShortWrite},
		{"more than given", func(p []byte) (int, error) { return len(p) + 1, nil }, io.ErrShortWrite},
	} {
		calls := 0
		c := conn(t, token.V2, 0, struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(v2(token.Context, []byte("why"))), writeFunc(func(p []byte) (int, error) { calls++; return test.write(p) })})

		err := c.WriteFrame(token.Data, pattern(20))
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		fill := func(dst []byte) ([]byte, error) { t.Errorf("%s: fill called", test.name); return dst, nil }
		for _, again := range []error{c.WriteFrame(token.Data, nil), c.WriteToken(nil), c.WriteFrameFunc(token.Data, fill)} {
			if again != err {
				t.Errorf("%s: %v does not stick: %v", test.name, err, again)
			}
		}
		if calls != 1 {
			t.Errorf("%s: %d writes, want 1", test.name, calls)
		}
		if tok, err := c.ReadToken(); err != nil || string(tok) != "why" {
			t.Errorf("%s: then read %q, %v", test.name, tok, err)
		}
	}
}

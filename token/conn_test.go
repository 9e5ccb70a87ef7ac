package token_test

import (
	"bytes"
	"errors"
	"math"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/token"
)

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		cfg  token.Config
		want string
	}{
		{token.Config{}, ""},
		{token.Config{Version: token.V1, MaxLength: token.DefaultMaxLength}, ""},
		{token.Config{Version: token.V2, MaxLength: math.MaxInt32 - 5}, ""},
		{token.Config{Version: -1}, "token: no such version: -1"},
		{token.Config{Version: 3}, "token: no such version: 3"},
		{token.Config{MaxLength: -1}, "token: maximum length of -1 bytes is not between 0 and 2147483642"},
		{token.Config{MaxLength: math.MaxInt32 - 4}, "token: maximum length of 2147483643 bytes is not between 0 and 2147483642"},
	} {
		c, err := test.cfg.NewConn(peerSays(nil))
		if test.want == "" {
			if err != nil || c.Version() != test.cfg.Version {
				t.Errorf("%+v: %v", test.cfg, err)
			}
		} else if c != nil || err == nil || err.Error() != test.want {
			t.Errorf("%+v: %v, want %s", test.cfg, err, test.want)
		}
	}
}

// An acceptor answers in the version that it was spoken to in.
func TestDetect(t *testing.T) {
	for _, test := range []struct {
		said    []byte
		version token.Version
		answer  []byte
	}{
		{v1([]byte("hello")), token.V1, v1([]byte("answer"))},
		{v1(nil), token.V1, v1([]byte("answer"))},
		{v2(token.Context, []byte("hello")), token.V2, v2(token.Context, []byte("answer"))},
		{v2(token.SendMIC, nil), token.V2, v2(token.Context, []byte("answer"))},
	} {
		s := peerSays(test.said)
		c := token.NewConn(s)
		if c.Version() != token.Detect {
			t.Errorf("version is %v before anything was read", c.Version())
		}
		if _, err := c.ReadFrame(); err != nil {
			t.Fatal(err)
		}
		if err := c.WriteToken([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		if c.Version() != test.version || !bytes.Equal(s.writes[0], test.answer) {
			t.Errorf("% x: version %v, answer % x", test.said, c.Version(), s.writes[0])
		}
	}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		c := conn(t, token.V2, 0, near)

		start := time.Now()
		if err := c.SetReadDeadline(start.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}

		// A read that was stopped goes on, in the middle of a long frame too.
		wire := v2(token.Data, pattern(100_000))
		go func() {
			far.Write(wire[:50_000])
			time.Sleep(time.Hour)
			far.Write(wire[50_000:])
		}()
		c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := c.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read of half a frame: %v", err)
		}
		c.SetDeadline(time.Time{})
		if frame, err := c.ReadFrame(); err != nil || !bytes.Equal(frame.Data, pattern(100_000)) {
			t.Errorf("read of the other half: %d bytes, %v", len(frame.Data), err)
		}

		// A write that was stopped does not.
		start = time.Now()
		c.SetWriteDeadline(start.Add(time.Second))
		if err := c.WriteToken(nil); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("write: %v after %v", err, time.Since(start))
		}
		c.SetWriteDeadline(time.Time{})
		if err := c.WriteToken(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write after a failed one: %v", err)
		}
	})
}

func TestNoDeadline(t *testing.T) {
	c := token.NewConn(peerSays(nil))
	for _, set := range []func(time.Time) error{c.SetDeadline, c.SetReadDeadline, c.SetWriteDeadline} {
		if err := set(time.Time{}); !errors.Is(err, os.ErrNoDeadline) {
			t.Errorf("%v, want ErrNoDeadline", err)
		}
	}
}

// One goroutine reads while another writes; run with -race.
func TestReadAndWriteAtOnce(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	const frames = 200
	write := func(c *token.Conn) error {
		for i := range frames {
			err := c.WriteFrameFunc(token.Data, func(dst []byte) ([]byte, error) { return append(dst, pattern(i*50)...), nil })
			if err != nil {
				return err
			}
		}
		return nil
	}
	read := func(c *token.Conn) error {
		for i := range frames {
			frame, err := c.ReadFrame()
			if err != nil {
				return err
			}
			if !bytes.Equal(frame.Data, pattern(i*50)) {
				return errors.New("frame is not what was sent")
			}
			clear(frame.Data)
		}
		return nil
	}
	done := make(chan error)
	for _, c := range []*token.Conn{conn(t, token.V2, 0, near), conn(t, token.V2, 0, far)} {
		go func() { done <- write(c) }()
		go func() { done <- read(c) }()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

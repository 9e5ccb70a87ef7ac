package gss_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/gss"
)

// A peer that says nothing is waited for as long as a deadline or a context
// has it, and the failure sticks.
func TestStreamSilentPeer(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*gss.Stream) error
		want error
	}{
		{"read deadline", func(s *gss.Stream) error {
			_ = s.SetReadDeadline(time.Now().Add(time.Minute))
			_, err := s.Read(make([]byte, 1))
			return err
		}, os.ErrDeadlineExceeded},
		{"deadline", func(s *gss.Stream) error {
			_ = s.SetDeadline(time.Now().Add(time.Minute))
			_, err := s.Write(make([]byte, 1))
			return err
		}, os.ErrDeadlineExceeded},
		{"context", func(s *gss.Stream) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return s.HandshakeContext(ctx)
		}, context.DeadlineExceeded},
		{"close", func(s *gss.Stream) error {
			time.AfterFunc(time.Minute, func() { _ = s.Close() })
			return s.Handshake()
		}, net.ErrClosed},
	} {
		for _, slow := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/slow=%t", tt.name, slow), func(t *testing.T) {
				if slow && tt.want == os.ErrDeadlineExceeded {
					t.Skip("a connection's deadline does not bound the mechanism's own exchange")
				}
				synctest.Test(t, func(t *testing.T) {
					a, b := net.Pipe()
					defer a.Close()
					go func() { _, _ = io.Copy(io.Discard, b) }()
					s := gss.Client(a, gss.ClientConfig{Mechanism: &fakeMech{slow: slow}, Target: fakeTarget})
					start := time.Now()
					if err := tt.do(s); !errors.Is(err, tt.want) {
						t.Errorf("got %v, want %v", err, tt.want)
					}
					if took := time.Since(start); took != time.Minute {
						t.Errorf("it took %v", took)
					}
					_ = s.SetDeadline(time.Time{})
					if err := s.Handshake(); !errors.Is(err, tt.want) {
						t.Errorf("the next handshake: %v, want %v", err, tt.want)
					}
				})
			})
		}
	}
}

// A write that its deadline cuts short loses nothing and repeats nothing: what
// it counted arrives before what is written next.
func TestStreamWriteTakenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		c, s := streams(t, a, &sipping{Conn: b, left: 1 << 20})
		handshake(t, c, s)

		msg := bytes.Repeat([]byte("0123456789abcdef"), 20_000) // five records
		var sent int
		s.NetConn().(*sipping).limit(100_000)
		var wg sync.WaitGroup
		wg.Go(func() {
			buf := make([]byte, 512)
			var got []byte
			for {
				n, err := s.Read(buf)
				got = append(got, buf[:n]...)
				if err != nil {
					if err != io.EOF || !bytes.Equal(got, msg) {
						t.Errorf("read %d octets of %d, %v", len(got), len(msg), err)
					}
					return
				}
			}
		})
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := c.Write(msg)
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(msg) {
			t.Fatalf("the interrupted write: %d, %v", n, err)
		}
		sent = n
		if n, err = c.Write(msg[sent:]); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a write past the deadline: %d, %v", n, err)
		}
		s.NetConn().(*sipping).limit(1 << 30)
		_ = c.SetWriteDeadline(time.Time{})
		if n, err = c.Write(msg[sent:]); sent+n != len(msg) || err != nil {
			t.Fatalf("the write taken up: %d, %v", n, err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	})
}

// The end of the stream, held back by a deadline, can be sent later, too.
func TestStreamCloseWriteTakenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pipeStreams(t)
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		if err := c.CloseWrite(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("nobody read it, but: %v", err)
		}
		if n, err := c.Write([]byte("more")); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
			t.Errorf("a write after the end: %d, %v", n, err)
		}
		_ = c.SetWriteDeadline(time.Time{})
		go func() {
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
		}()
		if got, err := io.ReadAll(s); len(got) > 0 || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

// sipping is a connection that stops reading after so many octets, until it is
// given more.
type sipping struct {
	net.Conn
	mu   sync.Mutex
	cond *sync.Cond
	left int
}

func (s *sipping) limit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = n
	if s.cond != nil {
		s.cond.Broadcast()
	}
}

func (s *sipping) Read(p []byte) (int, error) {
	s.mu.Lock()
	for s.left == 0 {
		if s.cond == nil {
			s.cond = sync.NewCond(&s.mu)
		}
		s.cond.Wait()
	}
	p = p[:min(len(p), s.left)]
	s.mu.Unlock()
	n, err := s.Conn.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = max(0, s.left-n)
	return n, err
}

// Close interrupts what is under way. The peer of a write that was interrupted
// is not told that the stream ended there.
func TestStreamCloseInterrupts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pipeStreams(t)
		errs := make(chan error, 2)
		go func() {
			_, err := c.Write(make([]byte, 1<<20))
			errs <- err
		}()
		go func() {
			_, err := c.Read(make([]byte, 1))
			errs <- err
		}()
		if _, err := io.ReadFull(s, make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v, want %v", err, net.ErrClosed)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v", took)
		}
		if _, err := io.Copy(io.Discard, s); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the peer read %v", err)
		}
	})
}

// A peer that takes nothing more holds Close up for five seconds.
func TestStreamCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipeStreams(t)
		start := time.Now()
		if err := c.Close(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the end could not be told, but: %v", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/server"
)

// duplex is a service whose first byte is the handshake. It then reads messages of
// a byte, and do runs beside it.
type duplex struct {
	do     func(s *server.Session, stopping <-chan struct{})
	result chan error // of reading
}

func (v duplex) Serve(_ context.Context, s *server.Session) error {
	var b [1]byte
	if _, err := io.ReadFull(s, b[:]); err != nil {
		return err
	}
	s.Established()
	stopping := s.Duplex()
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.do(s, stopping)
	}()
	for {
		if _, err := io.ReadFull(s, b[:]); err != nil {
			v.result <- err
			<-done
			return err
		}
		s.Done(false)
	}
}

// A blocked write has its own time, whatever is read meanwhile, and ends no read.
func TestDuplexWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		written := make(chan error, 1)
		v := duplex{result: make(chan error, 1), do: func(s *server.Session, _ <-chan struct{}) {
			if err := s.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Error(err)
			}
			_, err := s.Write([]byte("nobody takes this"))
			written <- err
		}}
		srv := newServer(t, server.Config{Service: v, HandshakeTimeout: 5 * time.Second, MessageTimeout: 3 * time.Second, IdleTimeout: 2 * time.Second})
		ours, theirs := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- srv.ServeConn(t.Context(), theirs) }()
		for range 16 {
			if _, err := ours.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if err := <-written; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("written: %v", err)
		}
		if err := <-v.result; err == nil || !strings.Contains(err.Error(), "no message for 2s") {
			t.Errorf("read: %v", err)
		}
		<-ended
		if passed := time.Since(start); passed != 17*time.Second {
			t.Errorf("it took %s", passed)
		}
	})
}

// A server that stops interrupts the reading and lets the writing go on.
func TestDuplexStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := duplex{result: make(chan error, 1), do: func(s *server.Session, stopping <-chan struct{}) {
			<-stopping
			time.Sleep(time.Second)
			if _, err := s.Write([]byte("last")); err != nil {
				t.Error(err)
			}
		}}
		srv := newServer(t, server.Config{Service: v})
		ours, theirs := net.Pipe()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- srv.ServeConn(ctx, theirs) }()
		if _, err := ours.Write([]byte("xx")); err != nil {
			t.Fatal(err)
		}
		stop()
		if err := <-v.result; !errors.Is(err, server.ErrShutdown) {
			t.Errorf("read: %v", err)
		}
		if said, err := io.ReadAll(ours); string(said) != "last" || err != nil {
			t.Errorf("said %q, %v", said, err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Interrupt ends reading for good, also when it comes between two reads.
func TestDuplexInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := duplex{result: make(chan error, 1), do: func(s *server.Session, _ <-chan struct{}) { s.Interrupt() }}
		srv := newServer(t, server.Config{Service: v})
		ours, theirs := net.Pipe()
		go func() { _, _ = ours.Write([]byte("x")) }()
		start := time.Now()
		if err := srv.ServeConn(t.Context(), theirs); err != nil || time.Since(start) > 0 {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if err := <-v.result; !errors.Is(err, server.ErrShutdown) {
			t.Errorf("read: %v", err)
		}
	})
}

package client_test

import (
	"net"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/token"
)

// TestCrumbs has a server write as MIT's does: flags, length and data each by
// itself, held back by Nagle's algorithm. Were the acknowledgements delayed,
// every message took 40 ms at least.
func TestCrumbs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer listener.Close()
	served := make(chan error, 1)
	go func() { served <- serveCrumbs(listener) }()

	session, err := client.Dial(t.Context(), client.Config{Addr: listener.Addr().String(), Unauthenticated: true})
	check(t, err)
	const messages = 100
	begin := time.Now()
	for range messages {
		_, err := session.Sign([]byte("m"))
		check(t, err)
	}
	if took := time.Since(begin); took > messages*20*time.Millisecond {
		t.Errorf("%d messages took %v", messages, took)
	}
	check(t, session.Close())
	check(t, <-served)
}

func serveCrumbs(listener net.Listener) error {
	raw, err := listener.Accept()
	if err != nil {
		return err
	}
	defer raw.Close()
	if err := raw.(*net.TCPConn).SetNoDelay(false); err != nil {
		return err
	}
	conn := token.NewConn(raw)
	if _, err := conn.ReadFrame(); err != nil {
		return err
	}
	for {
		frame, err := conn.ReadFrame()
		if err != nil || frame.Flags&token.NOOP != 0 {
			return err
		}
		for _, crumb := range []string{"\x01", "\x00\x00\x00\x00"} {
			if _, err := raw.Write([]byte(crumb)); err != nil {
				return err
			}
		}
	}
}

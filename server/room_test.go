package server_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/server"
)

// startLines makes a server of lines on pipes. stop ends it, and gives what Run
// returned.
func startLines(t *testing.T, cfg server.Config) (l *pipeListener, logged *records, stop func() error) {
	t.Helper()
	cfg.Service = lines{}
	cfg.Log, logged = newLog()
	l = newPipeListener()
	srv := newServer(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- srv.Run(ctx, l) }()
	return l, logged, func() error {
		cancel()
		return <-result
	}
}

// isOpen says whether the server has a connection open still: nothing comes, and
// no end.
func isOpen(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond)) // fails when it is closed
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// Connections that say nothing keep nobody out: the oldest of them makes room.
// Those that are established keep their place, whatever comes.
func TestSilentMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, logged, stop := startLines(t, server.Config{MaxConnections: 200})
		first := l.dial()
		mustSay(t, first, "hello")
		began := time.Now()
		var silent []net.Conn
		for range 300 {
			silent = append(silent, l.dial())
		}
		good := l.dial()
		mustSay(t, good, "hello")
		mustSay(t, good, "one")
		mustSay(t, first, "one")
		if took := time.Since(began); took != 0 {
			t.Errorf("the good client waited %v", took)
		}
		// 199 places were left to them, the last of which the good client has.
		for i, conn := range silent {
			if got, want := isOpen(conn), i >= 300-198; got != want {
				t.Fatalf("silent connection %d is open: %v, want %v", i, got, want)
			}
		}
		recs := logged.all(t, "too many connections, closed the oldest that was not established")
		if len(recs) != 1 || recs[0]["limit"] != 200.0 || recs[0]["closed"] != 1.0 {
			t.Errorf("records %v, want one within a second", recs)
		}
		time.Sleep(time.Second)
		l.dial()
		synctest.Wait()
		recs = logged.all(t, "too many connections, closed the oldest that was not established")
		if len(recs) != 2 || recs[1]["closed"] != 102.0 {
			t.Errorf("records %v, want a second one for the rest", recs)
		}
		if n := len(logged.all(t, "session gave way to another")); n != 103 {
			t.Errorf("%d sessions gave way, want 103", n)
		}
		for _, what := range []string{"session failed", "too many connections, refused"} {
			if recs := logged.all(t, what); len(recs) != 0 {
				t.Errorf("%s: %v", what, recs)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A transport's handshake gives way as well, and the program of one connection
// is told why.
func TestHandshakeMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, server.Config{Service: lines{}, MaxConnections: 1})
		serve := func(conn net.Conn) chan error {
			ended := make(chan error, 1)
			go func() { ended <- srv.ServeConn(t.Context(), conn) }()
			synctest.Wait()
			return ended
		}
		_, slow := net.Pipe()
		displaced := serve(shaking{slow})
		ours, theirs := net.Pipe()
		good := serve(theirs)
		if err := <-displaced; err != server.ErrDisplaced {
			t.Errorf("the handshake ended with %v, want %v", err, server.ErrDisplaced)
		}
		mustSay(t, ours, "hello")
		synctest.Wait()
		if _, third := net.Pipe(); (<-serve(third)) == nil {
			t.Error("an established session gave way")
		}
		mustSay(t, ours, "bye")
		if err := <-good; err != nil {
			t.Error(err)
		}
	})
}

// stuck is a service that does not notice that its connection is closed.
type stuck struct{ release chan struct{} }

func (v stuck) Serve(context.Context, *server.Session) error {
	<-v.release
	return nil
}

// Sessions that gave way and do not end are not without bound, and are waited
// for when the server stops.
func TestDisplacedBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, logged := newLog()
		v := stuck{make(chan struct{})}
		l := newPipeListener()
		srv := newServer(t, server.Config{Service: v, MaxConnections: 2, Log: log})
		ctx, stop := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- srv.Run(ctx, l) }()
		for range 5 {
			l.dial()
			synctest.Wait()
		}
		if recs := logged.all(t, "connection accepted"); len(recs) != 4 {
			t.Errorf("%d sessions began, want 2 and as many that give way", len(recs))
		}
		if recs := logged.all(t, "too many connections, refused"); len(recs) != 1 {
			t.Errorf("refusals %v, want one", recs)
		}
		stop()
		synctest.Wait()
		close(v.release)
		if err := <-result; err != nil {
			t.Error(err)
		}
		if recs := logged.all(t, "session ended"); len(recs) != 4 {
			t.Errorf("%d sessions ended, want 4", len(recs))
		}
	})
}

package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/server"
)

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]server.Config{
		"-1 connections":             {Service: lines{}, MaxConnections: -1},
		"negative handshake timeout": {Service: lines{}, HandshakeTimeout: -1},
		"negative message timeout":   {Service: lines{}, MessageTimeout: -1},
		"negative idle timeout":      {Service: lines{}, IdleTimeout: -1},
		"negative grace time":        {Service: lines{}, Grace: -1},
	} {
		if _, err := server.New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// A peer that is silent or slow loses its connection at the limit of the stage
// it is in, and not before.
func TestTimeouts(t *testing.T) {
	cfg := server.Config{
		Service:          lines{},
		HandshakeTimeout: 10 * time.Second,
		MessageTimeout:   20 * time.Second,
		IdleTimeout:      40 * time.Second,
	}
	slow := func(conn net.Conn) {
		for {
			time.Sleep(time.Second)
			if _, err := io.WriteString(conn, "x"); err != nil {
				return
			}
		}
	}
	tests := []struct {
		name  string
		peer  func(t *testing.T, conn net.Conn)
		after time.Duration
		want  string
	}{
		{"silent from the start", func(*testing.T, net.Conn) {}, 10 * time.Second, "handshake not finished within 10s"},
		{"handshake byte by byte", func(_ *testing.T, conn net.Conn) { slow(conn) }, 10 * time.Second, "handshake not finished within 10s"},
		{"no message", func(t *testing.T, conn net.Conn) { mustSay(t, conn, "hello") }, 40 * time.Second, "no message for 40s"},
		{"no further message", func(t *testing.T, conn net.Conn) {
			mustSay(t, conn, "hello")
			time.Sleep(39 * time.Second)
			mustSay(t, conn, "one")
		}, 79 * time.Second, "no message for 40s"},
		{"message byte by byte", func(t *testing.T, conn net.Conn) {
			mustSay(t, conn, "hello")
			slow(conn)
		}, 21 * time.Second, "message and answer not finished within 20s"},
		{"answer not taken", func(t *testing.T, conn net.Conn) {
			mustSay(t, conn, "hello")
			if _, err := io.WriteString(conn, "one\n"); err != nil {
				t.Error(err)
			}
		}, 20 * time.Second, "message and answer not finished within 20s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				var peer sync.WaitGroup
				peer.Go(func() { tt.peer(t, ours) })
				start := time.Now()
				err := newServer(t, cfg).ServeConn(t.Context(), theirs)
				if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				if took := time.Since(start); took != tt.after {
					t.Errorf("after %s, want %s", took, tt.after)
				}
				peer.Wait()
			})
		})
	}
}

func TestHandshakeBytesBounded(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		for {
			if _, err := ours.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}()
	err := newServer(t, server.Config{Service: lines{}}).ServeConn(t.Context(), theirs)
	if !errors.Is(err, server.ErrHandshakeTooLong) {
		t.Errorf("error %v, want %v", err, server.ErrHandshakeTooLong)
	}
}

// Connections past the bound are closed as they come when all the others are
// established; those do not notice, and an end makes room.
func TestConnectionsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, logged := newLog()
		l := newPipeListener()
		srv := newServer(t, server.Config{Service: lines{}, MaxConnections: 2, Log: log})
		ctx, stop := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- srv.Run(ctx, l) }()
		a, b := l.dial(), l.dial()
		mustSay(t, a, "hello")
		mustSay(t, b, "hello")
		synctest.Wait()
		for range 5 {
			if _, err := say(l.dial(), "hello"); err == nil {
				t.Error("a third connection was served")
			}
		}
		if recs := logged.all(t, "too many connections, refused"); len(recs) != 1 || recs[0]["limit"] != 2.0 {
			t.Errorf("five refusals within a second gave the records %v, want one", recs)
		}
		time.Sleep(time.Second)
		l.dial()
		synctest.Wait()
		if recs := logged.all(t, "too many connections, refused"); len(recs) != 2 || recs[1]["refused"] != 5.0 {
			t.Errorf("records %v, want a second one for 5 refusals", recs)
		}
		mustSay(t, a, "one")
		mustSay(t, b, "one")
		mustSay(t, a, "bye")
		synctest.Wait()
		c := l.dial()
		mustSay(t, c, "hello")
		mustSay(t, c, "one")
		oneMore := func(want error) {
			t.Helper()
			_, theirs := net.Pipe()
			if err := srv.ServeConn(t.Context(), theirs); err != want {
				t.Errorf("one more connection: %v, want %v", err, want)
			}
		}
		oneMore(server.ErrFull)
		stop()
		if err := <-result; err != nil {
			t.Error(err)
		}
		oneMore(server.ErrShutdown)
	})
}

// Want of descriptors is waited out, with pauses that grow up to a second; a
// listener that is broken ends Run with its error.
func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, logged := newLog()
		l := newPipeListener()
		result := make(chan error, 1)
		go func() { result <- newServer(t, server.Config{Service: lines{}, Log: log}).Run(t.Context(), l) }()
		start := time.Now()
		for range 12 {
			l.conns <- accepted{err: &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}}
		}
		conn := l.dial()
		// 5 ms doubled up to 640 ms is eight pauses, then one second each.
		if took, want := time.Since(start), 1275*time.Millisecond+4*time.Second; took != want {
			t.Errorf("12 failures took %s, want %s", took, want)
		}
		mustSay(t, conn, "hello")
		mustSay(t, conn, "bye")
		if recs := logged.all(t, "cannot accept connections"); len(recs) != 12 || !strings.Contains(fmt.Sprint(recs[0]["error"]), "too many open files") ||
			!strings.Contains(fmt.Sprint(recs[0]["hint"]), "LimitNOFILE=") {
			t.Errorf("%d records, want 12 that name cause and cure: %v", len(recs), recs)
		}
		broken := errors.New("broken")
		l.conns <- accepted{err: broken}
		if err := <-result; err != broken {
			t.Errorf("Run returned %v, want %v", err, broken)
		}
	})
}

// When the server stops, idle sessions are closed at once, a running exchange is
// finished, and one that does not finish is cut off after the grace time.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, logged := newLog()
		l := newPipeListener()
		release := make(chan struct{})
		srv := newServer(t, server.Config{Service: lines{release}, Grace: 3 * time.Second, Log: log})
		ctx, stop := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- srv.Run(ctx, l) }()

		fresh, idle, busy, stuck := l.dial(), l.dial(), l.dial(), l.dial()
		for _, conn := range []net.Conn{idle, busy, stuck} {
			mustSay(t, conn, "hello")
		}
		mustSay(t, idle, "one")
		answer := make(chan error, 1)
		go func() {
			_, err := say(busy, "wait")
			answer <- err
		}()
		if _, err := io.WriteString(stuck, "half a messa"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()

		start := time.Now()
		stop()
		for name, conn := range map[string]net.Conn{"fresh": fresh, "idle": idle} {
			if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%s connection: %v, want EOF", name, err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("idle connections were closed after %s", took)
		}
		time.Sleep(time.Second)
		close(release)
		if err := <-answer; err != nil {
			t.Errorf("running exchange: %v", err)
		}
		if _, err := busy.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after its exchange: %v, want EOF", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("running exchange ended after %s, want 1s", took)
		}
		if err := <-result; err != nil {
			t.Errorf("Run returned %v", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("Run returned after %s, want 3s", took)
		}
		if recs := logged.all(t, "shutting down"); len(recs) != 1 || recs[0]["running"] != 2.0 {
			t.Errorf("records of the shutdown: %v", recs)
		}
		if n := len(logged.all(t, "session closed by shutdown")); n != 4 {
			t.Errorf("%d sessions logged as closed by shutdown, want 4", n)
		}
		if err := srv.ServeConn(t.Context(), stuck); !errors.Is(err, server.ErrShutdown) {
			t.Errorf("a stopped server served: %v", err)
		}
	})
}

// The exchange of the handshake counts as running until the first answer.
func TestDrainWaitsForFirstMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		ctx, stop := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- newServer(t, server.Config{Service: lines{}}).Run(ctx, l) }()
		conn := l.dial()
		mustSay(t, conn, "hello")
		synctest.Wait()
		stop()
		synctest.Wait()
		mustSay(t, conn, "one")
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}

func TestOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		last string
		want error
	}{"good session": {"bye", nil}, "failed session": {"fail", errLines}} {
		t.Run(name, func(t *testing.T) {
			l := newPipeListener()
			result := make(chan error, 1)
			go func() {
				result <- newServer(t, server.Config{Service: lines{}}).RunOnce(t.Context(), newPipeListener(), l)
			}()
			conn := l.dial()
			mustSay(t, conn, "hello")
			mustSay(t, conn, tt.last)
			if err := <-result; err != tt.want {
				t.Errorf("result %v, want %v", err, tt.want)
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the listener still accepts: %v", err)
			}
		})
	}
	t.Run("stopped before any", func(t *testing.T) {
		ctx, stop := context.WithCancelCause(t.Context())
		stop(errors.New("terminated signal received"))
		if err := newServer(t, server.Config{Service: lines{}}).RunOnce(ctx, newPipeListener()); err != nil {
			t.Error(err)
		}
	})
}

// What a failed session's peer was told last arrives although it goes on
// sending: the connection is not reset under it.
func TestLastWordsArrive(t *testing.T) {
	l := listenTCP(t)
	result := make(chan error, 1)
	go func() { result <- newServer(t, server.Config{Service: lines{}}).RunOnce(t.Context(), l) }()
	conn := dialTCP(t, l)
	if _, err := io.WriteString(conn, "hello\nfail\n"+strings.Repeat("unread", 2000)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if string(got) != "fail\n" || err != nil {
		t.Errorf("peer heard %q, %v", got, err)
	}
	_ = conn.Close()
	if err := <-result; err != errLines {
		t.Error(err)
	}
}

func TestLogRecords(t *testing.T) {
	log, logged := newLog()
	l := listenTCP(t)
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- newServer(t, server.Config{Service: lines{}, Log: log}).Run(ctx, l) }()
	for _, last := range []string{"bye", "fail"} {
		conn := dialTCP(t, l)
		mustSay(t, conn, "hello")
		mustSay(t, conn, "one")
		mustSay(t, conn, last)
		_ = conn.Close()
	}
	stop()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	good, bad := logged.all(t, "session ended"), logged.all(t, "session failed")
	if len(good) != 1 || len(bad) != 1 {
		t.Fatalf("records %v and %v, want one each", good, bad)
	}
	for _, rec := range []map[string]any{good[0], bad[0]} {
		if rec["client"] != "tester" || rec["messages"] != 1.0 || rec["duration"] == nil ||
			!strings.HasPrefix(fmt.Sprint(rec["peer"]), "127.0.0.1:") {
			t.Errorf("record %v lacks something", rec)
		}
	}
	if good[0]["conn"] == bad[0]["conn"] {
		t.Error("two sessions have one id")
	}
	if bad[0]["error"] != errLines.Error() || bad[0]["level"] != "warning" {
		t.Errorf("record of the failure: %v", bad[0])
	}
}

// Many sessions, some of them in the middle of an exchange, and a stop.
func TestDrainUnderLoad(t *testing.T) {
	l := listenTCP(t)
	srv := newServer(t, server.Config{Service: lines{}})
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- srv.Run(ctx, l) }()
	var clients, started sync.WaitGroup
	for range 32 {
		started.Add(1)
		conn := dialTCP(t, l)
		clients.Go(func() {
			for i := 0; ; i++ {
				line := "hello"
				if i > 0 {
					line = fmt.Sprint("message ", i)
				}
				got, err := say(conn, line)
				if i == 1 {
					started.Done()
				}
				if err != nil {
					return
				}
				if i > 0 && got != line+"\n" {
					t.Errorf("said %q, heard %q", line, got)
				}
			}
		})
	}
	started.Wait()
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
	clients.Wait()
}

// A message whose beginning came along with the one before it has begun: a
// server that stops waits for the rest and answers it.
func TestPipelinedMessageHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, server.Config{Service: lines{}, MessageTimeout: 20 * time.Second, Grace: 10 * time.Second})
		ours, theirs := net.Pipe()
		ctx, stop := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- srv.ServeConn(ctx, theirs) }()
		mustSay(t, ours, "hello")
		if _, err := io.WriteString(ours, "one\nsec"); err != nil { // in one read
			t.Fatal(err)
		}
		answer := make([]byte, len("one\n"))
		if _, err := io.ReadFull(ours, answer); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stop()
		synctest.Wait() // the server drains
		if _, err := io.WriteString(ours, "ond\n"); err != nil {
			t.Fatal(err)
		}
		answer = make([]byte, len("second\n"))
		if _, err := io.ReadFull(ours, answer); err != nil || string(answer) != "second\n" {
			t.Errorf("the message that had begun was answered by %q, %v", answer, err)
		}
		if _, err := ours.Read(answer); err != io.EOF {
			t.Errorf("afterwards: %v, want the end", err)
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}

package echo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/echo"
)

// serve serves one connection and gives its other end and how it ended.
func serve(t *testing.T, cfg echo.Config, wrap func(net.Conn) net.Conn) (net.Conn, <-chan error) {
	t.Helper()
	srv, err := server.New(server.Config{Service: echo.New(cfg)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.ServeConn(context.Background(), wrap(theirs)) }()
	return ours, done
}

func as(conn net.Conn) net.Conn { return conn }

// What comes goes back, as it came, and is shown with its size, in a form that
// steers no terminal.
func TestEcho(t *testing.T) {
	var out bytes.Buffer
	conn, done := serve(t, echo.Config{Output: &out}, as)
	var want strings.Builder
	for _, msg := range []string{"hello\n", "\x1b[2J\x00\xff", strings.Repeat("x", 1000)} {
		if _, err := io.WriteString(conn, msg); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(msg))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != msg {
			t.Errorf("sent %q, got %q, %v", msg, got, err)
		}
		fmt.Fprintf(&want, "Received %d bytes from %s: %q\n", len(msg), conn.LocalAddr(), msg)
	}
	conn.Close()
	if err := <-done; err != nil {
		t.Errorf("the session: %v", err)
	}
	if out.String() != want.String() {
		t.Errorf("printed\n%swant\n%s", &out, &want)
	}
}

func TestAck(t *testing.T) {
	conn, done := serve(t, echo.Config{Ack: true}, as)
	for range 2 {
		io.WriteString(conn, "anything")
		want := fmt.Sprintf("to %s: ACK", conn.LocalAddr())
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
			t.Errorf("got %q, %v", got, err)
		}
	}
	conn.Close()
	if err := <-done; err != nil {
		t.Errorf("the session: %v", err)
	}
}

// faulty is a connection with a fault to order.
type faulty struct {
	net.Conn
	readErr  error
	writeErr error
	short    bool
}

func (f faulty) Read(b []byte) (int, error) {
	if f.readErr != nil {
		return 0, f.readErr
	}
	return f.Conn.Read(b)
}

func (f faulty) Write(b []byte) (int, error) {
	if f.short {
		return len(b) - 1, nil
	}
	return 0, f.writeErr
}

// A failure says at which stage, and why.
func TestFailures(t *testing.T) {
	broken := errors.New("the wire broke")
	for _, tt := range []struct {
		fault faulty
		cause error
		text  string
	}{
		{faulty{readErr: broken}, broken, "receiving: the wire broke"},
		{faulty{writeErr: broken}, broken, "sending back 5 bytes, of which 0 went: the wire broke"},
		{faulty{short: true}, io.ErrShortWrite, "sending back 5 bytes, of which 4 went: short write"},
	} {
		conn, done := serve(t, echo.Config{}, func(c net.Conn) net.Conn {
			tt.fault.Conn = c
			return tt.fault
		})
		if tt.fault.readErr == nil {
			io.WriteString(conn, "hello")
		}
		if err := <-done; !errors.Is(err, tt.cause) || err.Error() != tt.text {
			t.Errorf("the session: %v, want %s", err, tt.text)
		}
	}
}

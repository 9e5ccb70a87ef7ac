package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server"
)

// lines is a service for tests: a line "hello" is the handshake, every further
// line a message that is echoed once release, if there is one, is closed. "bye"
// ends the session, "fail" makes it fail after the peer was told.
type lines struct{ release chan struct{} }

var errLines = errors.New("told to fail")

func (v lines) Serve(_ context.Context, s *server.Session) error {
	r := bufio.NewReaderSize(s, 4096)
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if line != "hello\n" {
		return fmt.Errorf("greeted by %q", line)
	}
	s.Note("client", "tester")
	s.Established()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if v.release != nil && line == "wait\n" {
			<-v.release
		}
		if _, err := io.WriteString(s, line); err != nil {
			return err
		}
		switch line {
		case "bye\n":
			return nil
		case "fail\n":
			return errLines
		}
		s.Done(r.Buffered() > 0)
	}
}

// records is a log to look into.
type records struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

// all gives the records with the message.
func (r *records) all(t *testing.T, msg string) []map[string]any {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []map[string]any
	for line := range bytes.Lines(r.buf.Bytes()) {
		var rec map[string]any
		if err := json.Unmarshal(line, &rec); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if rec["msg"] == msg {
			found = append(found, rec)
		}
	}
	return found
}

func newLog() (*logrus.Logger, *records) {
	r := new(records)
	log := logrus.New()
	log.SetOutput(r)
	log.SetFormatter(&logrus.JSONFormatter{})
	log.SetLevel(logrus.DebugLevel)
	return log, r
}

func newServer(t *testing.T, cfg server.Config) *server.Server {
	t.Helper()
	srv, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

// accepted is what one Accept of a pipeListener gives.
type accepted struct {
	conn net.Conn
	err  error
}

// pipeListener accepts pipes, so that tests run on synctest's clock.
type pipeListener struct {
	conns  chan accepted
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan accepted), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case a := <-l.conns:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (l *pipeListener) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- accepted{conn: theirs}
	return ours
}

// say writes a line and returns the answer.
func say(conn net.Conn, line string) (string, error) {
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", err
	}
	if line == "hello" {
		return "", nil
	}
	return bufio.NewReader(conn).ReadString('\n')
}

func mustSay(t *testing.T, conn net.Conn, line string) {
	t.Helper()
	got, err := say(conn, line)
	if err != nil || line != "hello" && got != line+"\n" {
		t.Fatalf("said %q, heard %q, %v", line, got, err)
	}
}

func listenTCP(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func dialTCP(t testing.TB, l net.Listener) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

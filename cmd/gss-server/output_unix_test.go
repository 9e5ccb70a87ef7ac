//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A standard output that nobody reads holds up no session and not the end.
func TestBlockedOutput(t *testing.T) {
	realm := newRealm(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	p := prepare(t, realm.env(), "gss-server", "--listen", "127.0.0.1:0", "--log-format", "json", "-grace", "1s", "host@localhost")
	p.cmd.Stdout, err = os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.run(t)
	p.await(t, "starting...", 1)
	address := p.records(t, "listening")[0]["address"].(string)
	for range 2 {
		s := establish(t, realm.alice(t), address)
		if err := s.conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		for range 10 { // a pipe holds 64 KiB, the queue 8 MiB
			s.sign(t, strings.Repeat("x", 1<<20))
		}
		s.end(t)
	}
	p.await(t, "standard output is not read, dropping lines", 1)
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d\n%s", code, p.errors())
	}
	if rec := p.records(t, "standard output is not read, lines were lost"); len(rec) != 1 || rec[0]["lines"].(float64) < 20 {
		t.Errorf("log:\n%s", p.errors())
	}
}

// A standard output that was closed ends the server no more than the sessions.
func TestClosedOutput(t *testing.T) {
	realm := newRealm(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := prepare(t, realm.env(), "gss-server", "--listen", "127.0.0.1:0", "--log-format", "json", "host@localhost")
	p.cmd.Stdout = w
	p.run(t)
	_ = r.Close()
	_ = w.Close()
	p.await(t, "starting...", 1)
	address := p.records(t, "listening")[0]["address"].(string)
	for range 3 {
		s := establish(t, realm.alice(t), address)
		s.sign(t, "hello")
		s.end(t)
	}
	p.await(t, "session ended", 3)
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d\n%s", code, p.errors())
	}
	if rec := p.records(t, "cannot write to standard output, lines were lost"); len(rec) != 1 {
		t.Errorf("log:\n%s", p.errors())
	}
}

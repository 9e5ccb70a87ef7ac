//go:build unix

package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The exit code under -once is the session's.
func TestOnce(t *testing.T) {
	realm := newRealm(t)
	t.Run("good", func(t *testing.T) {
		p := start(t, realm.env(), "-once", "host@localhost")
		s := establish(t, realm.alice(t), p.address)
		s.sign(t, "hello")
		s.end(t)
		if code := p.wait(t); code != exitOK {
			t.Errorf("exit code %d\n%s", code, p.errors())
		}
	})
	t.Run("bad", func(t *testing.T) {
		p := start(t, realm.env(), "-once", "host@localhost")
		conn := dial(t, p.address)
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if code := p.wait(t); code != exitFailure {
			t.Errorf("exit code %d", code)
		}
		if rec := p.records(t, "session failed"); len(rec) != 1 || !strings.Contains(rec[0]["error"].(string), "longer than the limit") {
			t.Errorf("log:\n%s", p.errors())
		}
	})
	t.Run("stopped before any connection", func(t *testing.T) {
		p := start(t, realm.env(), "-once", "host@localhost")
		p.signal(t, syscall.SIGTERM)
		if code := p.wait(t); code != exitOK {
			t.Errorf("exit code %d\n%s", code, p.errors())
		}
	})
}

// SIGTERM and SIGINT: the idle session is closed, the one in the middle of its
// exchange finishes, exit code 0.
func TestStop(t *testing.T) {
	realm := newRealm(t)
	alice := realm.alice(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			p := start(t, realm.env(), "--grace", "20s", "host@localhost")
			idle, busy := establish(t, alice, p.address), establish(t, alice, p.address)
			idle.sign(t, "one")
			p.signal(t, sig)
			if _, err := idle.conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the idle session got %v, want EOF", err)
			}
			if _, err := net.Dial("tcp", p.address); err == nil {
				t.Error("a stopping server accepted a connection")
			}
			busy.sign(t, "one")
			if code := p.wait(t); code != exitOK {
				t.Errorf("exit code %d\n%s", code, p.errors())
			}
		})
	}
}

func TestPortTaken(t *testing.T) {
	realm := newRealm(t)
	p := start(t, realm.env(), "host@localhost")
	q := launch(t, realm.env(), "--listen", p.address, "host@localhost")
	if code := q.wait(t); code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	if got := q.errors(); !strings.Contains(got, "gss-server: listening on "+p.address+": bind: address already in use\nhint: another program has the port") {
		t.Errorf("it said\n%s", got)
	}
}

// SIGHUP: the log goes to a file of the same name again after it was renamed.
func TestReopenLog(t *testing.T) {
	realm := newRealm(t)
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte("{\"msg\":\"earlier\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, realm.env(), "--listen", "127.0.0.1:0", "--log-format", "json", "-logfile", log, "--allow-unauthenticated", "host@localhost")
	p.await(t, "starting...", 1)
	text := read(t, log)
	if len(records(t, text, "earlier")) != 1 {
		t.Errorf("the log file was not appended to:\n%s", text)
	}
	address := records(t, text, "listening")[0]["address"].(string)
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	for deadline := time.Now().Add(patience); ; {
		if _, err := os.Stat(log); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the log file was not opened again")
		}
		time.Sleep(time.Millisecond) // a file's appearance has no event that is the same on every system
	}
	talk(t, dial(t, address))
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if text := read(t, log); len(records(t, text, "session ended")) != 1 {
		t.Errorf("new log file:\n%s", text)
	}
	if got := p.errors(); got != "starting...\n" {
		t.Errorf("with a log file standard error has\n%s", got)
	}
}

// Sockets that systemd passes are served, and it is told of start and stop.
func TestSystemd(t *testing.T) {
	realm := newRealm(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	notifications := filepath.Join(t.TempDir(), "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notifications, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	hear := func() string {
		t.Helper()
		if err := told.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		n, err := told.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}

	p := prepare(t, append(realm.env(), "LISTEN_FDS=1", "NOTIFY_SOCKET="+notifications),
		"sh", "-c", `LISTEN_PID=$$ exec gss-server "$@"`, "sh", "--log-format", "json", "--allow-unauthenticated", "host@localhost")
	p.cmd.ExtraFiles = []*os.File{socket}
	p.run(t)
	if got := hear(); got != "READY=1" {
		t.Errorf("systemd was told %q", got)
	}
	talk(t, dial(t, l.Addr().String()))
	p.await(t, "session ended", 1)
	p.signal(t, syscall.SIGTERM)
	if got := hear(); got != "STOPPING=1" {
		t.Errorf("systemd was told %q", got)
	}
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d\n%s", code, p.errors())
	}

	// Somebody else's sockets are left alone.
	q := start(t, append(realm.env(), "LISTEN_FDS=1", "LISTEN_PID=1"), "host@localhost")
	if q.address == l.Addr().String() {
		t.Error("took a socket that was for another process")
	}
}

// Standard output being the null device costs nothing and changes nothing.
func TestNullOutput(t *testing.T) {
	realm := newRealm(t)
	p := prepare(t, realm.env(), "gss-server", "--listen", "127.0.0.1:0", "--log-format", "json", "-once", "host@localhost")
	p.cmd.Stdout = nil
	p.run(t)
	p.await(t, "starting...", 1)
	s := establish(t, realm.alice(t), p.records(t, "listening")[0]["address"].(string))
	s.sign(t, "hello")
	s.end(t)
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d\n%s", code, p.errors())
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// SIGHUP with the log's directory gone: that is said where somebody sees it.
func TestReopenLogFails(t *testing.T) {
	realm := newRealm(t)
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := launch(t, realm.env(), "--listen", "127.0.0.1:0", "-logfile", filepath.Join(dir, "log"), "host@localhost")
	p.await(t, "starting...", 1)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	if !p.await(t, "hint: make the directory, or name another file\n", 1) {
		t.Fatalf("it ended:\n%s", p.errors())
	}
	if got := p.errors(); !strings.Contains(got, "gss-server: cannot reopen the log file, writing on to the old one: open "+dir) {
		t.Errorf("it said\n%s", got)
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/token"
)

// inetd runs gss-server -inetd as inetd does, with a connection as descriptors
// 0, 1 and 2, and gives the peer's end.
func inetd(t *testing.T, env []string, args ...string) (*process, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer := dial(t, l.Addr().String())
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p := prepare(t, env, append([]string{"gss-server", "-inetd", "--log-format", "json"}, args...)...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = file, file, file
	p.run(t)
	return p, peer
}

// The peer gets the protocol's bytes and no other, and the exit code is the
// session's.
func TestInetdDescriptors(t *testing.T) {
	realm := newRealm(t)
	for _, tt := range []struct {
		name, service, sent, want string
		code                      int
		log                       string
	}{
		{"good session", "host@localhost", unauthenticated, unauthenticatedAnswer, exitOK, "session ended"},
		{"garbage", "host@localhost", "garbage that is no frame", "", exitFailure, "session failed"},
		{"no key", "nfs@localhost", "", "", exitFailure, "No key table entry found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			p, peer := inetd(t, realm.env(), "-verbose", "--allow-unauthenticated", "-logfile", log, tt.service)
			if _, err := io.WriteString(peer, tt.sent); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(peer)
			if string(got) != tt.want || err != nil {
				t.Errorf("the peer got %q, %v, want %q", got, err, tt.want)
			}
			_ = peer.Close()
			if code := p.wait(t); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if text := read(t, log); !strings.Contains(text, tt.log) {
				t.Errorf("no %q in the log:\n%s", tt.log, text)
			}
		})
	}
}

func TestInetdWait(t *testing.T) {
	realm := newRealm(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	log := filepath.Join(t.TempDir(), "log")
	p := prepare(t, realm.env(), "gss-server", "-inetd", "-logfile", log, "host@localhost")
	p.cmd.Stdin = file
	p.run(t)
	if code := p.wait(t); code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	if text := read(t, log); !strings.Contains(text, "listening socket") || !strings.Contains(text, "nowait") {
		t.Errorf("log:\n%s", text)
	}
}

// A context token that one process took is a replay to the next.
func TestInetdReplay(t *testing.T) {
	realm := newRealm(t)
	sec, err := realm.alice(t).Initiate(t.Context(), gss.Request{Target: gss.HostService("host@localhost")})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := sec.Step(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		code int
		log  string
	}{{exitOK, "session ended"}, {exitFailure, "Request is a replay"}} {
		log := filepath.Join(t.TempDir(), "log")
		p, peer := inetd(t, realm.env(), "-logfile", log, "host@localhost")
		conn, err := token.Config{Version: token.V2}.NewConn(peer)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.WriteFrame(token.NOOP|token.ContextNext, nil); err != nil {
			t.Fatal(err)
		}
		if err := conn.WriteToken(tok); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ReadToken(); err != nil { // an answer, or an error token
			t.Fatal(err)
		}
		_ = conn.WriteFrame(token.NOOP, nil) // a server that refused does not read it
		_ = peer.Close()
		if code := p.wait(t); code != tt.code {
			t.Errorf("exit code %d, want %d", code, tt.code)
		}
		if text := read(t, log); !strings.Contains(text, tt.log) {
			t.Errorf("no %q in the log:\n%s", tt.log, text)
		}
	}
}

// Debian's inetd starts gss-server, for IPv4 and IPv6; MIT's client and ours
// have their messages signed through it. MIT's client speaks IPv4 alone.
func TestRealInetd(t *testing.T) {
	mitrealm.Need(t, "inetd", "gss-client")
	realm := mitrealm.New(t, mitrealm.Config{})
	realm.Kinit("alice")
	program, err := exec.LookPath("gss-server")
	if err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	port, marker := freePort(t), freePort(t)
	var conf strings.Builder
	for _, address := range []string{"127.0.0.1:" + port + " stream tcp", "[::1]:" + port + " stream tcp6"} {
		fmt.Fprintf(&conf, "%s nowait %s %s gss-server -inetd --log-format json -logfile %s host@localhost\n", address, me.Username, program, log)
	}
	// inetd tells of each service before it listens for it: once it tells of
	// this one, it listens for those above.
	fmt.Fprintf(&conf, "127.0.0.1:%s stream tcp nowait %s /bin/true true\n", marker, me.Username)
	confFile := filepath.Join(dir, "inetd.conf")
	if err := os.WriteFile(confFile, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	path := realm.Command("inetd").Path
	p := prepare(t, realm.Env(), path, "-d", "-E", confFile)
	p.run(t)
	if !p.await(t, "ADD: 127.0.0.1:"+marker, 1) {
		t.Fatalf("inetd ended: %v\n%s", p.err, p.errors())
	}

	for range 3 {
		if out := clientOf(t, realm, "127.0.0.1:"+port, "-mcount 2", "hello"); strings.Count(out, "Signature verified.\n") != 2 {
			t.Errorf("gss-client printed\n%s", out)
		}
	}
	ours := filepath.Join(dir, "gss-client")
	if out, err := exec.Command("go", "build", "-o", ours, "github.com/countersign-go/countersign/cmd/gss-client").CombinedOutput(); err != nil {
		t.Fatalf("building gss-client: %v\n%s", err, out)
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		out, err := realm.Command(ours, "-port", port, host, "host@localhost", "hello").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Signature verified.\n") {
			t.Errorf("our gss-client: %v\n%s", err, out)
		}
	}
	p.await(t, "reaped, status 0", 5)
	text := read(t, log)
	if ended := records(t, text, "session ended"); len(ended) != 5 || len(records(t, text, "session failed")) != 0 {
		t.Errorf("%d good sessions, want 5:\n%s", len(ended), text)
	}
	if !strings.Contains(text, `"peer":"[::1]:`) {
		t.Errorf("no session over IPv6:\n%s", text)
	}
}

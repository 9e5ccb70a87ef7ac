package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/countersign-go/countersign/client/dtls"
)

const pskKey = "\x8a\x1d\x6f\x0c\x5b\x7e\x4f\x23\x98\xc0\xd7\xaa\x51\xb2\x6e\x03"

// startDTLS starts a server with a dtls and a tcp listener, both echoing, and
// gives the dtls one's address.
func startDTLS(t *testing.T, args ...string) (p *process, address string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "psk")
	if err := os.WriteFile(file, fmt.Appendf(nil, "# test\nalice %x\n", pskKey), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--log-format", "json", "--psk-file", file, "--listen", "dtls://127.0.0.1:0?service=echo", "--listen", "tcp://127.0.0.1:0?service=echo"}, args...)
	p = launch(t, os.Environ(), args...)
	if !p.await(t, "starting...", 1) {
		t.Fatalf("gss-server ended: %v\n%s", p.err, p.errors())
	}
	for _, r := range p.records(t, "listening") {
		if r["transport"] == "dtls" {
			address = fmt.Sprint(r["address"])
		}
	}
	return p, address
}

// A dtls listener beside a tcp one, in one process: it answers, shows what came,
// and ends with it.
func TestDTLS(t *testing.T) {
	p, address := startDTLS(t, "-verbose")
	session, err := dtls.Dial(t.Context(), dtls.Config{Addr: address, Identity: "alice", Key: []byte(pskKey)})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := session.Echo([]byte("hello over datagrams")); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d\n%s", code, p.errors())
	}
	if out := p.stdout.String(); !strings.Contains(out, "hello over datagrams") || !strings.Contains(out, "alice") {
		t.Errorf("printed\n%s", out)
	}
}

// With -once the exit status is that of the first session, by whichever
// listener it came.
func TestDTLSOnce(t *testing.T) {
	for _, tt := range []struct {
		key  string
		code int
	}{{pskKey, exitOK}, {strings.Repeat("x", 16), exitFailure}} {
		p, address := startDTLS(t, "-once")
		session, err := dtls.Dial(t.Context(), dtls.Config{Addr: address, Identity: "alice", Key: []byte(tt.key)})
		if (err == nil) != (tt.code == exitOK) {
			t.Fatalf("with the key %x: %v", tt.key, err)
		}
		if err == nil {
			if err := session.Echo([]byte("once")); err != nil {
				t.Error(err)
			}
			session.Close()
		}
		if code := p.wait(t); code != tt.code {
			t.Errorf("with the key %x: exit code %d\n%s", tt.key, code, p.errors())
		}
	}
}

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/countersign-go/countersign/client/dtls"
)

const pskKey = "\x8a\x1d\x6f\x0c\x5b\x7e\x4f\x23\x98\xc0\xd7\xaa\x51\xb2\x6e\x03"

// pskFile makes a file of keys.
func pskFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "psk")
	writeFile(t, file, text)
	return file
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startDTLS starts a server with a dtls and a tcp listener, both echoing, and
// gives the dtls one's address. alice has the key pskKey.
func startDTLS(t *testing.T, args ...string) (p *process, address string) {
	t.Helper()
	return startDTLSWith(t, pskFile(t, fmt.Sprintf("# test\nalice %x\n", pskKey)), args...)
}

func startDTLSWith(t *testing.T, file string, args ...string) (p *process, address string) {
	t.Helper()
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
	if _, err := session.Echo([]byte("hello over datagrams")); err != nil {
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
			if _, err := session.Echo([]byte("once")); err != nil {
				t.Error(err)
			}
			session.Close()
		}
		if code := p.wait(t); code != tt.code {
			t.Errorf("with the key %x: exit code %d\n%s", tt.key, code, p.errors())
		}
	}
}

// A file without keys lets nobody in: that is said at the start.
func TestDTLSNoKeys(t *testing.T) {
	file := pskFile(t, "# nobody yet\n")
	p := launch(t, os.Environ(), "--psk-file", file, "--listen", "dtls://127.0.0.1:0?service=echo")
	if code := p.wait(t); code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	if out := p.errors(); !strings.Contains(out, "gss-server: reading the pre-shared keys: reading keys "+file+": no identity and key in it\nhint: lines as") {
		t.Errorf("it said\n%s", out)
	}
}

// SIGHUP has the keys read again; those of a file that cannot be used do not
// take the place of the old ones.
func TestDTLSReload(t *testing.T) {
	file := pskFile(t, fmt.Sprintf("alice %x\n", pskKey))
	p, address := startDTLSWith(t, file)
	dialAs := func(identity string) error {
		session, err := dtls.Dial(t.Context(), dtls.Config{Addr: address, Identity: identity, Key: []byte(pskKey)})
		if err != nil {
			return err
		}
		defer session.Close()
		_, err = session.Echo([]byte("hello"))
		return err
	}
	writeFile(t, file, fmt.Sprintf("bob %x\n", pskKey))
	p.signal(t, syscall.SIGHUP)
	p.await(t, "pre-shared keys read again", 1)
	if err := dialAs("bob"); err != nil {
		t.Error(err)
	}
	if err := dialAs("alice"); !errors.Is(err, dtls.ErrRefused) {
		t.Errorf("who is in the file no more: %v", err)
	}
	writeFile(t, file, "")
	p.signal(t, syscall.SIGHUP)
	p.await(t, "cannot read the pre-shared keys again, going on with the old ones", 1)
	if err := dialAs("bob"); err != nil {
		t.Errorf("after the file was emptied: %v", err)
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d\n%s", code, p.errors())
	}
}

// One limit and one count for streams and datagrams.
func TestDTLSCountsWithTCP(t *testing.T) {
	p, address := startDTLS(t, "--max-connections", "1")
	var stream string
	for _, r := range p.records(t, "listening") {
		if r["transport"] == "tcp" {
			stream = fmt.Sprint(r["address"])
		}
	}
	conn := dial(t, stream)
	if _, err := conn.Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if _, err := dtls.Dial(t.Context(), dtls.Config{Addr: address, Identity: "alice", Key: []byte(pskKey)}); !errors.Is(err, dtls.ErrBusy) {
		t.Errorf("a second got %v by dtls, want %v", err, dtls.ErrBusy)
	}
	p.await(t, "too many connections, refused", 1)
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d\n%s", code, p.errors())
	}
}

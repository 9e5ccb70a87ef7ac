package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/dtls"
	"github.com/countersign-go/countersign/server/dtls/psk"
	"github.com/countersign-go/countersign/server/echo"
)

// pskFile makes a file of keys.
func pskFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "psk")
	check(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// serveDTLS echoes, or acknowledges, to the identities of a file.
func serveDTLS(t *testing.T, file string, ack bool) (url string) {
	t.Helper()
	keys, _, err := psk.Load(file, false)
	check(t, err)
	transport, err := dtls.New(dtls.Config{Key: keys.Key})
	check(t, err)
	l, err := transport.Listen("127.0.0.1:0")
	check(t, err)
	engine, err := server.New(server.Config{})
	check(t, err)
	done := make(chan error, 1)
	ctx := t.Context()
	go func() {
		done <- engine.Run(ctx, &server.Listener{Listener: l, Service: echo.New(echo.Config{Ack: ack})})
	}()
	t.Cleanup(func() { check(t, <-done) })
	_, port, err := net.SplitHostPort(l.Addr().String())
	check(t, err)
	return "dtls://127.0.0.1:" + port
}

const aliceKey = "alice 8a1d6f0c5b7e4f2398c0d7aa51b26e03\n"

// What comes back is verified; an acknowledgement will do, without an option.
func TestEchoDatagrams(t *testing.T) {
	file := pskFile(t, aliceKey)
	for _, tt := range []struct {
		name string
		ack  bool
		want string
	}{
		{"echo", false, `^(Received 5 bytes: "hello"\nEcho verified\.\n){2}$`},
		{"ack", true, `^(Received \d+ bytes: "to 127\.0\.0\.1:\d+: ACK"\nAcknowledged\.\n){2}$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := serveDTLS(t, file, tt.ack)
			args := []string{"--service", "echo", "--psk-identity", "alice", "--psk-file", file, "-mcount", "2", url, "hello"}
			code, stdout, stderr := runClient(t, args...)
			if code != exitVerified || stderr != "" || !regexp.MustCompile(tt.want).MatchString(stdout) {
				t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
			}
			code, stdout, stderr = runClient(t, append([]string{"-q"}, args...)...)
			if code != exitVerified || stdout+stderr != "" {
				t.Errorf("quietly: exit status %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}

// Who is not known, or has no key, learns why.
func TestEchoDatagramsFails(t *testing.T) {
	file := pskFile(t, aliceKey)
	others := pskFile(t, "alice 00000000000000000000000000000000\nmallory 00000000000000000000000000000000\n")
	empty := pskFile(t, "# nobody\n")
	url := serveDTLS(t, file, false)
	for _, tt := range []struct{ name, identity, file, want string }{
		{"wrong key", "alice", others, "the server does not know the identity, or has another key for it"},
		{"unknown identity", "mallory", others, "the server does not know the identity, or has another key for it"},
		{"not in the file", "bob", file, file + ` has no key for "bob"`},
		{"empty file", "alice", empty, empty + ": no identity and key in it\nhint: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := runClient(t, "--service", "echo", "--psk-identity", tt.identity, "--psk-file", tt.file, url, "hello")
			if code != exitFailed || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}

//go:build unix

package tlspolicy_test

import (
	"crypto/tls"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/countersign-go/countersign/server/tlspolicy"
)

// A key that comes through a pipe is read once. Handshakes and reloads go on with
// it: there is nobody who writes it again.
func TestKeyFromPipe(t *testing.T) {
	p := newPKI(t)
	pipe := p.Path("pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := tlspolicy.Config{CertFile: p.Path("server.crt"), KeyFile: pipe}
	if _, err := tlspolicy.New(cfg); err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("without a writer: %v", err)
	}
	key, err := os.ReadFile(p.Path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write(key); err != nil {
		t.Fatal(err)
	}
	// What was written stays as long as somebody has the pipe open.
	reader, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	reports := 0
	cfg.Trace = func(ev tlspolicy.Event) {
		if ev.Remote == nil {
			reports++
		}
	}
	policy := newPolicy(t, cfg)
	site := newSite(t, policy)
	for range 2 {
		if said, _, err := site.visit(t, p, "", &tls.Config{}); said != "served\n" {
			t.Errorf("said %q, %v", said, err)
		}
		<-site.ended
		policy.Reload()
	}
	if reports != 1 {
		t.Errorf("%d reports, want one, that the pipe is empty now", reports)
	}
}

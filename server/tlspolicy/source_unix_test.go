//go:build unix

package tlspolicy

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign-go/countersign/testdata/pki"
)

// A file that could not be read when its change was seen is read when it can be.
func TestReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write := func(content string) {
		t.Helper()
		long := time.Now().Add(-time.Hour) // past any doubt about the clock
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
	}
	var reports []error
	s := &source[string]{
		paths:  []string{path},
		parse:  func(contents [][]byte) (string, error) { return string(contents[0]), nil },
		report: func(_ string, err error) { reports = append(reports, err) },
	}
	write("old")
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	write("newer")
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	starved := []string{s.current(), s.current()}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if starved[0] != "old" || starved[1] != "old" {
		t.Errorf("without descriptors: %q", starved)
	}
	if got := s.current(); got != "newer" {
		t.Errorf("afterwards: %q", got)
	}
	if len(reports) != 2 || reports[0] == nil || reports[1] != nil {
		t.Errorf("reports %v, want one of the failure and one of its end", reports)
	}
}

// A file that is too long is not read to find that out.
func TestTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int64]bool{maxFile: true, maxFile + 1: false, 1 << 33: false} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		content, err := readFile(path)
		if (err == nil) != want || want && len(content) != maxFile || !want && !strings.Contains(err.Error(), "the file is longer than 67108864 bytes") {
			t.Errorf("%d bytes: %d, %v", size, len(content), err)
		}
	}
}

// A key that comes through a pipe is read once. Handshakes and reloads go on with
// it: there is nobody who writes it again.
func TestKeyFromPipe(t *testing.T) {
	p, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pipe := p.Path("pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reports := 0
	cfg := Config{CertFile: p.Path("server.crt"), KeyFile: pipe, Trace: func(ev Event) {
		if ev.Remote == nil {
			reports++
		}
	}}
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "the file is empty") {
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
	policy, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate("ca"))
	for range 2 {
		ours, theirs := net.Pipe()
		conn, err := policy.Server(ours, Settings{})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- conn.Handshake() }()
		if err := tls.Client(theirs, &tls.Config{RootCAs: roots, ServerName: "localhost"}).Handshake(); err != nil {
			t.Error(err)
		}
		theirs.Close()
		<-done // its session tickets may have found nobody
		ours.Close()
		policy.Reload()
	}
	if reports != 1 {
		t.Errorf("%d reports, want one, that the pipe is empty now", reports)
	}
}

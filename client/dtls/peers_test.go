package dtls_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client/dtls"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
)

// A program is somebody else's server.
type program struct {
	t     *testing.T
	addr  string
	cmd   *exec.Cmd
	stdin io.WriteCloser

	mu   sync.Mutex
	out  bytes.Buffer
	more chan struct{}
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b)
	close(p.more)
	p.more = make(chan struct{})
	return len(b), nil
}

// run starts a server; in its arguments PORT is a free port. It waits until the
// program says that it is ready.
func run(t *testing.T, ready, name string, args ...string) *program {
	t.Helper()
	mitrealm.Need(t, name)
	sock, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(sock.LocalAddr().(*net.UDPAddr).Port)
	_ = sock.Close()
	p := &program{t: t, addr: "127.0.0.1:" + port, more: make(chan struct{})}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "PORT", port)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = p, p
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.cmd = cmd
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	p.await(ready)
	return p
}

// await waits until the program has printed the words.
func (p *program) await(words string) {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		out, more := p.out.String(), p.more
		p.mu.Unlock()
		if strings.Contains(out, words) {
			return
		}
		select {
		case <-more:
		case <-timeout:
			p.t.Errorf("%q was not printed:\n%s", words, out)
			return
		}
	}
}

func TestOpenSSLServer(t *testing.T) {
	p := run(t, "ACCEPT", "openssl", "s_server", "-dtls1_2", "-listen", "-accept", "127.0.0.1:PORT", "-nocert",
		"-psk_identity", "alice", "-psk", fmt.Sprintf("%x", testKey), "-psk_hint", "who is it")
	s := dial(t, alice(p.addr))
	if s.Hint() != "who is it" {
		t.Errorf("hint %q", s.Hint())
	}
	go func() {
		p.await("hello from us")
		_, _ = io.WriteString(p.stdin, "answer\n")
	}()
	answer, err := s.Ask([]byte("hello from us\n"))
	if err != nil || string(answer) != "answer\n" {
		t.Errorf("got %q, %v", answer, err)
	}
	_ = s.Close()
	p.await("ECDHE-PSK-CHACHA20-POLY1305")
	p.await("DONE")
}

// A server that is gone without a word is noticed before the time limit.
func TestServerIsGone(t *testing.T) {
	p := run(t, "ACCEPT", "openssl", "s_server", "-dtls1_2", "-listen", "-accept", "127.0.0.1:PORT", "-nocert",
		"-psk_identity", "alice", "-psk", fmt.Sprintf("%x", testKey))
	cfg := alice(p.addr)
	cfg.Timeout, cfg.Resend = time.Hour, 10*time.Millisecond
	s := dial(t, cfg)
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	if _, err := s.Echo([]byte("hello")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want that nobody listens", err)
	}
}

func TestOpenSSLServerRefuses(t *testing.T) {
	p := run(t, "ACCEPT", "openssl", "s_server", "-dtls1_2", "-listen", "-accept", "127.0.0.1:PORT", "-nocert",
		"-psk_identity", "alice", "-psk", fmt.Sprintf("%x", testKey))
	cfg := alice(p.addr)
	cfg.Key = []byte("not alice's key!")
	cfg.Timeout = time.Second // OpenSSL passes over records that it cannot decrypt
	if _, err := dtls.Dial(t.Context(), cfg); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "wrong identity or key") {
		t.Errorf("got %v", err)
	}
}

func TestGnuTLSServer(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, fmt.Appendf(nil, "alice:%x\n", testKey), 0o600); err != nil {
		t.Fatal(err)
	}
	p := run(t, "done", "gnutls-serv", "--udp", "--echo", "--pskpasswd", keys, "--priority", "NORMAL:-KX-ALL:+ECDHE-PSK:+PSK", "-p", "PORT")
	s := dial(t, alice(p.addr))
	for i := range 10 {
		if _, err := s.Echo(fmt.Appendf(nil, "message %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()

	cfg := alice(p.addr)
	cfg.Key = []byte("not alice's key!")
	cfg.Timeout = time.Second // GnuTLS does, too
	if _, err := dtls.Dial(t.Context(), cfg); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a wrong key: %v", err)
	}
}

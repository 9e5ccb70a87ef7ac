package dtls

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
)

// A program is somebody else's client.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser

	mu   sync.Mutex
	out  bytes.Buffer
	more chan struct{}
}

func runProgram(t *testing.T, name string, args ...string) *program {
	t.Helper()
	mitrealm.Need(t, name)
	p := &program{t: t, cmd: exec.CommandContext(t.Context(), name, args...), more: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// Write takes what the program prints.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b)
	close(p.more)
	p.more = make(chan struct{})
	return len(b), nil
}

func (p *program) printed() (string, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String(), p.more
}

// await waits until the program has printed the words.
func (p *program) await(words string) {
	p.t.Helper()
	for timeout := time.After(patience); ; {
		out, more := p.printed()
		if strings.Contains(out, words) {
			return
		}
		select {
		case <-more:
		case <-timeout:
			p.t.Fatalf("%q was not printed:\n%s", words, out)
		}
	}
}

func (p *program) send(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Error(err)
	}
}

// wait closes the program's input and gives its output when it has ended.
func (p *program) wait() string {
	p.t.Helper()
	_ = p.stdin.Close()
	_ = p.cmd.Wait() // its status is of its own meaning
	out, _ := p.printed()
	return out
}

func port(a net.Addr) string { return fmt.Sprint(a.(*net.UDPAddr).Port) }

func opensslArgs(to net.Addr, identity string, key []byte, more ...string) []string {
	return append([]string{"s_client", "-dtls1_2", "-connect", to.String(), "-psk_identity", identity, "-psk", fmt.Sprintf("%x", key)}, more...)
}

func gnutlsArgs(to net.Addr, identity string, key []byte, kx string) []string {
	return []string{"--logfile=/dev/stderr", "--udp", "--pskusername", identity, "--pskkey", fmt.Sprintf("%x", key),
		"--priority", "NORMAL:-KX-ALL:" + kx, "-p", port(to), "127.0.0.1"}
}

// Each suite that OpenSSL has is agreed on with it, and messages come back.
func TestOpenSSLClient(t *testing.T) {
	for suite, openssl := range map[string]string{
		"ECDHE-PSK-CHACHA20-POLY1305": "ALL",
		"PSK-AES256-GCM-SHA384":       "PSK-AES256-GCM-SHA384",
		"PSK-CHACHA20-POLY1305":       "PSK-CHACHA20-POLY1305",
		"PSK-AES128-GCM-SHA256":       "PSK-AES128-GCM-SHA256",
		"PSK-AES256-CCM":              "PSK-AES256-CCM",
		"PSK-AES128-CCM":              "PSK-AES128-CCM",
		"PSK-AES256-CCM8":             "PSK-AES256-CCM8:@SECLEVEL=0",
		"PSK-AES128-CCM8":             "PSK-AES128-CCM8:@SECLEVEL=0",
	} {
		t.Run(suite, func(t *testing.T) {
			s, es := start(t, Config{Hint: "who is it"})
			p := runProgram(t, "openssl", opensslArgs(s.Addr(), "alice", testKey, "-cipher", openssl)...)
			es.await(t, Info, "encrypted with "+suite)
			p.send("hello")
			es.await(t, Datagram, "hello\n")
			p.await("\nhello\n")
			p.send("Q")
			es.await(t, Info, "the peer closed")
			out := p.wait()
			for _, words := range []string{"Cipher is " + suite, "PSK identity hint: who is it", "Extended master secret: yes"} {
				if !strings.Contains(out, words) {
					t.Errorf("openssl did not print %q:\n%s", words, out)
				}
			}
		})
	}
}

func TestOpenSSLClientRefused(t *testing.T) {
	s, es := start(t, Config{})
	for _, tt := range []struct {
		identity, key, cipher, alert string
	}{
		{"alice", "not alice's key!", "ALL", "alert decrypt error"},
		{"mallory", string(testKey), "ALL", "alert decrypt error"},
		{"alice", string(testKey), "PSK-AES128-CBC-SHA256", "alert handshake failure"},
	} {
		out := runProgram(t, "openssl", opensslArgs(s.Addr(), tt.identity, []byte(tt.key), "-cipher", tt.cipher)...).wait()
		if !strings.Contains(out, tt.alert) {
			t.Errorf("%+v: openssl did not print the alert:\n%s", tt, out)
		}
	}
	es.await(t, Error, `identity "alice": the pre-shared key is wrong`)
	es.await(t, Error, `unknown identity "mallory"`)
	es.await(t, Error, "the client offers no suite")
}

// The server's shutdown reaches OpenSSL, which ends by itself.
func TestOpenSSLClientIsToldOfShutdown(t *testing.T) {
	s, es := start(t, Config{})
	p := runProgram(t, "openssl", opensslArgs(s.Addr(), "alice", testKey)...)
	es.await(t, Info, "encrypted with")
	p.send("hello")
	es.await(t, Datagram, "hello")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // its input is open still
	if out, _ := p.printed(); !strings.Contains(out, "closed") {
		t.Errorf("openssl was not told:\n%s", out)
	}
}

// gnutls-cli 3.7.9 crashes on ECDHE-PSK with its own server, too: PSK it is.
func TestGnuTLSClient(t *testing.T) {
	for name, reply := range map[string]func(*setup){"echo": func(*setup) {}, "ack": withACK} {
		t.Run(name, func(t *testing.T) {
			s, es := start(t, Config{}, reply)
			p := runProgram(t, "gnutls-cli", gnutlsArgs(s.Addr(), "alice", testKey, "+PSK")...)
			es.await(t, Info, "encrypted with PSK-AES256-GCM-SHA384")
			p.send("hello")
			e := es.await(t, Datagram, "hello\n")
			want := "hello\n"
			if name == "ack" {
				want = fmt.Sprintf("to %v: ACK", e.Peer)
			}
			p.await(want)
			p.wait()
			es.await(t, Info, "the peer closed")
		})
	}
}

func TestGnuTLSClientRefused(t *testing.T) {
	s, es := start(t, Config{})
	for _, identity := range []string{"alice", "mallory"} {
		out := runProgram(t, "gnutls-cli", gnutlsArgs(s.Addr(), identity, []byte("not alice's key!"), "+PSK")...).wait()
		if !strings.Contains(out, "alert [51]: Decrypt error") {
			t.Errorf("%s: gnutls-cli did not print the alert:\n%s", identity, out)
		}
	}
	es.await(t, Error, `identity "alice": the pre-shared key is wrong`)
	es.await(t, Error, `unknown identity "mallory"`)
}

package main

import (
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
)

// Other programs' servers: what they receive, and that they receive nothing
// before their certificate was verified.
func TestTLSServers(t *testing.T) {
	certs := newPKI(t)
	servers := []struct {
		program string
		args    func(port, key string) []string
	}{
		{"openssl", func(port, key string) []string {
			// -rev sends lines back with their characters reversed.
			return []string{"s_server", "-accept", "127.0.0.1:" + port, "-cert", certs.Path(key + ".crt"), "-key", certs.Path(key + ".key"),
				"-CAfile", certs.Path("ca.crt"), "-Verify", "1", "-verify_return_error", "-rev"}
		}},
		{"gnutls-serv", func(port, key string) []string {
			return []string{"--echo", "-p", port, "--x509certfile", certs.Path(key + ".crt"), "--x509keyfile", certs.Path(key + ".key"),
				"--x509cafile", certs.Path("ca.crt"), "--require-client-cert", "--verify-client-cert"}
		}},
	}
	for _, s := range servers {
		for _, version := range []string{"1.3", "1.2"} {
			for key, want := range map[string]int{"server": exitVerified, "rogue-server": exitUntrusted, "server-misnamed": exitWrongName, "server-expired": exitExpired} {
				t.Run(s.program+"/"+version+"/"+key, func(t *testing.T) {
					mitrealm.Need(t, s.program)
					port := freePort(t)
					args := s.args(port, key)
					if want != exitVerified && s.program == "openssl" {
						args = args[:len(args)-1] // without -rev what comes is printed: see TestOpenSSLPrints
					}
					if version == "1.2" && s.program == "openssl" {
						args = append(args, "-tls1_2")
					} else if version == "1.2" {
						args = append(args, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2")
					}
					log, stop := daemon(t, s.program, args...)
					code, stdout, stderr := dialUntilUp(t, port, "--service", "echo", "--tls-min", version, "--tls-ca", certs.Path("ca.crt"),
						"--tls-cert", certs.Path("alice.crt"), "--tls-key", certs.Path("alice.key"), "tls://localhost:"+port, "level\n")
					stop()
					if code != want || code == exitVerified && !strings.Contains(stdout, "Received 6 bytes: \"level\\n\"\nEcho verified.\n") {
						t.Errorf("exit status %d, want %d\n%s%s\nthe server's log:\n%s", code, want, stdout, stderr, log)
					}
					received := strings.Contains(log.String(), "level")
					switch {
					case want != exitVerified && received:
						t.Errorf("the server received the message:\n%s", log)
					case want == exitVerified && s.program != "openssl" && !received:
						t.Errorf("the server's log does not show what it receives:\n%s", log)
					}
				})
			}
		}
	}
}

// s_server's log shows what it receives: that TestTLSServers finds nothing there
// means something.
func TestOpenSSLPrints(t *testing.T) {
	mitrealm.Need(t, "openssl")
	certs := newPKI(t)
	port := freePort(t)
	log, stop := daemon(t, "openssl", "s_server", "-accept", "127.0.0.1:"+port, "-cert", certs.Path("server.crt"), "-key", certs.Path("server.key"))
	code, _, stderr := dialUntilUp(t, port, "--service", "echo", "--timeout", "2s", "--tls-ca", certs.Path("ca.crt"), "tls://localhost:"+port, "level\n")
	stop()
	if code != exitFailed || !strings.Contains(stderr, "did not answer within") || !strings.Contains(log.String(), "level") {
		t.Errorf("exit status %d\n%s\nthe server's log:\n%s", code, stderr, log)
	}
}

// daemon runs a server until stop is called.
func daemon(t *testing.T, program string, args ...string) (log *syncBuffer, stop func()) {
	t.Helper()
	log = new(syncBuffer)
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe() // some end with it
	check(t, err)
	check(t, cmd.Start())
	var once sync.Once
	stop = func() {
		once.Do(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM) // which has them write out what they have printed
			kill := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
			_ = cmd.Wait()
			kill.Stop()
			_ = stdin.Close()
		})
	}
	t.Cleanup(stop)
	return log, stop
}

// dialUntilUp runs the client again until the server listens.
func dialUntilUp(t *testing.T, port string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) { // another program's start has no event
		code, stdout, stderr = runClient(t, args...)
		if !strings.Contains(stderr, "connection refused") || time.Now().After(deadline) {
			return code, stdout, stderr
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	check(t, err)
	return port
}

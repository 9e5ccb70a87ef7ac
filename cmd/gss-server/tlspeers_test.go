//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/testdata/pki"
)

// A peer is another program's TLS client. command gives what connects to the
// address with a certificate's files ("" for none) and carries standard input
// and output.
type peer struct {
	name    string
	program string
	command func(certs *pki.PKI, address, cert, version string) []string
}

var peers = []peer{
	{"openssl", "openssl", func(certs *pki.PKI, address, cert, version string) []string {
		args := []string{"s_client", "-quiet", "-no_ign_eof", "-connect", address, "-CAfile", certs.Path("ca.crt"),
			"-verify_hostname", "localhost", "-verify_return_error", map[string]string{"1.3": "-tls1_3", "1.2": "-tls1_2"}[version]}
		if cert != "" {
			args = append(args, "-cert", certs.Path(cert+".crt"), "-key", certs.Path(cert+".key"))
		}
		return args
	}},
	{"gnutls", "gnutls-cli", func(certs *pki.PKI, address, cert, version string) []string {
		host, port, _ := net.SplitHostPort(address)
		args := []string{"--x509cafile", certs.Path("ca.crt"), "--verify-hostname", "localhost", "--logfile", os.DevNull,
			"--priority", "NORMAL:-VERS-ALL:+VERS-TLS" + version, "-p", port, host}
		if cert != "" {
			args = append(args, "--x509certfile", certs.Path(cert+".crt"), "--x509keyfile", certs.Path(cert+".key"))
		}
		return args
	}},
}

// talkTo runs a program, sends a line when it is up, and gives the first lines
// that come, until one is found among them or the output ends.
func talkTo(t *testing.T, cmd *exec.Cmd, line, until string) (out, errs string) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }).Stop()
	_, _ = io.WriteString(stdin, line) // it may have ended already
	r := bufio.NewReader(stdout)
	for {
		got, err := r.ReadString('\n')
		out += got
		if err != nil || strings.Contains(got, until) {
			break
		}
	}
	_ = stdin.Close()
	rest, _ := io.ReadAll(r)
	_ = cmd.Wait() // how it ends differs between programs and versions
	return out + string(rest), stderr.String()
}

// Other programs' clients, with good, no, rogue and revoked certificates.
func TestTLSClients(t *testing.T) {
	certs := newPKI(t)
	for _, mode := range []string{"verify", "require"} {
		p, addrs := startTLS(t, os.Environ(), certs, []string{"tls://127.0.0.1:0?service=echo"},
			"--tls-min", "1.2", "--client-cert", mode, "--client-ca", certs.Path("ca.crt"), "--crl", certs.Path("ca.crl"))
		sessions := 0
		for _, peer := range peers {
			for _, version := range []string{"1.3", "1.2"} {
				for cert, told := range map[string]string{
					"alice":   "",
					"":        "NoClientCertExists: this server wants a client certificate, and none was shown.",
					"rogue":   "ClientCertInvalid: the client certificate was not issued by a CA that this server trusts.",
					"mallory": "CRL: the certificate with serial number BAD was revoked on ",
				} {
					name := fmt.Sprintf("%s/%s/%s/%s", mode, peer.name, version, cert)
					t.Run(name, func(t *testing.T) {
						mitrealm.Need(t, peer.program)
						const line = "hello from another program\n"
						want := told
						if told == "" {
							want = "hello from another program"
						} else if mode == "require" {
							want = ""
						}
						until := want
						if until == "" {
							until = "no such line"
						}
						out, errs := talkTo(t, exec.Command(peer.program, peer.command(certs, addrs[0], cert, version)...), line, until)
						switch {
						case !strings.Contains(out, want):
							t.Errorf("it printed\n%s%s\nwithout %q", out, errs, want)
						case want == "" && (strings.Contains(out, "hello") || strings.Contains(out, "server wants")):
							t.Errorf("it printed\n%s", out)
						case want == "" && !strings.Contains(strings.ToLower(errs+out), "alert"):
							t.Errorf("it tells of no alert:\n%s%s", out, errs)
						}
						sessions++
						p.await(t, `"msg":"session `, sessions)
					})
				}
			}
		}
		if bad := len(p.records(t, "session failed")); sessions > 0 && bad != sessions*3/4 {
			t.Errorf("%d of %d sessions failed, want three of four\n%s", bad, sessions, p.errors())
		}
	}
}

// stunnel, with stdin and stdout a connection to us, makes that a TLS one to the
// server, as it would for inetd.
func stunnel(t *testing.T, certs *pki.PKI, to, cert string) net.Conn {
	t.Helper()
	mitrealm.Need(t, "stunnel")
	conf := fmt.Sprintf("client = yes\nconnect = %s\nCAfile = %s\nverifyChain = yes\ncheckHost = localhost\ndebug = 3\nsyslog = no\noutput = %s\n",
		to, certs.Path("ca.crt"), filepath.Join(t.TempDir(), "log"))
	if cert != "" {
		conf += fmt.Sprintf("cert = %s\nkey = %s\n", certs.Path(cert+".crt"), certs.Path(cert+".key"))
	}
	file := filepath.Join(t.TempDir(), "stunnel.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours := dial(t, l.Addr().String())
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	socket, err := theirs.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	cmd := exec.Command("stunnel", file)
	cmd.Stdin, cmd.Stdout = socket, socket
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return ours
}

func TestStunnel(t *testing.T) {
	certs := newPKI(t)
	realm := mitrealm.New(t, mitrealm.Config{})
	mitrealm.Need(t, "gss-client", "stunnel")
	realm.Kinit("alice")
	clientCerts := []string{"--client-cert", "verify", "--client-ca", certs.Path("ca.crt"), "--crl", certs.Path("ca.crl")}
	both := []string{"tls://127.0.0.1:0?service=echo", "tls://127.0.0.1:0"}

	p, addrs := startTLS(t, realm.Env(), certs, both, append(clientCerts, "host@localhost")...)
	for cert, want := range map[string]string{"alice": "hello\n", "": "NoClientCertExists: ", "rogue": "ClientCertInvalid: ", "mallory": "CRL: "} {
		conn := stunnel(t, certs, addrs[0], cert)
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "hello\n")
		if got, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q, %v", cert, got, err)
		}
		_ = conn.Close()
	}

	// MIT's gss-client, which knows no TLS, through stunnel: its context is not
	// bound, which is allowed and can be forbidden.
	if out := throughStunnel(t, realm, certs, addrs[1], true); !strings.Contains(out, "Signature verified.\n") {
		t.Errorf("gss-client printed\n%s", out)
	}
	if rec := p.records(t, "context established"); len(rec) != 1 || rec[0]["cert_serial"] != "A11CE" || rec[0]["client"] != "alice@MIT.TEST" ||
		strings.Contains(rec[0]["flags"].(string), "CHANNEL_BOUND") {
		t.Errorf("log records %v", rec)
	}
	p, addrs = startTLS(t, realm.Env(), certs, both[1:], "--bind", "require", "host@localhost")
	if out := throughStunnel(t, realm, certs, addrs[0], false); strings.Contains(out, "Signature verified.") {
		t.Errorf("gss-client printed\n%s", out)
	}
	if !p.await(t, "the initiator sent no channel bindings", 1) {
		t.Errorf("log:\n%s", p.errors())
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// throughStunnel runs MIT's gss-client against a port behind which stunnel
// connects to the server, and gives what it printed.
func throughStunnel(t *testing.T, realm *mitrealm.Realm, certs *pki.PKI, to string, succeeds bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tunnel := stunnel(t, certs, to, "alice")
	go func() {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(tunnel, in)
			_ = tunnel.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(in, tunnel)
		_ = in.Close()
	}()
	if succeeds {
		return clientOf(t, realm, l.Addr().String(), "", "hello")
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	out, err := realm.Command("gss-client", "-port", port, host, "host@localhost", "hello").CombinedOutput()
	if err == nil {
		t.Errorf("gss-client succeeded")
	}
	return string(out)
}

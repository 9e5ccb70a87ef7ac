package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/echo"
	"github.com/countersign-go/countersign/server/sign"
	"github.com/countersign-go/countersign/server/tlspolicy"
	"github.com/countersign-go/countersign/testdata/pki"
)

func newPKI(t *testing.T) *pki.PKI {
	t.Helper()
	p, err := pki.New(t.TempDir())
	check(t, err)
	return p
}

// serveTLS serves over TLS with that key, and gives the server's port.
func serveTLS(t *testing.T, certs *pki.PKI, key string, mode tlspolicy.Mode, service server.Service) (port string) {
	t.Helper()
	cfg := tlspolicy.Config{CertFile: certs.Path(key + ".crt"), KeyFile: certs.Path(key + ".key"), ClientCert: mode}
	if mode != tlspolicy.None {
		cfg.ClientCAFile, cfg.CRLFiles = certs.Path("ca.crt"), []string{certs.Path("ca.crl")}
	}
	if strings.HasSuffix(key, "expired") {
		cfg.Time = func() time.Time { return time.Now().Add(-30 * time.Hour) }
	}
	policy, err := tlspolicy.New(cfg)
	check(t, err)
	engine, err := server.New(server.Config{})
	check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	done := make(chan error, 1)
	ctx := t.Context()
	go func() { done <- engine.Run(ctx, &server.Listener{Listener: policy.Listen(l), Service: service}) }()
	t.Cleanup(func() { check(t, <-done) })
	_, port, err = net.SplitHostPort(l.Addr().String())
	check(t, err)
	return port
}

func runClient(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// A server's certificate decides before anything is sent; each fault has its exit
// status.
func TestServerCertificates(t *testing.T) {
	certs := newPKI(t)
	for _, tt := range []struct {
		key    string
		ca     string
		code   int
		stdout string
		stderr string
	}{
		{"server", "ca.crt", exitVerified, "Received 5 bytes: \"hello\"\nEcho verified.\n", ""},
		{"server", "rogue-ca.crt", exitUntrusted, "", "securing connection: server certificate is untrusted"},
		{"rogue-server", "ca.crt", exitUntrusted, "", "hint: --tls-ca names a file"},
		{"server", "", exitUntrusted, "", "server certificate is untrusted"}, // by the system
		{"server-misnamed", "ca.crt", exitWrongName, "", "valid for other.test, not localhost"},
		{"server-expired", "ca.crt", exitExpired, "", "server certificate is expired or not valid yet"},
	} {
		t.Run(tt.key+" "+tt.ca, func(t *testing.T) {
			var received syncBuffer
			port := serveTLS(t, certs, tt.key, tlspolicy.None, echo.New(echo.Config{Output: &received}))
			args := []string{"--service", "echo"}
			if tt.ca != "" {
				args = append(args, "--tls-ca", certs.Path(tt.ca))
			}
			code, stdout, stderr := runClient(t, append(args, "tls://localhost:"+port, "hello")...)
			if code != tt.code || stdout != tt.stdout || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("exit status %d, want %d\n%s%s", code, tt.code, stdout, stderr)
			}
			if got := received.String(); code != exitVerified && got != "" {
				t.Errorf("the server received %q", got)
			}
		})
	}
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A server that is too old for TLS 1.3 is no riddle.
func TestOldServer(t *testing.T) {
	certs := newPKI(t)
	cert, err := tls.LoadX509KeyPair(certs.Path("server.crt"), certs.Path("server.key"))
	check(t, err)
	for _, tt := range []struct {
		newest  uint16
		minimum string
		hint    string
	}{
		{tls.VersionTLS12, "1.3", "hint: the server speaks no TLS 1.3: --tls-min 1.2 takes TLS 1.2 as well\n"},
		{tls.VersionTLS11, "1.2", "hint: the server speaks neither TLS 1.2 nor 1.3: it needs a newer one\n"},
	} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tt.newest})
		check(t, err)
		refused := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				refused <- err
				return
			}
			refused <- conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}()
		code, _, stderr := runClient(t, "--tls-ca", certs.Path("ca.crt"), "--tls-min", tt.minimum, "--service", "echo", "tls://"+l.Addr().String(), "hello")
		if err := <-refused; err == nil {
			t.Errorf("%s: the handshake succeeded", tls.VersionName(tt.newest))
		}
		if code != exitFailed || !strings.HasSuffix(stderr, tt.hint) {
			t.Errorf("%s: exit status %d\n%s", tls.VersionName(tt.newest), code, stderr)
		}
		_ = l.Close()
	}
}

// Whatever a server makes of the client's certificate, its user is told.
func TestClientCertificates(t *testing.T) {
	certs := newPKI(t)
	for _, tt := range []struct {
		mode   tlspolicy.Mode
		cert   string
		stderr string // "": it succeeds
	}{
		{tlspolicy.Require, "alice", ""},
		{tlspolicy.Verify, "alice", ""},
		{tlspolicy.Report, "rogue", ""},
		{tlspolicy.Verify, "", "the server says: NoClientCertExists: this server wants a client certificate"},
		{tlspolicy.Verify, "rogue", "the server says: ClientCertInvalid: the client certificate was not issued"},
		{tlspolicy.Verify, "mallory", "the server says: CRL: the certificate with serial number BAD was revoked"},
		{tlspolicy.Require, "", "hint: the server ended TLS: it may want a client certificate"},
		{tlspolicy.Require, "rogue", "remote error: tls: bad certificate"},
	} {
		for _, service := range []string{"echo", "sign"} {
			t.Run(fmt.Sprintf("%v %s %s", tt.mode, tt.cert, service), func(t *testing.T) {
				realm, err := gsstest.NewRealm(gsstest.Config{Name: "EXAMPLE.TEST"})
				check(t, err)
				defer realm.Close()
				signing, err := sign.New(sign.Config{Acceptor: join(t, realm)})
				check(t, err)
				args := []string{"--tls-ca", certs.Path("ca.crt")}
				if tt.cert != "" {
					args = append(args, "--tls-cert", certs.Path(tt.cert+".crt"), "--tls-key", certs.Path(tt.cert+".key"))
				}
				want := signed
				var served server.Service = signing
				var operands []string
				if service == "echo" {
					args = append(args, "--service", "echo")
					want, served, operands = "Echo verified.\n", echo.New(echo.Config{}), []string{"hello"}
				} else {
					args = append(args, "--bind", "require")
					operands = []string{"host@localhost", "hello"}
				}
				port := serveTLS(t, certs, "server", tt.mode, served)
				code, stdout, stderr := runClient(t, append(append(args, "tls://localhost:"+port), operands...)...)
				if tt.stderr == "" {
					if code != exitVerified || !strings.HasSuffix(stdout, want) {
						t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
					}
				} else if code != exitFailed || !strings.Contains(stderr, tt.stderr) || strings.Contains(stdout, want) {
					t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
				}
			})
		}
	}
}

// A client's key comes in every form that a server's does; one that cannot be used
// is said to be so before anything is sent.
func TestClientKeys(t *testing.T) {
	mitrealm.Need(t, "openssl")
	certs := newPKI(t)
	for _, args := range []string{
		"pkcs8 -topk8 -v2 aes-256-cbc -in alice.key -passout pass:secret -out encrypted.key",
		"pkcs12 -export -in alice.crt -inkey alice.key -passout pass:secret -out alice.p12",
	} {
		cmd := exec.Command("openssl", strings.Fields(args)...)
		cmd.Dir = certs.Path(".")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %s: %v\n%s", args, err, out)
		}
	}
	check(t, os.WriteFile(certs.Path("empty"), nil, 0o600))
	port := serveTLS(t, certs, "server", tlspolicy.Verify, echo.New(echo.Config{}))
	for _, tt := range []struct{ args, stderr string }{
		{"--tls-cert alice.crt --tls-key encrypted.key --tls-key-passphrase-file passphrase.txt", ""},
		{"--tls-pkcs12 alice.p12 --tls-key-passphrase-file passphrase.txt", ""},
		{"--tls-cert expired.crt --tls-key expired.key", "the server says: ClientCertInvalid: the client certificate has expired"},
		{"--tls-pkcs12 alice.p12", "alice.p12: the passphrase is missing or wrong\nhint: name a passphrase file"},
		{"--tls-cert alice.crt --tls-key encrypted.key", "encrypted.key: the key is encrypted\nhint: name a passphrase file"},
		{"--tls-cert alice.crt --tls-key mallory.key", "mallory.key does not fit the certificate of CN=alice"},
		{"--tls-cert alice.crt --tls-key missing", "reading the TLS files: open "},
		{"--tls-cert empty", "the file is empty"},
	} {
		args := []string{"--service", "echo", "--tls-ca", certs.Path("ca.crt")}
		for _, arg := range strings.Fields(tt.args) {
			if !strings.HasPrefix(arg, "-") {
				arg = certs.Path(arg)
			}
			args = append(args, arg)
		}
		code, stdout, stderr := runClient(t, append(args, "tls://localhost:"+port, "hello")...)
		if tt.stderr == "" && code != exitVerified || tt.stderr != "" && code != exitFailed || !strings.Contains(stderr, tt.stderr) {
			t.Errorf("%s: exit status %d\n%s%s", tt.args, code, stdout, stderr)
		}
	}
}

// An echo that is none, over plain TCP.
func TestEcho(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer string
		code   int
		stdout string
		stderr string
	}{
		{"right", "hello", exitVerified, "Received 5 bytes: \"hello\"\nEcho verified.\n", ""},
		{"wrong", "help!", exitFailed, "Received 5 bytes: \"help!\"\n", "receiving answer: what came back differs from what was sent, from byte 4 of 5 on"},
		{"short", "hell", exitFailed, "Received 4 bytes: \"hell\"\n", "the server closed the connection"},
		{"none", "", exitFailed, "", "the server closed the connection where its answer was due"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			check(t, err)
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				if _, err := io.CopyN(io.Discard, bufio.NewReader(conn), 5); err == nil {
					_, _ = io.WriteString(conn, tt.answer)
				}
			}()
			code, stdout, stderr := runClient(t, "--service", "echo", "tcp://"+l.Addr().String(), "hello")
			if code != tt.code || stdout != tt.stdout || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("exit status %d, want %d\n%s%s", code, tt.code, stdout, stderr)
			}
		})
	}
}

// A message of more than what all buffers on the way hold.
func TestLongEcho(t *testing.T) {
	certs := newPKI(t)
	port := serveTLS(t, certs, "server", tlspolicy.None, echo.New(echo.Config{}))
	file := certs.Path("long")
	check(t, os.WriteFile(file, bytes.Repeat([]byte("0123456789abcdef"), 1<<19), 0o600))
	code, stdout, stderr := runClient(t, "-q", "--service", "echo", "--tls-ca", certs.Path("ca.crt"), "-mcount", "2", "tls://localhost:"+port, "-f", file)
	if code != exitVerified || stdout != "" {
		t.Errorf("exit status %d\n%.200s%s", code, stdout, stderr)
	}
}

// Command lines with URLs, and those that contradict themselves.
func TestURLs(t *testing.T) {
	for _, tt := range []struct {
		args string
		addr string
		want string // of the error
	}{
		{"host svc msg", "host:4444", ""},
		{"tcp://host svc msg", "host:4444", ""},
		{"tls://host:4445 svc msg", "host:4445", ""},
		{"-port 5 tls://host svc msg", "host:5", ""},
		{"tls://[::1]:4445 svc msg", "[::1]:4445", ""},
		{"--service echo tls://host:4446 msg", "host:4446", ""},
		{"--service echo tls://host:4446 -f msg", "host:4446", ""},
		{"--service echo host msg", "host:4444", ""},
		{"-port 5 tls://host:4445 svc msg", "", "contradict each other"},
		{"http://host svc msg", "", "unknown transport http"},
		{"dtls://host:1 svc msg", "", "dtls carries --service echo only"},
		{"tls://host/path svc msg", "", "nothing else"},
		{"tls://:4445 svc msg", "", "nothing else"},
		{"tls://host:0 svc msg", "", "a port is a number"},
		{"tls://host:99999 svc msg", "", "a port is a number"},
		{"--tls-ca f host svc msg", "", "--tls-ca: the connection is not TLS"},
		{"--bind require host svc msg", "", "plain TCP is no channel"},
		{"--bind maybe tls://host svc msg", "", "known are off, allow and require"},
		{"--bind require -na tls://host svc msg", "", "there is no context to bind"},
		{"--tls-key k tls://host svc msg", "", "--tls-key needs --tls-cert"},
		{"--tls-cert c --tls-pkcs12 p tls://host svc msg", "", "two sources of the client's key"},
		{"--tls-key-passphrase-file f tls://host svc msg", "", "there is no key"},
		{"--tls-pkcs12 p --tls-key-passphrase-file f tls://host:1 svc msg", "host:1", ""},
		{"--tls-pkcs12 p host svc msg", "", "--tls-pkcs12: the connection is not TLS"},
		{"--tls-min SSLv3 tls://host svc msg", "", "are broken"},
		{"--service echo -na host msg", "", "--service echo has no use for -na"},
		{"--service pull host svc msg", "", "known are sign, echo and push"},
		{"--service echo host", "", "missing: message"},
		{"--service echo host svc msg", "", "no argument is taken after the message"},
	} {
		o, err := parse(strings.Fields(tt.args))
		switch {
		case tt.want != "":
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want an error with %q", tt.args, err, tt.want)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.args, err)
		case o.addr() != tt.addr:
			t.Errorf("%s: connects to %s", tt.args, o.addr())
		}
	}
}

// Every verdict but a good one has its own exit status.
func TestVerdictExits(t *testing.T) {
	seen := map[int]bool{exitVerified: true, exitFailed: true, exitUsage: true}
	for _, v := range []client.Verdict{client.Untrusted, client.WrongName, client.Expired} {
		code := exitCode(&failure{err: &client.Error{Step: client.Securing, Err: &client.CertificateError{Verdict: v}}})
		if seen[code] {
			t.Errorf("%v: exit status %d has another meaning", v, code)
		}
		seen[code] = true
	}
}

// What goes over TCP goes over TLS, in contexts that are bound to it.
func TestSessionsOverTLS(t *testing.T) {
	certs := newPKI(t)
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "EXAMPLE.TEST"})
	check(t, err)
	defer realm.Close()
	service, err := sign.New(sign.Config{Acceptor: join(t, realm), AllowUnauthenticated: true})
	check(t, err)
	port := serveTLS(t, certs, "server", tlspolicy.None, service)
	for _, args := range []string{
		"--bind require", "--bind require -spnego", "--bind require -dce", "--bind require -v1", "--bind require -seq -mcount 5 -ccount 3",
		"--bind off", "--bind require -nomutual", "-na", "--bind require --tls-min 1.2 -nw", "--bind require --concurrency 4 -ccount 8 -mcount 4",
	} {
		t.Run(args, func(t *testing.T) {
			command := append(strings.Fields(args), "--tls-ca", certs.Path("ca.crt"), "tls://localhost:"+port, "host@localhost", "hello")
			if code, stdout, stderr := runClient(t, command...); code != exitVerified {
				t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}

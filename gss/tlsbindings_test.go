package gss_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"hash"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
)

// tlsPair gives both ends of a TLS connection after the handshake.
func tlsPair(t testing.TB, client, server *tls.Config) (c, s *tls.Conn) {
	t.Helper()
	x, y := loopback(t)
	c, s = tls.Client(x, client), tls.Server(y, server)
	t.Cleanup(func() { c.Close(); s.Close() })
	done := make(chan error)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1}) // a ticket comes before it in TLS 1.3
		}
		done <- err
	}()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return c, s
}

// Both ends of a connection have the same tls-exporter bindings, and no other
// connection has them, a resumed session's included.
func TestTLSExporter(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			serverConfig := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, MaxVersion: version}
			clientConfig := &tls.Config{InsecureSkipVerify: true, ServerName: "server.example", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			seen := map[string]bool{}
			for i := range 3 {
				c, s := tlsPair(t, clientConfig, serverConfig)
				if state := c.ConnectionState(); state.Version != version || state.DidResume != (i > 0) {
					t.Fatalf("connection %d: %s, resumed: %t", i, tls.VersionName(state.Version), state.DidResume)
				}
				client, err := gss.TLSExporter(c.ConnectionState())
				if err != nil {
					t.Fatal(err)
				}
				server, err := gss.TLSExporter(s.ConnectionState())
				if err != nil {
					t.Fatal(err)
				}
				data := string(client.ApplicationData)
				if !bytes.Equal(client.ApplicationData, server.ApplicationData) {
					t.Errorf("the ends differ: %x and %x", client.ApplicationData, server.ApplicationData)
				}
				if len(data) != len("tls-exporter:")+32 || !strings.HasPrefix(data, "tls-exporter:") {
					t.Errorf("the bindings are %q", data)
				}
				if seen[data] {
					t.Error("two connections have the same bindings")
				}
				seen[data] = true
			}
		})
	}
	if cb, err := gss.TLSExporter(tls.ConnectionState{}); cb != nil || err == nil {
		t.Errorf("before the handshake: %v, %v", cb, err)
	}
}

// The exporter's value under TLS 1.2 is that of RFC 5705 with a context of no
// bytes, worked out here from the connection's secrets.
func TestTLSExporterTLS12Value(t *testing.T) {
	x, y := loopback(t)
	var hello, keys bytes.Buffer
	c := tls.Client(teeConn{x, io.TeeReader(x, &hello)}, &tls.Config{
		InsecureSkipVerify: true,
		MaxVersion:         tls.VersionTLS12,
		CipherSuites:       []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		KeyLogWriter:       &keys,
	})
	s := tls.Server(y, &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}})
	defer c.Close()
	defer s.Close()
	go func() { _ = s.Handshake() }()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	got, err := gss.TLSExporter(c.ConnectionState())
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Fields(keys.String()) // CLIENT_RANDOM random master
	if len(line) != 3 || line[0] != "CLIENT_RANDOM" {
		t.Fatalf("key log %q", line)
	}
	clientRandom, _ := hex.DecodeString(line[1])
	master, _ := hex.DecodeString(line[2])
	serverRandom := hello.Bytes()[5+4+2:][:32] // record header, handshake header, version
	seed := "EXPORTER-Channel-Binding" + string(clientRandom) + string(serverRandom) + "\x00\x00"
	a := hmacSHA256(master, seed)
	want := hmacSHA256(master, string(a)+seed)
	if !bytes.Equal(got.ApplicationData, append([]byte("tls-exporter:"), want...)) {
		t.Errorf("got %x, want %x", got.ApplicationData, want)
	}
}

func hmacSHA256(key []byte, msg string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(msg))
	return h.Sum(nil)
}

type teeConn struct {
	net.Conn
	r io.Reader
}

func (c teeConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// opensslClient has openssl s_client do a handshake with a server here. bye
// ends the connection and gives what the client printed.
func opensslClient(t *testing.T, env []string, args ...string) (server *tls.Conn, bye func() string) {
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.CommandContext(t.Context(), openssl, append([]string{"s_client", "-connect", l.Addr().String()}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	stdin, err := cmd.StdinPipe() // open until the other end closes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server = conn.(*tls.Conn)
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	return server, func() string {
		server.Close()
		_ = cmd.Wait() // its status tells of the certificate
		return out.String()
	}
}

// OpenSSL exports the same from the other end of a TLS 1.3 connection.
func TestTLSExporterOpenSSL(t *testing.T) {
	server, bye := opensslClient(t, nil, "-tls1_3", "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32")
	cb, err := gss.TLSExporter(server.ConnectionState())
	if err != nil {
		t.Fatal(err)
	}
	out := bye()
	m := regexp.MustCompile(`Keying material: ([0-9A-F]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("openssl s_client shows no keying material:\n%s", out)
	}
	if want := "tls-exporter:" + unhex(t, m[1]); string(cb.ApplicationData) != want {
		t.Errorf("got %x, OpenSSL has %x", cb.ApplicationData, want)
	}
}

// Without the extended master secret a TLS 1.2 connection has no bindings: a
// man in the middle could make two with the same.
func TestTLSExporterNeedsExtendedMasterSecret(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "openssl.cnf")
	if err := os.WriteFile(conf, []byte(`openssl_conf = conf
[conf]
ssl_conf = ssl
[ssl]
system_default = default
[default]
Options = -ExtendedMasterSecret
`), 0o600); err != nil {
		t.Fatal(err)
	}
	server, bye := opensslClient(t, []string{"OPENSSL_CONF=" + conf}, "-tls1_2")
	cb, err := gss.TLSExporter(server.ConnectionState())
	if out := bye(); !strings.Contains(out, "Extended master secret: no") {
		t.Skipf("this openssl s_client cannot do without the extended master secret:\n%s", out)
	}
	if cb != nil || err == nil {
		t.Errorf("got %v, %v", cb, err)
	}
}

func unhex(t testing.TB, s string) string {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The hash of tls-server-end-point is that of the certificate's signature,
// never that of its key or of the connection.
func TestTLSServerEndPoint(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		algorithm x509.SignatureAlgorithm
		issuer    crypto.Signer
		hash      func() hash.Hash // nil: undefined
	}{
		{x509.SHA1WithRSA, rsaKey, sha256.New},
		{x509.ECDSAWithSHA1, ecKey, sha256.New},
		{x509.SHA256WithRSA, rsaKey, sha256.New},
		{x509.SHA384WithRSA, rsaKey, sha512.New384},
		{x509.SHA512WithRSA, rsaKey, sha512.New},
		{x509.SHA256WithRSAPSS, rsaKey, sha256.New},
		{x509.SHA384WithRSAPSS, rsaKey, sha512.New384},
		{x509.SHA512WithRSAPSS, rsaKey, sha512.New},
		{x509.ECDSAWithSHA256, ecKey, sha256.New},
		{x509.ECDSAWithSHA384, ecKey, sha512.New384},
		{x509.ECDSAWithSHA512, ecKey, sha512.New},
		{x509.PureEd25519, edKey, nil},
	} {
		t.Run(tt.algorithm.String(), func(t *testing.T) {
			template := &x509.Certificate{SerialNumber: big.NewInt(1), SignatureAlgorithm: tt.algorithm}
			der, err := x509.CreateCertificate(rand.Reader, template, template, ecKey.Public(), tt.issuer)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			cb, err := gss.TLSServerEndPointOf(cert)
			if tt.hash == nil {
				if cb != nil || err == nil || !strings.Contains(err.Error(), tt.algorithm.String()) {
					t.Errorf("got %v, %v", cb, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			h := tt.hash()
			h.Write(der)
			if want := h.Sum([]byte("tls-server-end-point:")); !bytes.Equal(cb.ApplicationData, want) {
				t.Errorf("got %x, want %x", cb.ApplicationData, want)
			}
		})
	}
	if cb, err := gss.TLSServerEndPointOf(nil); cb != nil || err == nil {
		t.Errorf("without a certificate: %v, %v", cb, err)
	}
}

// A certificate whose signature is by MD5, as old ones are: x509 makes none, so
// it is OpenSSL's word for the fingerprint.
func TestTLSServerEndPointMD5(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip(err)
	}
	key := t.TempDir() + "/key.pem"
	out, err := exec.Command(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-md5", "-subj", "/CN=server.example", "-keyout", key).Output()
	if err != nil {
		t.Skipf("openssl makes no certificate signed with MD5: %v", err)
	}
	block, _ := pem.Decode(out)
	if block == nil {
		t.Fatalf("openssl req gave %q", out)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := exec.Command(openssl, "x509", "-noout", "-fingerprint", "-sha256")
	fingerprint.Stdin = bytes.NewReader(out)
	shown, err := fingerprint.Output()
	if err != nil {
		t.Fatal(err)
	}
	_, digest, _ := strings.Cut(strings.TrimSpace(string(shown)), "=")
	cb, err := gss.TLSServerEndPointOf(cert)
	if err != nil {
		t.Fatal(err)
	}
	if want := "tls-server-end-point:" + unhex(t, strings.ReplaceAll(digest, ":", "")); cert.SignatureAlgorithm != x509.MD5WithRSA || string(cb.ApplicationData) != want {
		t.Errorf("%s: got %x, want %x", cert.SignatureAlgorithm, cb.ApplicationData, want)
	}
}

// Both ends find the certificate where the documentation says.
func TestTLSServerEndPointBothEnds(t *testing.T) {
	cert := selfSigned(t)
	c, s := tlsPair(t, &tls.Config{InsecureSkipVerify: true}, &tls.Config{Certificates: []tls.Certificate{cert}})
	own, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	client, err := gss.TLSServerEndPoint(c.ConnectionState())
	if err != nil {
		t.Fatal(err)
	}
	server, err := gss.TLSServerEndPointOf(own)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(client.ApplicationData, server.ApplicationData) {
		t.Errorf("the ends differ: %x and %x", client.ApplicationData, server.ApplicationData)
	}
	if cb, err := gss.TLSServerEndPoint(s.ConnectionState()); cb != nil || err == nil || !strings.Contains(err.Error(), "TLSServerEndPointOf") {
		t.Errorf("from the server's state: %v, %v", cb, err)
	}
	early := c.ConnectionState()
	early.HandshakeComplete = false
	if cb, err := gss.TLSServerEndPoint(early); cb != nil || err == nil {
		t.Errorf("before the handshake is complete: %v, %v", cb, err)
	}

	// A client with a certificate of its own gets the server's bindings all the
	// same, and the server by mistake others.
	c, s = tlsPair(t,
		&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{selfSigned(t)}},
		&tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert})
	if client, err = gss.TLSServerEndPoint(c.ConnectionState()); err != nil || !bytes.Equal(client.ApplicationData, server.ApplicationData) {
		t.Errorf("with a client's certificate the ends differ: %v, %v", client, err)
	}
	if mistaken, err := gss.TLSServerEndPoint(s.ConnectionState()); err != nil || bytes.Equal(mistaken.ApplicationData, server.ApplicationData) {
		t.Errorf("from the server's state: %v, %v", mistaken, err)
	}
}

// A stream bound to the TLS connection below it stands where both ends have the
// same connection, and not where somebody between them ends one and opens
// another.
func TestStreamBoundToTLS(t *testing.T) {
	clientTLS := &tls.Config{InsecureSkipVerify: true}
	serverTLS := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}
	bindings := func(c *tls.Conn) *gss.ChannelBindings {
		cb, err := gss.TLSExporter(c.ConnectionState())
		if err != nil {
			t.Fatal(err)
		}
		return cb
	}
	establish := func(client, server *tls.Conn) (clientErr, serverErr error) {
		c := gss.Client(client, gss.ClientConfig{Mechanism: &fakeMech{}, Target: fakeTarget, Bindings: bindings(client)})
		s := gss.Server(server, gss.ServerConfig{Mechanism: &fakeMech{}, Bindings: bindings(server)})
		done := make(chan error)
		go func() { done <- s.Handshake() }()
		clientErr = c.Handshake()
		return clientErr, <-done
	}

	client, server := tlsPair(t, clientTLS, serverTLS)
	if clientErr, serverErr := establish(client, server); clientErr != nil || serverErr != nil {
		t.Errorf("one connection: %v, %v", clientErr, serverErr)
	}

	client, near := tlsPair(t, clientTLS, serverTLS)
	far, server := tlsPair(t, clientTLS, serverTLS)
	go func() { _, _ = io.Copy(near, far) }()
	go func() { _, _ = io.Copy(far, near) }()
	if clientErr, serverErr := establish(client, server); !errors.Is(serverErr, gss.ErrBadBindings) || clientErr == nil {
		t.Errorf("two connections: %v, %v", clientErr, serverErr)
	}
}

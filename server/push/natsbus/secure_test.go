package natsbus_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/countersign-go/countersign/server/push/natsbus"
	"github.com/countersign-go/countersign/server/push/natsbus/natstest"
)

// joinErr tries to join, and says how that went.
func joinErr(t *testing.T, cfg natsbus.Config) error {
	t.Helper()
	cfg.MaxData, cfg.ConnectTimeout = 64<<10, patience
	b, err := natsbus.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b.Join(&hub{t: t, changed: make(chan struct{})})
}

// selfSigned writes a certificate for a loopback address and its key.
func selfSigned(t *testing.T) (dir string, roots *x509.CertPool) {
	t.Helper()
	dir = t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nats"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	return dir, roots
}

// NATS is known by its certificate; where it insists on TLS, nats:// has it, too.
func TestTLS(t *testing.T) {
	dir, roots := selfSigned(t)
	c := natstest.New(t, 1, fmt.Sprintf("tls { cert_file: %q, key_file: %q }", dir+"/cert.pem", dir+"/key.pem"))
	plain := c.URLs()
	secure := strings.Replace(plain, "nats:", "tls:", 1)
	for _, tt := range []struct {
		what string
		cfg  natsbus.Config
		want string
	}{
		{"known certificate", natsbus.Config{Servers: secure, TLS: &tls.Config{RootCAs: roots}}, ""},
		{"nats:// where TLS is required", natsbus.Config{Servers: plain, TLS: &tls.Config{RootCAs: roots}}, ""},
		{"unknown certificate", natsbus.Config{Servers: secure}, "certificate signed by unknown authority"},
		{"nats:// and unknown certificate", natsbus.Config{Servers: plain}, "certificate signed by unknown authority"},
		{"another's certificate", natsbus.Config{Servers: strings.Replace(secure, "127.0.0.1", "localhost", 1), TLS: &tls.Config{RootCAs: roots}}, "to match localhost"},
		{"old version", natsbus.Config{Servers: secure, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}}, "tls error"},
	} {
		err := joinErr(t, tt.cfg)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.what, err, tt.want)
		}
	}

	// Behind TLS messages go both ways.
	trust := func(cfg *natsbus.Config) { cfg.TLS = &tls.Config{RootCAs: roots} }
	a, b := join(t, plain, trust), join(t, secure, trust)
	b.reaches(a)
	a.reaches(b)
	a.ok(a.Announce([]byte("\x16" + strings.Repeat("long", 10000))))
	b.awaitLast("announced \x16" + strings.Repeat("long", 10000))
}

// signed is a JWT as NATS has them.
func signed(t *testing.T, by, of nkeys.KeyPair, nats map[string]any) string {
	t.Helper()
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	nats["version"] = 2
	text := encode(map[string]string{"typ": "JWT", "alg": "ed25519-nkey"}) + "." +
		encode(map[string]any{"jti": "x", "iat": 1, "iss": public(t, by), "sub": public(t, of), "name": "x", "nats": nats})
	sig, err := by.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func public(t *testing.T, key nkeys.KeyPair) string {
	t.Helper()
	p, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A credentials file lets a server in; it is read again for each connection.
func TestCredentials(t *testing.T) {
	key := func(create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
		k, err := create()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	operator, account, user := key(nkeys.CreateOperator), key(nkeys.CreateAccount), key(nkeys.CreateUser)
	limits := map[string]any{"subs": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1, "wildcards": true}
	c := natstest.New(t, 1,
		"operator: "+signed(t, operator, operator, map[string]any{"type": "operator"}),
		"resolver: MEMORY",
		fmt.Sprintf("resolver_preload: { %s: %s }", public(t, account), signed(t, operator, account, map[string]any{"type": "account", "limits": limits})))
	file := filepath.Join(t.TempDir(), "push.creds")
	write := func(by nkeys.KeyPair) {
		seed, err := user.Seed()
		if err != nil {
			t.Fatal(err)
		}
		allow := map[string]any{"allow": []string{"countersign.push.v1.>"}}
		jwt := signed(t, by, user, map[string]any{"type": "user", "subs": -1, "data": -1, "payload": -1, "pub": allow, "sub": allow})
		text := fmt.Sprintf("-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", jwt, seed)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := natsbus.Config{Servers: c.URLs(), CredentialsFile: file}
	write(key(nkeys.CreateAccount))
	if err := joinErr(t, cfg); err == nil || !strings.Contains(err.Error(), "Authorization Violation") {
		t.Errorf("of an account that NATS does not know: %v", err)
	}
	write(account)
	with := func(cfg *natsbus.Config) { cfg.CredentialsFile = file }
	a, b := join(t, c.URLs(), with), join(t, c.URLs(), with)
	b.reaches(a)

	// Credentials that are wrong for a while end nothing for good.
	write(key(nkeys.CreateAccount))
	c.Nodes[0].Kill()
	awaitErr(t, "announce", func() error { return a.Announce([]byte("x")) }, natsbus.ErrDisconnected)
	c.Nodes[0].Start()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if err := a.Announce([]byte("x")); err != nil && strings.Contains(err.Error(), "Authorization Violation") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not refused")
		}
	}
	write(account)
	awaitErr(t, "announce", func() error { return a.Announce([]byte("x")) }, nil)
	b.reaches(a)
}

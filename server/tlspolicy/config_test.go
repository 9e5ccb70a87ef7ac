package tlspolicy_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/server/tlspolicy"
)

// Everything that can be told at the start is told, and by its name.
func TestRefusedAtStart(t *testing.T) {
	p := newPKI(t)
	join(p, "both.pem", "server.crt", "server.key")
	join(p, "keys.pem", "server.key", "alice.key")
	good := func(change func(*tlspolicy.Config)) tlspolicy.Config {
		cfg := config(p, tlspolicy.None)
		change(&cfg)
		return cfg
	}
	for _, tt := range []struct {
		name string
		cfg  tlspolicy.Config
		want string
	}{
		{"nothing", tlspolicy.Config{}, "TLS needs a certificate and its key"},
		{"PEM and PKCS#12", good(func(c *tlspolicy.Config) { c.PKCS12File = "p12" }), "two sources of the TLS key at once: p12 and " + p.Path("server.crt") + ", " + p.Path("server.key")},
		{"PEM in one file and PKCS#12", tlspolicy.Config{PKCS12File: "p12", CertFile: "both", KeyFile: "both"}, "two sources of the TLS key at once: p12 and both"},
		{"a key file and PKCS#12", tlspolicy.Config{PKCS12File: "p12", KeyFile: "key"}, "two sources of the TLS key at once: p12 and key"},
		{"a key beside the certificate and another file", good(func(c *tlspolicy.Config) { c.CertFile = p.Path("both.pem") }), "two sources of the TLS key at once"},
		{"a key that does not fit", good(func(c *tlspolicy.Config) { c.KeyFile = p.Path("alice.key") }), "alice.key does not fit the certificate of CN=localhost"},
		{"two keys", good(func(c *tlspolicy.Config) { c.KeyFile = p.Path("keys.pem") }), "there are 2 private keys"},
		{"no key", good(func(c *tlspolicy.Config) { c.KeyFile = "" }), "there is no private key beside the certificate"},
		{"a certificate for a key", good(func(c *tlspolicy.Config) { c.KeyFile = p.Path("ca.crt") }), "there is no private key in PEM form"},
		{"a key for a certificate", good(func(c *tlspolicy.Config) { c.CertFile = p.Path("server.key") }), "there is no certificate in PEM form"},
		{"a CRL for a certificate", good(func(c *tlspolicy.Config) { c.CertFile = p.Path("ca.crl") }), `"X509 CRL" is neither`},
		{"no file", good(func(c *tlspolicy.Config) { c.CertFile = p.Path("missing") }), "no such file"},
		{"an expired certificate", good(func(c *tlspolicy.Config) {
			c.CertFile, c.KeyFile = p.Path("server-expired.crt"), p.Path("server-expired.key")
		}), "server-expired.crt: the certificate of CN=localhost,O=Test expired at"},
		{"SSL 3", good(func(c *tlspolicy.Config) { c.MinVersion = 0x300 }), "SSLv3 is refused"},
		{"TLS 1.1", good(func(c *tlspolicy.Config) { c.MinVersion = tls.VersionTLS11 }), "TLS 1.1 is refused"},
		{"RC4", good(func(c *tlspolicy.Config) { c.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA} }), "TLS_ECDHE_RSA_WITH_RC4_128_SHA is refused"},
		{"a suite of 1.3", good(func(c *tlspolicy.Config) { c.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256} }), "TLS_AES_128_GCM_SHA256 is refused"},
		{"suites for 1.3", good(func(c *tlspolicy.Config) {
			c.MinVersion, c.CipherSuites = tls.VersionTLS13, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		}), "for TLS 1.2 only"},
		{"client certificates without a CA", good(func(c *tlspolicy.Config) { c.ClientCert = tlspolicy.Verify }), "no CA is given"},
		{"a CA without client certificates", good(func(c *tlspolicy.Config) { c.ClientCAFile = p.Path("ca.crt") }), "which are not asked for"},
		{"no CA in the file", good(func(c *tlspolicy.Config) { c.ClientCert, c.ClientCAFile = tlspolicy.Verify, p.Path("passphrase.txt") }), "there is no certificate in PEM form"},
		{"an unknown mode", good(func(c *tlspolicy.Config) { c.ClientCert = 7 }), "unknown mode"},
		{"PKCS#12 without its passphrase", tlspolicy.Config{PKCS12File: p.Path("server.p12")}, "the passphrase is missing or wrong"},
		{"PKCS#12 that is none", tlspolicy.Config{PKCS12File: p.Path("server.crt")}, "server.crt: "},
	} {
		if _, err := tlspolicy.New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

// Files that are missing, or have nothing in them, are named, with what can be
// done where that is known.
func TestUselessFiles(t *testing.T) {
	p := newPKI(t)
	for name, content := range map[string]string{"empty": "", "blank": " \r\n\t\n", "no-passphrase": "\r\nsecret\n"} {
		if err := os.WriteFile(p.Path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := func(change func(*tlspolicy.Config, string)) func(string) tlspolicy.Config {
		return func(path string) tlspolicy.Config {
			cfg := config(p, tlspolicy.Verify)
			change(&cfg, path)
			return cfg
		}
	}
	const useless = ": the file is empty"
	const blank = ": the file has nothing but white space in it"
	const missing = "no such file or directory"
	for name, of := range map[string]func(path string) tlspolicy.Config{
		"certificate": good(func(c *tlspolicy.Config, path string) { c.CertFile = path }),
		"key":         good(func(c *tlspolicy.Config, path string) { c.KeyFile = path }),
		"PKCS#12":     func(path string) tlspolicy.Config { return tlspolicy.Config{PKCS12File: path} },
		"CA":          good(func(c *tlspolicy.Config, path string) { c.ClientCAFile = path }),
		"CRL":         good(func(c *tlspolicy.Config, path string) { c.CRLFiles = append(c.CRLFiles, path) }),
	} {
		for path, want := range map[string][2]string{
			p.Path("empty"):       {p.Path("empty") + useless},
			p.Path("blank"):       {p.Path("blank") + blank},
			p.Path("missing"):     {missing, "check the path"},
			"nowhere/in/the/tree": {missing, "it begins at the directory that the program was started in"},
			p.Path("."):           {"is a directory"},
		} {
			_, err := tlspolicy.New(of(path))
			if err == nil || !strings.Contains(err.Error(), want[0]) || !strings.Contains(hint(err), want[1]) {
				t.Errorf("%s in %s: %v (%s), want %q", name, path, err, hint(err), want)
			}
		}
	}
	for path, want := range map[string]string{"empty": "is empty", "no-passphrase": "the first line, which is the passphrase, is empty", "missing": missing} {
		_, err := tlspolicy.New(tlspolicy.Config{PKCS12File: p.Path("server.p12"), PassphraseFile: p.Path(path)})
		if err == nil || !strings.Contains(err.Error(), want) || hint(err) == "" {
			t.Errorf("passphrase in %s: %v (%s), want an error with %q", path, err, hint(err), want)
		}
	}
}

func hint(err error) string {
	if e, ok := errors.AsType[*tlspolicy.Error](err); ok {
		return e.Hint
	}
	return ""
}

// What cannot be had together says what to do about it.
func TestHints(t *testing.T) {
	p := newPKI(t)
	cfg := config(p, tlspolicy.None)
	cfg.MinVersion, cfg.CipherSuites = 0, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	if err := cfg.Validate(); !strings.Contains(hint(err), "allow TLS 1.2 as well") {
		t.Errorf("suites for 1.3: %v (%s)", err, hint(err))
	}
	cfg = tlspolicy.Config{CertFile: "cert", PKCS12File: "p12"}
	if _, err := tlspolicy.ReadIdentity(cfg); !strings.Contains(hint(err), "either a PKCS#12 file or PEM files") {
		t.Errorf("two sources: %v (%s)", err, hint(err))
	}
}

// Suites have to be for the kind of key that there is, or nobody could be served
// by TLS 1.2.
func TestSuitesFitTheKey(t *testing.T) {
	const ecdsaSuite, rsaSuite = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	p := newPKI(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	if err := os.WriteFile(p.Path("rsa.pem"), both, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cert, key string
		suites    []uint16
		want      string
		hint      string
	}{
		{"server.crt", "server.key", []uint16{rsaSuite}, "server.crt: its ECDSA key is for none of the TLS 1.2 cipher suites, such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "add a suite with _ECDSA_ in its name"},
		{"server.crt", "server.key", []uint16{rsaSuite, ecdsaSuite}, "", ""},
		{"rsa.pem", "", []uint16{ecdsaSuite}, "rsa.pem: its RSA key is for none of the TLS 1.2 cipher suites, such as TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "add a suite with _RSA_ in its name"},
		{"rsa.pem", "", []uint16{ecdsaSuite, rsaSuite}, "", ""},
		{"rsa.pem", "", nil, "", ""},
	} {
		cfg := tlspolicy.Config{CertFile: p.Path(tt.cert), MinVersion: tls.VersionTLS12, CipherSuites: tt.suites}
		if tt.key != "" {
			cfg.KeyFile = p.Path(tt.key)
		}
		_, err := tlspolicy.New(cfg)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.HasSuffix(err.Error(), tt.want) || !strings.Contains(hint(err), tt.hint)) {
			t.Errorf("%s with %v: %v (%s)", tt.cert, tt.suites, err, hint(err))
		}
	}
}

func TestParse(t *testing.T) {
	for name, want := range map[string]uint16{"1.3": tls.VersionTLS13, "TLS1.2": tls.VersionTLS12, "TLSv1.2": tls.VersionTLS12, "tls 1.3": 0} {
		got, err := tlspolicy.ParseVersion(name)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("version %q: %x, %v", name, got, err)
		}
	}
	for name, want := range map[string]string{
		"SSLv3": "SSL is refused", "ssl": "SSL is refused", "1.1": "TLS 1.1 is refused", "TLSv1": "TLS 1 is refused", "2": "unknown TLS version",
	} {
		if _, err := tlspolicy.ParseVersion(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("version %q: %v", name, err)
		}
	}
	suites, err := tlspolicy.ParseCipherSuites("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:tls_ecdhe_ecdsa_with_chacha20_poly1305_sha256")
	if err != nil || len(suites) != 2 || suites[1] != tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 {
		t.Errorf("suites %x, %v", suites, err)
	}
	for list, want := range map[string]string{
		"": "empty", "TLS_RSA_WITH_RC4_128_SHA": "TLS_RSA_WITH_RC4_128_SHA is refused", "RC4-SHA": "RC4-SHA is refused",
		"DES-CBC3-SHA": "is refused", "AES128-SHA": "unknown cipher suite", "TLS_AES_128_GCM_SHA256": "is one of TLS 1.3", "NULL-MD5": "is refused",
	} {
		if _, err := tlspolicy.ParseCipherSuites(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("suites %q: %v", list, err)
		}
	}
	for i, name := range []string{"none", "report", "verify", "require"} {
		if mode, err := tlspolicy.ParseMode(name); err != nil || int(mode) != i || mode.String() != name {
			t.Errorf("mode %q: %v, %v", name, mode, err)
		}
	}
	if _, err := tlspolicy.ParseMode("maybe"); err == nil {
		t.Error("mode maybe: no error")
	}
}

// Keys come in PKCS#12 and in every PEM form, encrypted as OpenSSL encrypts
// them; what is not read says how to make it readable.
func TestKeyForms(t *testing.T) {
	mitrealm.Need(t, "openssl")
	p := newPKI(t)
	openssl := func(args ...string) {
		t.Helper()
		for i, arg := range args {
			if strings.HasPrefix(arg, "@") {
				args[i] = p.Path(arg[1:])
			}
		}
		if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			t.Fatalf("openssl %q: %v\n%s", args, err, out)
		}
	}
	encrypt := func(to string, how ...string) {
		t.Helper()
		openssl(append([]string{"pkcs8", "-topk8", "-in", "@server.key", "-out", "@" + to, "-passout", "pass:secret"}, how...)...)
	}
	encrypt("aes256.key", "-v2", "aes-256-cbc")
	encrypt("aes128-sha512.key", "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512")
	encrypt("aes192-sha1.key", "-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA1", "-iter", "5000")
	encrypt("des3.key", "-v2", "des3")
	encrypt("scrypt.key", "-scrypt")
	openssl("ec", "-in", "@server.key", "-out", "@sec1.key")
	openssl("ec", "-in", "@server.key", "-aes256", "-passout", "pass:secret", "-out", "@traditional.key")
	openssl("pkcs12", "-export", "-inkey", "@server.key", "-in", "@server.crt", "-certfile", "@ca.crt", "-passout", "pass:secret", "-out", "@openssl.p12")
	openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "@rsa8.key", "-out", "@rsa.crt")
	openssl("rsa", "-in", "@rsa8.key", "-traditional", "-out", "@rsa1.key")
	if err := os.WriteFile(p.Path("wrong.txt"), []byte("wrong\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cert, key, passphrase string
		want                  string // of the error
		hint                  string
	}{
		{"server.crt", "aes256.key", "passphrase.txt", "", ""},
		{"server.crt", "aes128-sha512.key", "passphrase.txt", "", ""},
		{"server.crt", "aes192-sha1.key", "passphrase.txt", "", ""},
		{"server.crt", "sec1.key", "", "", ""},
		{"rsa.crt", "rsa1.key", "", "", ""},
		{"rsa.crt", "rsa8.key", "", "", ""},
		{"openssl.p12", "", "passphrase.txt", "", ""},
		{"server.p12", "", "passphrase.txt", "", ""},
		{"server.p12", "", "wrong.txt", "the passphrase is missing or wrong", "name a passphrase file"},
		{"server.crt", "aes256.key", "", "the key is encrypted", "name a passphrase file"},
		{"server.crt", "aes256.key", "wrong.txt", "the passphrase is wrong", ""},
		{"server.crt", "des3.key", "passphrase.txt", "not read here: cipher 1.2.840.113549.3.7", "openssl pkcs8"},
		{"server.crt", "scrypt.key", "passphrase.txt", "not read here: key derivation 1.3.6.1.4.1.11591.4.11", "openssl pkcs8"},
		{"server.crt", "traditional.key", "passphrase.txt", "OpenSSL's old scheme", "openssl pkcs8"},
	} {
		cfg := tlspolicy.Config{CertFile: p.Path(tt.cert)}
		if tt.key != "" {
			cfg.KeyFile = p.Path(tt.key)
		}
		if strings.HasSuffix(tt.cert, ".p12") {
			cfg.PKCS12File, cfg.CertFile = cfg.CertFile, ""
		}
		if tt.passphrase != "" {
			cfg.PassphraseFile = p.Path(tt.passphrase)
		}
		_, err := tlspolicy.New(cfg)
		id, alone := tlspolicy.ReadIdentity(cfg)
		if fmt.Sprint(alone) != fmt.Sprint(err) || (id == nil) != (err != nil) {
			t.Errorf("%s %s: %v, read alone: %v", tt.cert, tt.key, err, alone)
		}
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s %s: %v", tt.cert, tt.key, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(hint(err), tt.hint) {
			t.Errorf("%s %s %s: %v (%s), want an error with %q", tt.cert, tt.key, tt.passphrase, err, hint(err), tt.want)
		}
	}
}

// Package pki makes certificates for tests: a server's, clients' good and bad,
// and CRLs. Keys are made anew each time; none is worth anything beyond the
// directory that it is written to. The command in mkpki writes one from a shell.
//
// The certificates, each as NAME.crt and NAME.key in PEM:
//
//	ca                the CA of all below but the rogue ones
//	server            localhost, 127.0.0.1, ::1; also server.p12, whose passphrase is in passphrase.txt
//	server2           the same names, another key
//	server-expired    the same, until yesterday
//	server-misnamed   for other.test
//	alice             a client
//	mallory           a client that ca.crl and ca.crl.der revoke
//	expired           a client until yesterday
//	intermediate      a CA below ca, with mallory's serial number plus one
//	bob               a client of the intermediate CA with mallory's serial number; bob.crt has both certificates
//	rogue-ca          another CA with the same name
//	rogue             a client of it, with alice's name and serial number
//	rogue-server      localhost, of the rogue CA
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// Passphrase is that of the encrypted files.
const Passphrase = "secret"

// A PKI is a directory of certificates.
type PKI struct {
	dir   string
	pairs map[string]*pair
}

type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Serial numbers that mean something to the tests.
const (
	AliceSerial   = 0xA11CE
	MallorySerial = 0xBAD
)

// New makes a PKI in an existing directory.
func New(dir string) (*PKI, error) {
	p := &PKI{dir: dir, pairs: make(map[string]*pair)}
	client := func(name string, serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Organization: []string{"Test"}},
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
	}
	server := func(serial int64, names ...string) *x509.Certificate {
		c := client("server", serial)
		c.Subject.CommonName = names[0]
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		for _, name := range names {
			if ip := net.ParseIP(name); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else {
				c.DNSNames = append(c.DNSNames, name)
			}
		}
		return c
	}
	ca := func(name string, serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Organization: []string{"Test"}},
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	over := func(c *x509.Certificate) *x509.Certificate {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
		return c
	}
	for _, c := range []struct {
		name, issuer string
		template     *x509.Certificate
	}{
		{"ca", "ca", ca("Test CA", 1)},
		{"server", "ca", server(0x5E1, "localhost", "127.0.0.1", "::1")},
		{"server2", "ca", server(0x5E5, "localhost", "127.0.0.1", "::1")},
		{"server-expired", "ca", over(server(0x5E2, "localhost", "127.0.0.1", "::1"))},
		{"server-misnamed", "ca", server(0x5E3, "other.test")},
		{"alice", "ca", client("alice", AliceSerial)},
		{"mallory", "ca", client("mallory", MallorySerial)},
		{"expired", "ca", over(client("expired", 0xE))},
		{"intermediate", "ca", ca("Test Intermediate CA", MallorySerial+1)},
		{"bob", "intermediate", client("bob", MallorySerial)},
		{"rogue-ca", "rogue-ca", ca("Test CA", 1)},
		{"rogue", "rogue-ca", client("alice", AliceSerial)},
		{"rogue-server", "rogue-ca", server(0x5E4, "localhost", "127.0.0.1", "::1")},
	} {
		if err := p.issue(c.name, c.issuer, c.template); err != nil {
			return nil, err
		}
	}
	if err := p.WriteCRL("ca.crl", "ca", List{Serials: []int64{MallorySerial}}); err != nil {
		return nil, err
	}
	if err := p.WriteCRL("ca.crl.der", "ca", List{Serials: []int64{MallorySerial}, DER: true}); err != nil {
		return nil, err
	}
	if err := p.WriteCRL("intermediate.crl", "intermediate", List{}); err != nil {
		return nil, err
	}
	return p, p.writePKCS12()
}

// Path gives the path of a file in the directory.
func (p *PKI) Path(name string) string { return filepath.Join(p.dir, name) }

// Certificate gives a certificate by its name.
func (p *PKI) Certificate(name string) *x509.Certificate { return p.pairs[name].cert }

func (p *PKI) issue(name, issuer string, template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	}
	parent := &pair{template, key}
	if issuer != name {
		parent = p.pairs[issuer]
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, &key.PublicKey, parent.key)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	p.pairs[name] = &pair{cert, key}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if issuer == "intermediate" {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: parent.cert.Raw})...)
	}
	if err := os.WriteFile(p.Path(name+".crt"), text, 0o600); err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(p.Path(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}

func (p *PKI) writePKCS12() error {
	server, ca := p.pairs["server"], p.pairs["ca"]
	blob, err := pkcs12.Modern.Encode(server.key, server.cert, []*x509.Certificate{ca.cert}, Passphrase)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.Path("passphrase.txt"), []byte(Passphrase+"\n"), 0o600); err != nil {
		return err
	}
	return os.WriteFile(p.Path("server.p12"), blob, 0o600)
}

// A List says what is in a CRL.
type List struct {
	Serials    []int64
	Number     int64
	ThisUpdate time.Time // zero: an hour ago
	NextUpdate time.Time // zero: in an hour
	DER        bool
	Extensions []pkix.Extension
}

// WriteCRL writes a CRL of an issuer, replacing the file.
func (p *PKI) WriteCRL(file, issuer string, list List) error {
	if list.ThisUpdate.IsZero() {
		list.ThisUpdate = time.Now().Add(-time.Hour)
	}
	if list.NextUpdate.IsZero() {
		list.NextUpdate = time.Now().Add(time.Hour)
	}
	template := &x509.RevocationList{
		Number: big.NewInt(list.Number), ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate, ExtraExtensions: list.Extensions,
	}
	for _, serial := range list.Serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: big.NewInt(serial), RevocationTime: time.Now().Add(-2 * time.Hour), ReasonCode: 1,
		})
	}
	signer := p.pairs[issuer]
	blob, err := x509.CreateRevocationList(rand.Reader, template, signer.cert, signer.key)
	if err != nil {
		return err
	}
	if !list.DER {
		blob = pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: blob})
	}
	return os.WriteFile(p.Path(file), blob, 0o600)
}

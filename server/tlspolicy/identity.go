package tlspolicy

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// ReadIdentity reads the certificate and key of a config once; the rest of the
// config is not looked at. It is for programs that hand them to crypto/tls
// themselves, clients among them. Unlike [New] it leaves it to the peer whether
// the certificate is out of date.
func ReadIdentity(cfg Config) (*tls.Certificate, error) {
	if err := cfg.checkSources(); err != nil {
		return nil, err
	}
	paths := cfg.identityFiles()
	contents := make([][]byte, len(paths))
	for i, path := range paths {
		var err error
		if contents[i], err = readFile(path); err != nil {
			return nil, err
		}
	}
	return parseIdentity(&cfg, contents)
}

// identitySource is where the server's key and certificate come from.
func identitySource(cfg *Config) *source[*tls.Certificate] {
	return &source[*tls.Certificate]{paths: cfg.identityFiles(), parse: func(contents [][]byte) (*tls.Certificate, error) {
		id, err := parseIdentity(cfg, contents)
		if err != nil {
			return nil, err
		}
		return id, checkDates(cfg.CertFile+cfg.PKCS12File, id.Leaf, cfg.Time())
	}}
}

// identityFiles are the files that the key and certificate take.
func (c *Config) identityFiles() []string {
	paths := []string{c.CertFile, c.KeyFile, c.PKCS12File, c.PassphraseFile}
	return slices.DeleteFunc(paths, func(path string) bool { return path == "" })
}

// parseIdentity makes a certificate with its key of the contents of the config's
// identityFiles.
func parseIdentity(cfg *Config, contents [][]byte) (id *tls.Certificate, err error) {
	content := make(map[string][]byte, len(contents))
	for i, path := range cfg.identityFiles() {
		content[path] = contents[i]
	}
	var passphrase []byte
	if cfg.PassphraseFile != "" {
		passphrase, _, _ = bytes.Cut(content[cfg.PassphraseFile], []byte("\n"))
		if passphrase = bytes.TrimSuffix(passphrase, []byte("\r")); len(passphrase) == 0 {
			return nil, hinted("leave the file out for a key that is not encrypted", "%s: the first line, which is the passphrase, is empty", cfg.PassphraseFile)
		}
	}
	if cfg.PKCS12File != "" {
		id, err = parsePKCS12(cfg.PKCS12File, content[cfg.PKCS12File], string(passphrase))
	} else {
		id, err = parsePEM(cfg, content, passphrase)
	}
	if err != nil {
		return nil, err
	}
	if err := checkFit(id, cfg.CertFile+cfg.PKCS12File, cfg.KeyFile); err != nil {
		return nil, err
	}
	if err := checkSuites(id, cfg.CertFile+cfg.PKCS12File, cfg.CipherSuites); err != nil {
		return nil, err
	}
	return id, nil
}

func parsePKCS12(path string, content []byte, passphrase string) (*tls.Certificate, error) {
	if err := notBlank(path, content); err != nil {
		return nil, err
	}
	key, leaf, chain, err := pkcs12.DecodeChain(content, passphrase)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return nil, hinted("name a passphrase file, which has the passphrase as its first line", "%s: the passphrase is missing or wrong", path)
	}
	if err != nil {
		return nil, hinted("it has to hold one key with its certificate, as openssl pkcs12 -export makes it", "%s: %w", path, err)
	}
	id := &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, ca := range chain {
		id.Certificate = append(id.Certificate, ca.Raw)
	}
	return id, nil
}

func parsePEM(cfg *Config, content map[string][]byte, passphrase []byte) (*tls.Certificate, error) {
	id := new(tls.Certificate)
	certs, keys, err := splitPEM(cfg.CertFile, content[cfg.CertFile])
	if err != nil {
		return nil, err
	}
	keyFile := cfg.CertFile
	switch {
	case len(certs) == 0:
		return nil, hinted(`it begins with "-----BEGIN CERTIFICATE-----"`, "%s: there is no certificate in PEM form", cfg.CertFile)
	case cfg.KeyFile == "" && len(keys) == 0:
		return nil, hinted("name the file with the key, or add the key to this one", "%s: there is no private key beside the certificate", cfg.CertFile)
	case cfg.KeyFile != "" && cfg.KeyFile != cfg.CertFile:
		if len(keys) > 0 {
			return nil, hinted("leave the key file out, or take the key out of the certificate's file", "two sources of the TLS key at once: %s and %s", cfg.CertFile, cfg.KeyFile)
		}
		keyFile = cfg.KeyFile
		if _, keys, err = splitPEM(cfg.KeyFile, content[cfg.KeyFile]); err != nil {
			return nil, err
		}
	}
	switch len(keys) {
	case 0:
		return nil, hinted(`it begins with "-----BEGIN PRIVATE KEY-----"`, "%s: there is no private key in PEM form", keyFile)
	case 1:
	default:
		return nil, hinted("leave one of them", "%s: there are %d private keys", keyFile, len(keys))
	}
	for _, cert := range certs {
		id.Certificate = append(id.Certificate, cert.Bytes)
	}
	if id.Leaf, err = x509.ParseCertificate(certs[0].Bytes); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.CertFile, err)
	}
	id.PrivateKey, err = parseKey(keyFile, keys[0], passphrase)
	return id, err
}

// splitPEM finds certificates and private keys among the PEM blocks.
func splitPEM(path string, content []byte) (certs, keys []*pem.Block, err error) {
	if err := notBlank(path, content); err != nil {
		return nil, nil, err
	}
	for {
		var block *pem.Block
		block, content = pem.Decode(content)
		switch {
		case block == nil:
			return certs, keys, nil
		case block.Type == "CERTIFICATE":
			certs = append(certs, block)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			keys = append(keys, block)
		case block.Type == "EC PARAMETERS", block.Type == "DH PARAMETERS":
		default:
			return nil, nil, fmt.Errorf("%s: %q is neither a certificate nor a private key", path, block.Type)
		}
	}
}

func parseKey(path string, block *pem.Block, passphrase []byte) (crypto.PrivateKey, error) {
	der := block.Bytes
	const convert = "openssl pkcs8 -topk8 -v2 aes-256-cbc -in %s writes it in a form that is"
	switch {
	case block.Headers["DEK-Info"] != "":
		return nil, hinted(fmt.Sprintf(convert, path), "%s: the key is encrypted by OpenSSL's old scheme, which protects little and is not read here", path)
	case block.Type == "ENCRYPTED PRIVATE KEY":
		if len(passphrase) == 0 {
			return nil, hinted("name a passphrase file, which has the passphrase as its first line", "%s: the key is encrypted", path)
		}
		var err error
		if der, err = decryptPKCS8(der, passphrase); err != nil {
			if errors.Is(err, errScheme) {
				return nil, hinted(fmt.Sprintf(convert, path), "%s: %w", path, err)
			}
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" {
		return nil, fmt.Errorf("%s: %w", path, errPassphrase)
	}
	return nil, fmt.Errorf("%s: %w", path, err)
}

// checkFit refuses a key that is not the certificate's.
func checkFit(id *tls.Certificate, certFile, keyFile string) error {
	signer, ok := id.PrivateKey.(crypto.Signer)
	if !ok {
		return fmt.Errorf("%s: a %T cannot sign", certFile, id.PrivateKey)
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(id.Leaf.PublicKey) {
		if keyFile == "" {
			keyFile = "the key in it"
		}
		return hinted("the first certificate of the file has to be the key's own, those of its CAs come after it", "%s: %s does not fit the certificate of %s", certFile, keyFile, id.Leaf.Subject)
	}
	return nil
}

// checkSuites refuses a key that none of the chosen suites is for: no client of
// TLS 1.2 could be served.
func checkSuites(id *tls.Certificate, certFile string, suites []uint16) error {
	algorithm, other := "_ECDSA_", "_RSA_" // Ed25519 has ECDSA's suites (RFC 8422, section 5.10)
	if _, ok := id.Leaf.PublicKey.(*rsa.PublicKey); ok {
		algorithm, other = other, algorithm
	}
	fits := func(suite uint16) bool { return strings.Contains(tls.CipherSuiteName(suite), algorithm) }
	if len(suites) == 0 || slices.ContainsFunc(suites, fits) {
		return nil
	}
	return hinted(fmt.Sprintf("add a suite with %s in its name, or have a certificate for one with %s", algorithm, other),
		"%s: its %v key is for none of the TLS 1.2 cipher suites, such as %s", certFile, id.Leaf.PublicKeyAlgorithm, tls.CipherSuiteName(suites[0]))
}

func checkDates(path string, cert *x509.Certificate, now time.Time) error {
	switch {
	case now.After(cert.NotAfter):
		return hinted("have it renewed", "%s: the certificate of %s expired at %s", path, cert.Subject, cert.NotAfter.Format(time.RFC3339))
	case now.Before(cert.NotBefore):
		return hinted("is this machine's clock right?", "%s: the certificate of %s is not valid before %s", path, cert.Subject, cert.NotBefore.Format(time.RFC3339))
	}
	return nil
}

package tlspolicy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// A Mode says what is made of client certificates.
type Mode int

const (
	None    Mode = iota // not asked for
	Report              // asked for; whatever comes, the connection stands and [Conn.Verdict] tells
	Verify              // the handshake completes; a client without a valid one is told why, and closed
	Require             // a client without a valid one fails the handshake
)

var modeNames = []string{"none", "report", "verify", "require"}

func (m Mode) String() string {
	if m < 0 || int(m) >= len(modeNames) {
		return fmt.Sprintf("Mode(%d)", int(m))
	}
	return modeNames[m]
}

// ParseMode reads a mode's name.
func ParseMode(name string) (Mode, error) {
	i := slices.Index(modeNames, name)
	if i < 0 {
		return 0, fmt.Errorf("%q: known are %s", name, strings.Join(modeNames, ", "))
	}
	return Mode(i), nil
}

// A StalePolicy says what a CRL is worth whose next update is overdue.
type StalePolicy int

const (
	StaleRefuse StalePolicy = iota // nothing: certificates that it would have to vouch for are untrusted
	StaleAllow                     // what it lists is revoked, the others count as not revoked
)

// A Config says how a server does TLS. A key is required, from CertFile and
// KeyFile or from PKCS12File; all else is safe when left zero.
type Config struct {
	CertFile string // PEM: the certificate, then those that lead to its CA
	KeyFile  string // PEM: PKCS#8, PKCS#1 or SEC 1; empty: the key is in CertFile

	PKCS12File string // certificate, key and chain in one (RFC 7292)

	PassphraseFile string // of an encrypted key: its first line

	MinVersion   uint16   // [tls.VersionTLS13] if zero; [tls.VersionTLS12] lets older clients in
	CipherSuites []uint16 // for TLS 1.2; nil: crypto/tls's choice. TLS 1.3 has no bad ones to choose from

	ClientCert   Mode
	ClientCAFile string      // PEM: the CAs of client certificates; required unless ClientCert is None
	CRLFiles     []string    // PEM or DER, any number of issuers; none: nothing is revoked
	StaleCRL     StalePolicy // of CRLs past their next update

	// Trace is told what happens, from any goroutine, which waits for it; it calls
	// nothing of the policy. May be nil.
	Trace func(Event)

	Time func() time.Time // nil means time.Now
}

// An Event is a step of a handshake, or of keeping up with the files.
type Event struct {
	Remote net.Addr // the client; nil when the event is about a file
	Step   string   // in words, such as "client hello"
	Detail string
	Err    error // what went wrong, if anything did
}

// An Error says what is wrong with a config, and what to do about it.
type Error struct {
	Err  error
	Hint string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func hinted(hint, format string, args ...any) error {
	return &Error{Err: fmt.Errorf(format, args...), Hint: hint}
}

// Validate says what is wrong with the config, as far as can be told without
// looking at its files: nil if nothing is.
func (c Config) Validate() error {
	_, err := c.complete()
	return err
}

// complete gives the config with its defaults, or says what is wrong with it. It
// looks at no file.
func (c Config) complete() (Config, error) {
	if err := c.checkSources(); err != nil {
		return c, err
	}
	switch {
	case c.ClientCert < None || c.ClientCert > Require:
		return c, fmt.Errorf("unknown mode of client certificates: %v", c.ClientCert)
	case c.ClientCert != None && c.ClientCAFile == "":
		return c, hinted("name the PEM file of the CAs that client certificates come from", "client certificates are asked for, but no CA is given to judge them by")
	case c.ClientCert == None && (c.ClientCAFile != "" || len(c.CRLFiles) > 0):
		return c, hinted("have them asked for, by the mode report, verify or require", "there are CAs or CRLs for client certificates, which are not asked for")
	}
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS13
	}
	if c.MinVersion != tls.VersionTLS13 && c.MinVersion != tls.VersionTLS12 {
		return c, hinted("TLS 1.2 is the least", "%s is refused: it is broken", tls.VersionName(c.MinVersion))
	}
	if len(c.CipherSuites) > 0 && c.MinVersion == tls.VersionTLS13 {
		return c, hinted("allow TLS 1.2 as well, or leave the cipher suites out: TLS 1.3 has no bad ones", "cipher suites can be chosen for TLS 1.2 only, which is not allowed here")
	}
	for _, id := range c.CipherSuites {
		good := func(s *tls.CipherSuite) bool {
			return s.ID == id && slices.Contains(s.SupportedVersions, tls.VersionTLS12)
		}
		if !slices.ContainsFunc(tls.CipherSuites(), good) {
			return c, fmt.Errorf("cipher suite %s is refused: it is broken, unknown or not one of TLS 1.2", tls.CipherSuiteName(id))
		}
	}
	c.CRLFiles = slices.Clone(c.CRLFiles)
	c.CipherSuites = slices.Clone(c.CipherSuites)
	if c.Time == nil {
		c.Time = time.Now
	}
	if c.Trace == nil {
		c.Trace = func(Event) {}
	}
	return c, nil
}

// checkSources says what is wrong with the choice of files for certificate and
// key.
func (c *Config) checkSources() error {
	switch {
	case c.PKCS12File != "" && (c.CertFile != "" || c.KeyFile != ""):
		pem := []string{c.CertFile, c.KeyFile}
		pem = slices.DeleteFunc(pem, func(path string) bool { return path == "" })
		return hinted("give either a PKCS#12 file or PEM files", "two sources of the TLS key at once: %s and %s", c.PKCS12File, strings.Join(slices.Compact(pem), ", "))
	case c.PKCS12File == "" && c.CertFile == "":
		return hinted("give both in PEM files, or in one PKCS#12 file", "TLS needs a certificate and its key")
	}
	return nil
}

// ParseVersion reads the name of the least TLS version to allow: "1.2" or
// "1.3", with or without "TLS" before it. All older ones are refused by name.
func ParseVersion(name string) (uint16, error) {
	plain := strings.ToLower(strings.TrimSpace(name))
	plain = strings.TrimPrefix(strings.TrimPrefix(plain, "tls"), "v")
	switch plain {
	case "1.3":
		return tls.VersionTLS13, nil
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.1", "1.0", "1":
		return 0, hinted("TLS 1.2 is the least", "TLS %s is refused: it is deprecated (RFC 8996)", plain)
	}
	if strings.HasPrefix(plain, "ssl") {
		return 0, hinted("TLS 1.2 is the least", "SSL is refused: every version of it is broken (RFC 6176, RFC 7568)")
	}
	return 0, hinted("1.3, the default, or 1.2", "unknown TLS version %q", name)
}

// ParseCipherSuites reads a list of TLS 1.2 cipher suites by their IANA names,
// separated by colons or commas. Those that are broken (RC4, 3DES, and CBC or RSA
// key exchange where crypto/tls calls them insecure) are refused by name.
func ParseCipherSuites(list string) ([]uint16, error) {
	var ids []uint16
	for name := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ':' || r == ',' || r == ' ' }) {
		id, err := parseCipherSuite(strings.ToUpper(name))
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, errors.New("the list of cipher suites is empty")
	}
	return ids, nil
}

func parseCipherSuite(name string) (uint16, error) {
	byName := func(s *tls.CipherSuite) bool { return s.Name == name }
	if all := tls.CipherSuites(); slices.ContainsFunc(all, byName) {
		s := all[slices.IndexFunc(all, byName)]
		if !slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			return 0, hinted("leave it out: TLS 1.3 has it anyway", "cipher suite %s is one of TLS 1.3, which are not chosen", name)
		}
		return s.ID, nil
	}
	broken := slices.ContainsFunc(tls.InsecureCipherSuites(), byName)
	for _, bad := range []string{"RC4", "3DES", "DES", "NULL", "EXPORT", "MD5", "ANON"} {
		broken = broken || slices.Contains(strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' }), bad)
	}
	if broken {
		return 0, hinted("leave the list out: crypto/tls chooses well", "cipher suite %s is refused: it is broken", name)
	}
	return 0, hinted("such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, by the IANA's names", "unknown cipher suite %q", name)
}

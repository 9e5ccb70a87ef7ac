package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/countersign-go/countersign/gss"
)

// TLS says how to make a connection a TLS one. The zero value trusts the
// system's CAs and takes TLS 1.3.
type TLS struct {
	Roots       *x509.CertPool   // CAs of servers; nil: the system's
	ServerName  string           // that the certificate must have; empty: the host of Config.Addr
	Certificate *tls.Certificate // shown to servers that ask for one; may be nil
	MinVersion  uint16           // [tls.VersionTLS13] if zero; [tls.VersionTLS12] takes older servers

	// Check sees the server first: what it showed, the session, and the verdict
	// on it. It is called in the handshake, before anything but the handshake is
	// sent. Its error ends the connection. It cannot make a bad verdict good. May
	// be nil.
	Check func(Server) error

	Bind BindPolicy // of contexts inside the connection
}

// A BindPolicy says whether contexts are bound to the TLS connection that
// carries them, so that they are worth nothing in any other.
type BindPolicy int

const (
	BindAllow   BindPolicy = iota // bound if the connection has something to bind to
	BindRequire                   // bound, or the session fails
	BindOff                       // not bound: for servers behind something else that ends TLS
)

// A Verdict says what is wrong with a server's certificate.
type Verdict int

const (
	Trusted   Verdict = iota // nothing
	Untrusted                // no CA that is trusted issued it, or not for this use
	WrongName                // it is another server's
	Expired                  // it has expired or is not valid yet
)

var verdictNames = []string{"trusted", "untrusted", "for another name", "expired or not valid yet"}

func (v Verdict) String() string {
	if v < 0 || int(v) >= len(verdictNames) {
		return fmt.Sprintf("Verdict(%d)", int(v))
	}
	return verdictNames[v]
}

// Server is what [TLS].Check sees.
type Server struct {
	Certificates []*x509.Certificate // as it sent them, its own first
	Session      tls.ConnectionState // version, cipher suite, protocol, ...
	Verdict      Verdict
	Err          error // the reason of a verdict that is not Trusted
}

// A CertificateError says why a server's certificate was refused.
type CertificateError struct {
	Verdict Verdict // Trusted if it was TLS.Check that refused it
	Err     error
}

func (e *CertificateError) Error() string {
	if e.Verdict == Trusted {
		return "server refused: " + e.Err.Error()
	}
	return fmt.Sprintf("server certificate is %s: %v", e.Verdict, e.Err)
}

func (e *CertificateError) Unwrap() error { return e.Err }

// Securing is the step of making a connection a TLS one, after Connecting.
const Securing Step = "securing connection"

// config gives crypto/tls's config for a server of that name.
func (t *TLS) config(name string) *tls.Config {
	name, _, _ = strings.Cut(cmp.Or(t.ServerName, name), "%") // the zone of an IPv6 address is nobody's but this machine's
	cfg := &tls.Config{
		ServerName: name,
		MinVersion: t.MinVersion,
		// VerifyConnection verifies, telling what is wrong apart.
		InsecureSkipVerify: true,
		VerifyConnection:   func(state tls.ConnectionState) error { return t.verify(state, name) },
	}
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS13
	}
	if t.Certificate != nil {
		// Shown whatever CAs the server names: it then tells why it refuses it.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.Certificate, nil }
	}
	return cfg
}

func (t *TLS) verify(state tls.ConnectionState, name string) error {
	verdict, err := t.judge(state.PeerCertificates, name)
	if t.Check != nil {
		if cerr := t.Check(Server{state.PeerCertificates, state, verdict, err}); cerr != nil && err == nil {
			return &CertificateError{Trusted, cerr}
		}
	}
	if err != nil {
		return &CertificateError{verdict, err}
	}
	return nil
}

// judge says what is wrong with a server's certificates. Of several things the
// gravest: first who issued it, then for whom, then when.
func (t *TLS) judge(certs []*x509.Certificate, name string) (Verdict, error) {
	if len(certs) == 0 {
		return Untrusted, errors.New("none was shown")
	}
	opts := x509.VerifyOptions{Roots: t.Roots, Intermediates: x509.NewCertPool()}
	for _, cert := range certs[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := certs[0].Verify(opts)
	expired := isExpired(err)
	if expired {
		opts.CurrentTime = certs[0].NotBefore // does anything else speak against it?
		if _, then := certs[0].Verify(opts); then != nil && !isExpired(then) {
			return Untrusted, then
		}
	} else if err != nil {
		return Untrusted, err
	}
	if nerr := certs[0].VerifyHostname(name); nerr != nil {
		return WrongName, nerr
	}
	if expired {
		return Expired, err
	}
	return Trusted, nil
}

func isExpired(err error) bool {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok && invalid.Reason == x509.Expired
}

// secure does the TLS handshake. It closes the connection if that fails.
func (c *Config) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if c.TLS == nil {
		return conn, nil
	}
	name, _, err := net.SplitHostPort(c.Addr)
	if err != nil && c.TLS.ServerName == "" {
		conn.Close()
		return nil, &Error{Securing, errors.New("no name that the server's certificate must have")}
	}
	secured := tls.Client(conn, c.TLS.config(name))
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no TLS within %v: %w", c.Timeout, err)
		}
		return nil, &Error{Securing, err}
	}
	return &tlsConn{Conn: secured}, nil
}

// bindings are those of a connection that secure made, nil for others.
func (c *Config) bindings(conn net.Conn) (*gss.ChannelBindings, error) {
	if c.TLS == nil || c.TLS.Bind == BindOff {
		return nil, nil
	}
	state := conn.(*tlsConn).ConnectionState()
	exporter, err := gss.TLSExporter(state)
	if err == nil {
		return exporter, nil
	}
	endpoint, eerr := gss.TLSServerEndPoint(state)
	if eerr == nil {
		return endpoint, nil
	}
	if c.TLS.Bind == BindRequire {
		return nil, &Error{Securing, errors.Join(err, eerr)}
	}
	return nil, nil
}

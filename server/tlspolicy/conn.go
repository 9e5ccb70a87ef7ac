package tlspolicy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-go/countersign/gss"
)

// A connection that is refused is closed in two steps, so that a reset does not
// destroy what the peer was told last: the sending side at once, the rest when
// the peer has closed, has sent this much more, or this time is over. The buffers
// on the way of a peer that sends before it reads hold less than that: Linux lets
// those of a connection grow to 4 MiB for sending and 6 MiB for receiving.
const (
	lingerBytes = 16 << 20
	lingerTime  = time.Second
)

// A Conn is the server's side of a TLS connection. One goroutine reads and one
// writes; the other methods may be called by any at any time.
type Conn struct {
	policy     *Policy
	raw        net.Conn
	tls        *tls.Conn
	mode       Mode
	ownMode    bool
	minVersion uint16
	nextProtos []string

	mu      sync.Mutex // held during the handshake
	done    atomic.Bool
	err     error // the handshake's, once it is done
	leaf    *x509.Certificate
	judged  bool // a verdict was reached
	verdict Verdict
}

// Handshake is HandshakeContext without a time limit but the deadline's.
func (c *Conn) Handshake() error { return c.HandshakeContext(context.Background()) }

// HandshakeContext does the handshake, if it is not done yet, until ctx ends or
// the connection's deadline passes. A client that is refused for its
// certificate gives a [*RefusedError], after it was told: under [Require] by an
// alert, under [Verify] by a line of text. Up to a second is taken to send that,
// and up to another for the client to read it, whatever the deadline was.
// After an error the connection is of no more use; later calls return it again.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	if c.done.Load() {
		return c.err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done.Load() {
		return c.err
	}
	c.err = c.handshake(ctx)
	c.done.Store(true)
	return c.err
}

func (c *Conn) handshake(ctx context.Context) error {
	began := time.Now()
	err := c.tls.HandshakeContext(ctx)
	if err != nil && c.mode == Require && strings.Contains(err.Error(), "didn't provide a certificate") {
		// crypto/tls, which has an alert for this case and no error type
		c.judged, c.verdict = true, Verdict{State: NoCertificate, Err: errNoCertificate}
		err = &RefusedError{c.verdict}
	}
	if err != nil {
		c.step("handshake failed", "", err)
		if !interrupted(err) {
			c.linger()
		}
		return fmt.Errorf("TLS handshake: %w", err)
	}
	state := c.tls.ConnectionState()
	detail := tls.VersionName(state.Version) + ", " + tls.CipherSuiteName(state.CipherSuite) + ", " + time.Since(began).Round(time.Microsecond).String()
	if state.DidResume {
		detail += ", resumed"
	}
	c.step("handshake done", detail, nil)
	if c.mode == Verify && c.verdict.State != Valid {
		refused := &RefusedError{c.verdict}
		c.step("client refused", strings.TrimSpace(refused.line()), refused)
		if c.SetDeadline(time.Now().Add(lingerTime)) == nil {
			if _, err := io.WriteString(c.tls, refused.line()); err == nil {
				c.linger()
			}
		}
		return refused
	}
	return nil
}

// interrupted reports whether there is nobody to be told about the error. An
// alert is a "local error" to crypto/tls where it was sent, a "remote error" where
// it came.
func interrupted(err error) bool {
	op, network := errors.AsType[*net.OpError](err)
	return network && op.Op != "local error" || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// linger ends sending and waits until the peer has had a chance to read. What
// it still sends is not looked at.
func (c *Conn) linger() {
	_ = c.tls.CloseWrite() // the alert, if the handshake got far enough to have one
	half, ok := c.raw.(interface{ CloseWrite() error })
	if ok && half.CloseWrite() == nil && c.raw.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.raw, lingerBytes)
	}
}

// verify judges the client's certificate. crypto/tls calls it in every
// handshake, also of a resumed session, before it tells the client that all is
// well.
func (c *Conn) verify(state tls.ConnectionState) error {
	if c.mode == None {
		return nil
	}
	c.judged, c.verdict = true, c.policy.judge(state.PeerCertificates, c.step)
	if c.mode == Require && c.verdict.State != Valid {
		return &RefusedError{c.verdict}
	}
	return nil
}

func (c *Conn) step(what, detail string, err error) {
	if err != nil {
		err = clippedError{err}
	}
	c.policy.cfg.Trace(Event{Remote: c.raw.RemoteAddr(), Step: what, Detail: clip(detail), Err: err})
}

func (c *Conn) hello(h *tls.ClientHelloInfo) {
	versions := make([]string, len(h.SupportedVersions))
	for i, v := range h.SupportedVersions {
		versions[i] = tls.VersionName(v)
	}
	c.step("client hello", fmt.Sprintf("for %q, %s, %d cipher suites", h.ServerName, strings.Join(versions, " "), len(h.CipherSuites)), nil)
}

// Verdict is what was found of the client's certificate: the zero Verdict, whose
// Err is nil, if none was asked for, before the handshake is done, and after one
// that failed before the certificate's turn came.
func (c *Conn) Verdict() Verdict {
	if !c.done.Load() {
		return Verdict{}
	}
	return c.verdict
}

// ConnectionState is crypto/tls's.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// Bindings are the channel bindings for contexts inside this connection:
// tls-exporter (RFC 9266), and as an alternative for clients that know no better
// tls-server-end-point (RFC 5929), which is the same for every connection to
// this certificate. It is nil before the handshake is done and where the
// connection has neither.
func (c *Conn) Bindings() *gss.ChannelBindings {
	if !c.done.Load() || c.err != nil {
		return nil
	}
	endpoint, err := gss.TLSServerEndPointOf(c.leaf)
	if err != nil {
		endpoint = nil
	}
	exporter, err := gss.TLSExporter(c.tls.ConnectionState())
	if err != nil {
		return endpoint // TLS 1.2 without the extended master secret
	}
	exporter.Alternative = endpoint
	return exporter
}

// LogFields say who is at the other end and how it is encrypted, for a log. Of
// long names they have the beginning.
func (c *Conn) LogFields() map[string]any {
	fields := make(map[string]any)
	if !c.done.Load() {
		return fields
	}
	if state := c.tls.ConnectionState(); state.HandshakeComplete {
		fields["tls"] = tls.VersionName(state.Version)
		fields["cipher"] = tls.CipherSuiteName(state.CipherSuite)
		if state.DidResume {
			fields["resumed"] = true
		}
	}
	if !c.judged {
		return fields
	}
	v := c.verdict
	fields["client_cert"] = v.State.String()
	if v.Certificate != nil {
		fields["cert_serial"] = clip(v.Serial())
		fields["cert_subject"] = clip(v.Certificate.Subject.String())
		fields["cert_issuer"] = clip(v.Certificate.Issuer.String())
	}
	if v.Err != nil && v.Certificate != nil {
		fields["cert_error"] = clip(v.Err.Error())
	}
	return fields
}

// Read reads from the client, after the handshake.
func (c *Conn) Read(b []byte) (int, error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	return c.tls.Read(b)
}

// Write writes to the client, after the handshake.
func (c *Conn) Write(b []byte) (int, error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	return c.tls.Write(b)
}

// CloseWrite tells the client that nothing more comes, and goes on reading.
func (c *Conn) CloseWrite() error {
	if err := c.tls.CloseWrite(); err != nil {
		return err
	}
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close tells the client that nothing more comes and closes the connection.
func (c *Conn) Close() error { return c.tls.Close() }

// NetConn is the connection below. Closing it closes this one without a word to
// the client.
func (c *Conn) NetConn() net.Conn { return c.raw }

// LocalAddr is the server's address.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetDeadline bounds reading and writing, the handshake included.
func (c *Conn) SetDeadline(t time.Time) error { return c.tls.SetDeadline(t) }

// SetReadDeadline bounds reading.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.tls.SetReadDeadline(t) }

// SetWriteDeadline bounds writing. After it has passed, nothing can be written.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.tls.SetWriteDeadline(t) }

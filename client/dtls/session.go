package dtls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/logging"

	"github.com/countersign-go/countersign/client"
)

// A Session is an association with a server. Its methods are safe for
// concurrent use; messages go one after the other.
type Session struct {
	cfg    Config
	conn   *pion.Conn
	hint   string
	suite  string
	closed chan struct{}
	once   sync.Once

	mu  sync.Mutex // held while a message is under way
	buf [maxRecord]byte
}

// silent keeps pion/dtls from logging on its own.
var silent = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}

// Dial makes the handshake. ctx and cfg.Timeout bound it; the session itself
// goes on when ctx ends. The error is that of [Config.Validate], or a
// [*client.Error].
func Dial(ctx context.Context, cfg Config) (*Session, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	udp, err := new(net.Dialer).DialContext(ctx, "udp", cfg.Addr)
	if err != nil {
		return nil, &client.Error{Step: client.Connecting, Err: err}
	}
	s := &Session{cfg: cfg, closed: make(chan struct{})}
	key := bytes.Clone(cfg.Key)
	defer clear(key)
	s.cfg.Key = nil
	way := &packets{Conn: udp, trace: cfg.Trace}
	s.conn, err = pion.ClientWithOptions(way, udp.RemoteAddr(),
		pion.WithPSK(func(hint []byte) ([]byte, error) {
			s.hint = string(hint)
			return bytes.Clone(key), nil
		}),
		pion.WithPSKIdentityHint([]byte(cfg.Identity)),
		pion.WithCipherSuites(suites...),
		pion.WithExtendedMasterSecret(pion.RequestExtendedMasterSecret),
		pion.WithLoggerFactory(silent),
	)
	if err != nil {
		udp.Close()
		return nil, &client.Error{Step: client.Connecting, Err: err}
	}
	if err := s.conn.HandshakeContext(ctx); err != nil {
		s.conn.Close()
		alert, alerted := way.lastAlert()
		return nil, &client.Error{Step: client.Connecting, Err: cfg.explain(err, alert, alerted)}
	}
	if state, ok := s.conn.ConnectionState(); ok {
		s.suite = strings.ReplaceAll(strings.TrimPrefix(pion.CipherSuiteName(state.CipherSuiteID), "TLS_"), "_WITH", "")
	}
	return s, nil
}

// ErrRefused says that the server's alert means a wrong identity or key. It
// need not tell which (RFC 4279, section 2).
var ErrRefused = errors.New("the server does not know the identity, or has another key for it")

// ErrBusy says that the server ended the handshake for want of room, as
// countersign's does, or because it stops.
var ErrBusy = errors.New("the server closed before the handshake was done: it has too many connections or handshakes, or stops")

// An AlertError says that the server ended the handshake by an alert.
type AlertError struct {
	Description byte // RFC 5246, section 7.2
}

func (e *AlertError) Error() string {
	return fmt.Sprintf("the server refused the handshake: alert %d", e.Description)
}

// The alerts of servers that refuse an identity or a key: bad_record_mac and
// decrypt_error (RFC 5246), unknown_psk_identity (RFC 4279). And that of those
// who refuse nothing, but go: close_notify (RFC 5246).
const (
	closeNotify        = 0
	badRecordMAC       = 20
	decryptError       = 51
	unknownPSKIdentity = 115
)

// explain words why a handshake failed. alert is the server's that ended it, if
// alerted.
func (c *Config) explain(err error, alert byte, alerted bool) error {
	switch {
	case alerted && (alert == badRecordMAC || alert == decryptError || alert == unknownPSKIdentity):
		return fmt.Errorf("%w (alert %d)", ErrRefused, alert)
	case alerted && alert == closeNotify:
		return ErrBusy
	case alerted:
		return &AlertError{alert}
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no handshake within %v: no DTLS server there, or one that is too busy, or silent about a wrong identity or key: %w", c.Timeout, os.ErrDeadlineExceeded)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens there: %w", syscall.ECONNREFUSED)
	}
	return err
}

// Hint is the server's identity hint, empty if it sent none.
func (s *Session) Hint() string { return s.hint }

// Suite names the cipher suite, as IANA does without the prefix.
func (s *Session) Suite() string { return s.suite }

// LocalAddr is the client's address, as it is on this side of the way.
func (s *Session) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr is the server's address.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// Echo sends a message until it comes back or is acknowledged (see
// [Acknowledgement]), and gives what came. Answers of earlier messages are
// passed over, as far as they differ: acknowledgements do not. If something else
// comes, and neither does within the time limit, the error has a
// [*client.EchoError]. Errors are [*client.Error]s.
func (s *Session) Echo(msg []byte) (answer []byte, err error) {
	var other []byte
	answer, err = s.exchange(msg, func(answer []byte) bool {
		if _, acknowledged := Acknowledgement(answer); acknowledged || bytes.Equal(answer, msg) {
			return true
		}
		other = bytes.Clone(answer)
		return false
	})
	if errors.Is(err, os.ErrDeadlineExceeded) && other != nil {
		return other, &client.Error{Step: client.Receiving, Err: &client.EchoError{Sent: bytes.Clone(msg), Received: other}}
	}
	return answer, err
}

// Acknowledgement says whether an answer is that of a server which does not send
// back what came but acknowledges it, "to ADDRESS:PORT: ACK", and gives the
// address by which the server knows this client. Behind a translation of
// addresses that is not the client's own.
func Acknowledgement(answer []byte) (who netip.AddrPort, ok bool) {
	text, to := strings.CutPrefix(string(answer), "to ")
	text, ack := strings.CutSuffix(text, ": ACK")
	if !to || !ack {
		return netip.AddrPort{}, false
	}
	who, err := netip.ParseAddrPort(text)
	return who, err == nil
}

// Ask sends a message until an answer comes, and gives the first that does. On a
// way that loses datagrams it can be the answer to a message before.
func (s *Session) Ask(msg []byte) ([]byte, error) {
	return s.exchange(msg, func([]byte) bool { return true })
}

// exchange sends msg, again and again, until an answer is taken.
func (s *Session) exchange(msg []byte, take func(answer []byte) bool) ([]byte, error) {
	if len(msg) == 0 || len(msg) > MaxMessage {
		return nil, &client.Error{Step: client.Sending, Err: fmt.Errorf("a message of %d bytes: 1 to %d can be sent", len(msg), MaxMessage)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// That nobody listens comes from anybody, maybe before the server's alert is
	// read: it has to come twice.
	refused := 0
	gone := func(err error) bool {
		if errors.Is(err, syscall.ECONNREFUSED) {
			refused++
			return refused > 1
		}
		return true
	}
	end := time.Now().Add(s.cfg.Timeout)
	for time.Now().Before(end) {
		if _, err := s.conn.Write(msg); err != nil && gone(err) {
			return nil, &client.Error{Step: client.Sending, Err: s.ended(err)}
		}
		wait := time.Now().Add(s.cfg.Resend)
		if wait.After(end) {
			wait = end
		}
		if err := s.conn.SetReadDeadline(wait); err != nil {
			return nil, &client.Error{Step: client.Receiving, Err: s.ended(err)}
		}
		for {
			n, err := s.conn.Read(s.buf[:])
			if errors.Is(err, context.DeadlineExceeded) {
				break
			}
			if err != nil && gone(err) {
				return nil, &client.Error{Step: client.Receiving, Err: s.ended(err)}
			}
			if err == nil && n > 0 && take(s.buf[:n]) {
				return bytes.Clone(s.buf[:n]), nil
			}
		}
	}
	return nil, &client.Error{Step: client.Receiving, Err: fmt.Errorf("the server did not answer within %v: %w", s.cfg.Timeout, os.ErrDeadlineExceeded)}
}

// ended words the end of the session.
func (s *Session) ended(err error) error {
	select {
	case <-s.closed:
		return fmt.Errorf("the session is closed: %w", net.ErrClosed)
	default:
	}
	if errors.Is(err, io.EOF) || errors.Is(err, pion.ErrConnClosed) {
		return fmt.Errorf("the server closed the session: %w", io.EOF)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nobody listens there any more: %w", syscall.ECONNREFUSED)
	}
	return err
}

// Close tells the server and ends the session. A message that is under way
// fails.
func (s *Session) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.conn.Close()
}

// packets is a connected socket for pion/dtls. Being connected, it hears when
// nobody listens, and nobody else is heard.
type packets struct {
	net.Conn
	trace func(sent bool, datagram []byte)
	alert atomic.Uint32 // alerted | description of an alert in the clear that ends the handshake
}

const alerted = 1 << 8

// ReadFrom gives the next datagram.
func (p *packets) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := p.Read(b)
	if err == nil {
		// type(1), version(2), epoch(2), sequence number(6), length(2), level(1), description(1)
		const fatal = 2
		if n == 15 && b[0] == 21 && b[3] == 0 && b[4] == 0 && (b[13] == fatal || b[14] == closeNotify) {
			p.alert.Store(alerted | uint32(b[14]))
		}
		if p.trace != nil {
			p.trace(false, bytes.Clone(b[:n]))
		}
	}
	return n, p.RemoteAddr(), err
}

func (p *packets) lastAlert() (description byte, ok bool) {
	a := p.alert.Load()
	return byte(a), a&alerted != 0
}

// WriteTo sends a datagram to the server.
func (p *packets) WriteTo(b []byte, _ net.Addr) (int, error) {
	if p.trace != nil {
		p.trace(true, bytes.Clone(b))
	}
	return p.Write(b)
}

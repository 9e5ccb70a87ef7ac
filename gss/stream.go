package gss

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-go/countersign/token"
)

// A Stream is a net.Conn whose bytes travel sealed by a security context. It
// stands to a context as [crypto/tls.Conn] does to a TLS session: the first
// Read, Write or [Stream.Handshake] establishes the context, a deadline bounds
// it, and what is read came from the peer, whole, in order and unseen by
// others.
//
// # Use
//
// Any number of goroutines may call any methods at once. A Stream that waits to
// read holds 2 KiB, and none starts a goroutine. The underlying connection is
// the Stream's: no one else may use it.
//
// A failed handshake sticks, as does any failure of reading but an expired
// deadline, which the next Read takes up where it stopped. A message that is
// altered, repeated, out of order or missing fails reading for good. A Write
// that its deadline interrupts counts the bytes that it has sealed; what of
// them did not leave leaves before the next Write, CloseWrite or Close sends
// anything. So a caller may go on after an expired deadline in either
// direction, which crypto/tls does not allow. Where the mechanism holds messages
// to the context's lifetime, both directions fail with [ErrContextExpired] when
// it is over.
//
// Nothing is timed out unasked: a peer that says nothing, or takes nothing, is
// waited for until a deadline, the handshake's context or Close ends that. A
// server sets a deadline before the first Read or gives the handshake a context,
// and then a deadline before each Read; the mechanism's own exchange, such as the
// initiator's with a KDC, is bounded by the context alone. Close takes
// five seconds at the most to say that the stream ends.
//
// The end of the stream is a message of its own. A connection that is cut, by
// whomever, reads as [io.ErrUnexpectedEOF] and never as [io.EOF].
//
// # Format
//
// Every token is a frame of package token, version 2. Context tokens come
// first, in frames with CONTEXT. Then each side sends frames with exactly DATA,
// WRAPPED and ENCRYPTED, each with one token of GSS_Wrap with confidentiality
// that is at most 65,536 octets long. The message in it is
//
//	content | kind(1)
//
// with kind at the end, as in TLS 1.3, so that the content can be decrypted in
// its place. The upper four bits of kind are the version of this format, 1:
//
//	0x11   data: at least one octet of content
//	0x12   end of stream: no content; the sender sends nothing more
//
// Anything else is an error. The context has mutual authentication,
// confidentiality, integrity, replay detection and sequencing, or the handshake
// fails. It must not be used for anything else: the services that a Stream is
// offered by need a name, and so a key, that no other protocol is served under,
// or clients of the one may be passed on to the other.
type Stream struct {
	conn   net.Conn
	frames *token.Conn
	wire   wire // below frames

	handshake func(context.Context) (Context, error)
	life      context.Context // ends when the Stream is closed
	end       context.CancelCauseFunc
	closed    atomic.Bool

	handshakeMu  sync.Mutex // held during the handshake; guards the next two
	handshaken   bool
	handshakeErr error

	established atomic.Pointer[Info] // nil until sec is set
	sec         Context

	in  streamInput
	out streamOutput
}

const (
	// maxRecord is the longest wrap token, in octets. What an octet costs is
	// the same from 32 to 128 KiB and more below; this takes the 32 KiB that
	// io.Copy writes in one.
	maxRecord = 64 << 10

	// maxStreamToken is the longest context token, in octets: a Kerberos
	// ticket and the delegated one beside it have at most 64 KiB each.
	maxStreamToken = 256 << 10
)

// ClientConfig says how a Stream initiates its context.
type ClientConfig struct {
	Mechanism Initiator
	Target    Name // the service, as a rule a [HostService]

	// Flags are wanted beside [DefaultFlags], such as [Delegation]; the latter
	// are always asked for, and the handshake fails without them.
	Flags Flags

	Bindings *ChannelBindings // of the channel below, as from [TLSExporter]; nil when it has none
}

// ServerConfig says how a Stream accepts its context.
type ServerConfig struct {
	Mechanism Acceptor

	// Bindings are those of the channel below; nil when it has none. A client
	// that does not give the same is refused.
	Bindings *ChannelBindings
}

// Client gives the initiating side of a stream over conn. It does no I/O.
func Client(conn net.Conn, cfg ClientConfig) *Stream {
	return newStream(conn, func(ctx context.Context, frames Carrier) (Context, error) {
		switch {
		case cfg.Mechanism == nil:
			return nil, errors.New("gss: ClientConfig.Mechanism is nil")
		case cfg.Target.IsZero():
			return nil, errors.New("gss: ClientConfig.Target is no name")
		}
		return Initiate(ctx, frames, cfg.Mechanism, Request{
			Target:   cfg.Target,
			Flags:    DefaultFlags | cfg.Flags,
			Bindings: cfg.Bindings,
		})
	}, DefaultFlags)
}

// Server gives the accepting side of a stream over conn. It does no I/O.
func Server(conn net.Conn, cfg ServerConfig) *Stream {
	required := DefaultFlags
	if cfg.Bindings != nil {
		required |= ChannelBound
	}
	return newStream(conn, func(ctx context.Context, frames Carrier) (Context, error) {
		if cfg.Mechanism == nil {
			return nil, errors.New("gss: ServerConfig.Mechanism is nil")
		}
		return Accept(ctx, frames, cfg.Mechanism, cfg.Bindings)
	}, required)
}

func newStream(conn net.Conn, establish func(context.Context, Carrier) (Context, error), required Flags) *Stream {
	s := &Stream{conn: conn, wire: wire{Conn: conn}}
	s.life, s.end = context.WithCancelCause(context.Background())
	s.out.fill = s.wrapRecord
	var err error
	s.frames, err = token.Config{Version: token.V2, MaxLength: maxStreamToken}.NewConn(&s.wire)
	if err != nil {
		panic(err) // the values are right
	}
	s.handshake = func(ctx context.Context) (Context, error) {
		sec, err := establish(ctx, streamCarrier{s.frames})
		if err != nil {
			return nil, err
		}
		if err := checkStreamContext(sec, required); err != nil {
			sec.Delete()
			return nil, err
		}
		return sec, nil
	}
	return s
}

// ConnectionState tells about the context: who the peer is, which mechanism,
// what it delegated. It is the zero Info until the handshake is done, and stays
// what it is when the Stream is closed.
func (s *Stream) ConnectionState() Info {
	if info := s.established.Load(); info != nil {
		return *info
	}
	return Info{}
}

// NetConn gives the connection below. Reading from it or writing to it breaks
// the stream.
func (s *Stream) NetConn() net.Conn { return s.conn }

// LocalAddr is the local address of the connection below.
func (s *Stream) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr is the peer's address of the connection below.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// SetDeadline sets the deadline of reads, writes and the handshake; the zero
// time means none.
func (s *Stream) SetDeadline(t time.Time) error {
	s.out.deadline.set(t)
	return s.conn.SetDeadline(t)
}

// SetReadDeadline sets the deadline of reads. The handshake reads, too, even
// when a Write starts it.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.conn.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of writes. The handshake writes, too, even
// when a Read starts it.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.out.deadline.set(t)
	return s.conn.SetWriteDeadline(t)
}

// Close ends the stream and closes the connection below. Where the handshake is
// done and no Write is under way, the peer is first told, for five seconds at
// most, that the stream ends here; an error of that is returned, unless the
// peer had ended its own side and may be gone. A call under way fails. The
// context is deleted.
func (s *Stream) Close() error {
	if s.closed.Swap(true) {
		return net.ErrClosed
	}
	s.end(net.ErrClosed)
	endErr := s.closeOutput()
	err := s.conn.Close()
	if s.established.Load() != nil {
		s.sec.Delete()
	}
	if err == nil {
		err = endErr
	}
	return err
}

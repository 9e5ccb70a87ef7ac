package dtls

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
	"github.com/pion/transport/v5/packetio"
)

const (
	// maxQueued bounds, in bytes, what waits until a peer's session reads it.
	// What does not fit is lost, as on a congested way.
	maxQueued = 64 << 10

	// maxHandshakeBytes bounds what a handshake, and its messages ever after, may
	// make pion/dtls keep, which by itself stops at two million bytes. It is room
	// for dozens of repetitions.
	maxHandshakeBytes = 16 << 10

	// maxOpened bounds the records kept to be shown beside their text.
	maxOpened = 16
)

var (
	errReplaced = errors.New("the client came back from the same address and began anew")
	errWrongKey = errors.New("the pre-shared key is wrong")
)

// A peer is what pion/dtls has for a socket: a net.PacketConn of one address.
// It plays pion/dtls's own cookie exchange with it, for the client's is over by
// then, and tells it of the client's hello with the cookie that it wants:
//
//	client                 router, peer                      pion/dtls
//	  hello, seq 0      ─→
//	  HelloVerifyRequest ←─ cookie A
//	  hello, seq 1, A   ─→  hello, seq 0                  ─→
//	                        cookie B                      ←─ HelloVerifyRequest
//	                        hello, seq 1, B               ─→
//	  ServerHello, seq 1 ←─────────────────────────────────  ServerHello, seq 1
//
// Neither the first hello nor the request is part of the handshake's hash
// (RFC 6347, section 4.2.1), and [handshakeHash] puts cookie A back into it.
type peer struct {
	router *router
	way    path
	hello  clientHello // its slices are the peer's own
	assoc  *association
	queue  *packetio.Buffer

	established atomic.Bool
	finishing   atomic.Bool // the client's Finished was read, the server's goes out or is out
	muted       atomic.Bool // nothing may be sent any more
	failed      func(error) // ends the handshake

	// Of the router's goroutine.
	received int // bytes of the handshake
	tooLong  tally
	garbage  tally

	// Of the goroutine that writes for pion/dtls, of which there is one at a
	// time, but for nextSeq.
	given   atomic.Pointer[[]byte] // cookie B, when it is known
	nextSeq atomic.Uint64          // of records in epoch 0

	mu       sync.Mutex
	opened   []openedRecord
	theirEnd alert.Description // of the fatal alert that the peer sent
	gotAlert bool
}

type openedRecord struct{ sealed, text []byte }

func (r *router) newPeer(way path, h *clientHello, s *suite) *peer {
	p := &peer{router: r, way: way, queue: packetio.NewBuffer()}
	p.queue.SetLimitSize(maxQueued)
	p.hello, _ = readHello(appendMessage(nil, version12, h.recordSeq, messageClientHello, h.messageSeq, h.message[messageHeader:])) // was read before
	p.assoc = &association{suite: s, transcript: new(transcript), keepSealed: r.cfg.wantsDatagrams(), opened: p.recordOpened}
	p.nextSeq.Store(h.recordSeq)
	p.enqueue(p.hello.record(h.recordSeq-1, 0, nil, standIn))
	return p
}

// began says whether it was with this hello that the peer's handshake began.
func (p *peer) began(h *clientHello) bool { return bytes.Equal(p.hello.message, h.message) }

// retransmitted gives pion/dtls the hello again, so that it answers again.
func (p *peer) retransmitted(h *clientHello) {
	if cookie := p.given.Load(); cookie != nil && !p.established.Load() && p.admit(len(h.message)) {
		p.enqueue(p.hello.record(h.recordSeq, 1, *cookie, standIn))
	}
}

// receive takes a datagram, record by record: a peer's keys do not vouch for
// what is in epoch 0, which is of no use when the handshake is over.
func (p *peer) receive(datagram []byte) {
	for len(datagram) > 0 {
		record, rest, ok := nextRecord(datagram)
		if !ok {
			p.router.warn(&p.garbage, p.way.remote, "no DTLS record in a datagram, could be a re-connect attempt?")
			return
		}
		datagram = rest
		switch {
		case len(record) > maxRecord:
			p.router.warn(&p.tooLong, p.way.remote, fmt.Sprintf("a record of %d bytes dropped: more than %d cannot be read", len(record), maxRecord))
		case p.takes(record):
			p.enqueue(record)
		}
	}
}

// takes says whether a record is of use. When the handshake is over, one in epoch 0
// is of none, and one of a handshake can only be the client's last again: where it
// begins something new, pion/dtls keeps it for as long as the session lasts.
func (p *peer) takes(record []byte) bool {
	if p.established.Load() {
		if recordEpoch(record) == 0 {
			return false
		}
		if record[0] != typeHandshake {
			return true
		}
	}
	return p.admit(len(record))
}

func (p *peer) admit(n int) bool {
	p.received += n
	return p.received <= maxHandshakeBytes
}

// enqueue hands a record to pion/dtls; a full queue drops it.
func (p *peer) enqueue(record []byte) { _, _ = p.queue.Write(record, nil) }

// replace ends the session without a word: the client has forgotten it.
func (p *peer) replace() {
	p.muted.Store(true)
	p.failed(errReplaced)
}

// recordOpened is told of every encrypted record, and whether it could be
// decrypted, before pion/dtls handles it.
func (p *peer) recordOpened(typ byte, sealed, record []byte) {
	switch {
	case record == nil:
		// The first that is encrypted is the client's Finished. Without a
		// fitting key nothing can follow. Who forges one has to guess the
		// address, the port and the moment, and wins that the client begins
		// anew.
		if typ == typeHandshake && !p.established.Load() {
			p.failed(errWrongKey)
		}
	case typ == typeHandshake:
		p.finishing.Store(true)
	case typ == typeAlert && len(record) == recordHeader+2 && alert.Level(record[recordHeader]) == alert.Fatal:
		p.mu.Lock()
		p.theirEnd, p.gotAlert = alert.Description(record[recordHeader+1]), true
		p.mu.Unlock()
	case typ == typeApplication && sealed != nil:
		p.mu.Lock()
		if len(p.opened) == maxOpened {
			p.opened = append(p.opened[:0], p.opened[1:]...)
		}
		p.opened = append(p.opened, openedRecord{sealed, bytes.Clone(record[recordHeader:])})
		p.mu.Unlock()
	}
}

// ciphertext gives the record in which a text came, nil if it is not kept any
// more. Records before it were not read.
func (p *peer) ciphertext(text []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, o := range p.opened {
		if bytes.Equal(o.text, text) {
			p.opened = append(p.opened[:0], p.opened[i+1:]...)
			return o.sealed
		}
	}
	return nil
}

// remoteAlert is the fatal alert that the peer sent, if it did.
func (p *peer) remoteAlert() (alert.Description, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.theirEnd, p.gotAlert
}

// alert sends an alert in the clear, which the peer takes until it has keys.
func (p *peer) alert(level alert.Level, description alert.Description) {
	if !p.muted.Load() {
		p.router.send(plainAlert(p.nextSeq.Add(1)-1, byte(level), byte(description)), p.way)
	}
}

// ReadFrom gives pion/dtls the next record.
func (p *peer) ReadFrom(b []byte) (int, net.Addr, error) {
	n, _, err := p.queue.Read(b, nil)
	return n, net.UDPAddrFromAddrPort(p.way.remote), err
}

// WriteTo takes a datagram of pion/dtls. What it says about its cookie stays
// here. Records in epoch 0 are numbered on from the client's hello, as if the
// exchange had been one (RFC 6347, section 4.2.1): with numbers that the router
// used before, the client would take them for repetitions.
func (p *peer) WriteTo(datagram []byte, _ net.Addr) (int, error) {
	out := make([]byte, 0, len(datagram))
	for rest := datagram; len(rest) > 0; {
		record, after, ok := nextRecord(rest)
		if !ok {
			return 0, errors.New("dtls: not a record")
		}
		rest = after
		if recordEpoch(record) == 0 {
			if cookie, ok := verifyRequest(record); ok {
				p.introduce(cookie)
				continue
			}
			seq := p.nextSeq.Add(1) - 1
			out = appendRecordHeader(out, record[0], version12, seq, len(record)-recordHeader)
			record = record[recordHeader:]
		}
		out = append(out, record...)
	}
	if len(out) > 0 && !p.muted.Load() {
		if _, err := p.router.sock.send(out, p.way); err != nil {
			return 0, err
		}
	}
	return len(datagram), nil
}

// verifyRequest gives the cookie of a HelloVerifyRequest.
func verifyRequest(record []byte) (cookie []byte, ok bool) {
	const start = recordHeader + messageHeader + 3 // version(2), length(1)
	if len(record) < start || record[0] != typeHandshake || record[recordHeader] != messageHelloVerifyRequest {
		return nil, false
	}
	return record[start:], true
}

// introduce gives pion/dtls the client's hello with the cookie that it wants.
func (p *peer) introduce(cookie []byte) {
	cookie = bytes.Clone(cookie)
	record := p.hello.record(p.hello.recordSeq, 1, cookie, standIn)
	// The hash is asked for when pion/dtls has read the record.
	*p.assoc.transcript = transcript{given: record[recordHeader:], sent: p.hello.message}
	p.given.Store(&cookie)
	p.enqueue(record)
}

// Close ends what pion/dtls reads, and the routing.
func (p *peer) Close() error {
	p.router.forget(p)
	return p.queue.Close()
}

// LocalAddr is the address that the peer writes to, or the socket's where that
// is not known.
func (p *peer) LocalAddr() net.Addr {
	bound := p.router.sock.LocalAddr()
	u, ok := bound.(*net.UDPAddr)
	if !ok || !p.way.local.IsValid() {
		return bound
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.way.local, uint16(u.Port)))
}

// SetDeadline sets the deadline of reading.
func (p *peer) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetReadDeadline sets the deadline of reading.
func (p *peer) SetReadDeadline(t time.Time) error { return p.queue.SetReadDeadline(t) }

// SetWriteDeadline does nothing: sending a datagram does not wait.
func (p *peer) SetWriteDeadline(time.Time) error { return nil }

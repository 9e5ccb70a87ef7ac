package dtls

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
	"github.com/sirupsen/logrus"
)

// socket is the part of a *net.UDPConn that is used.
type socket interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
	LocalAddr() net.Addr
	Close() error
}

const (
	maxDatagram = 65535

	// acceptBacklog is how many peers can wait for a session, which takes no
	// more than starting a goroutine.
	acceptBacklog = 128

	// A failed read can be the work of anybody, through the network's answers
	// to what was sent. After so many in a row the router waits before it tries
	// again, so that it does not take the processor from others.
	freeFailures = 8
	minBackOff   = 5 * time.Millisecond
	maxBackOff   = time.Second
)

// A router reads the socket and gives every datagram to its peer, or a hello
// to the verifier. For the engine it is a listener, whose connections are peers
// that have shown a cookie.
type router struct {
	cfg     *Config
	sock    socket
	now     func() time.Time
	pending handshakes

	accepted chan net.Conn
	deaf     chan struct{} // closed when new peers are ignored
	deafen   sync.Once
	done     chan struct{} // closed when nothing is read any more

	mu    sync.Mutex
	peers map[netip.AddrPort]*peer

	// Of the reading goroutine.
	jar     *cookieJar
	reply   []byte
	refused map[int]*tally // by limit
	empty   tally
	failed  tally
}

func newRouter(cfg *Config, sock socket) *router {
	return &router{
		cfg:      cfg,
		sock:     sock,
		now:      time.Now,
		pending:  handshakes{max: cfg.MaxHandshakes, maxPerPrefix: cfg.MaxPerPrefix},
		accepted: make(chan net.Conn, acceptBacklog),
		deaf:     make(chan struct{}),
		done:     make(chan struct{}),
		peers:    make(map[netip.AddrPort]*peer),
		jar:      newCookieJar(time.Now()),
		refused:  make(map[int]*tally),
	}
}

// run reads until the socket is closed.
func (r *router) run() {
	defer close(r.done)
	buf := make([]byte, maxDatagram)
	failures := 0
	for {
		n, from, err := r.sock.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			r.warn(&r.failed, netip.AddrPort{}, "failed to read a datagram: "+err.Error())
			if failures++; failures > freeFailures {
				time.Sleep(min(minBackOff<<min(failures-freeFailures-1, 8), maxBackOff))
			}
			continue
		}
		failures = 0
		r.route(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
	}
}

// route handles one datagram.
func (r *router) route(datagram []byte, from netip.AddrPort) {
	if !from.IsValid() || from.Port() == 0 {
		r.warn(&r.failed, netip.AddrPort{}, "failed to extract peer info (address, port)")
		return
	}
	if len(datagram) == 0 {
		r.warn(&r.empty, from, emptyDatagram)
		return
	}
	r.mu.Lock()
	p := r.peers[from]
	r.mu.Unlock()
	if isHello(datagram) {
		r.hello(datagram, from, p)
	} else if p != nil {
		p.receive(datagram)
	}
}

const emptyDatagram = "0 byte datagram, could be a re-connect attempt?"

// hello answers a hello without a good cookie by one and forgets it (RFC 6347,
// section 4.2.1). With a good one it makes a peer, in place of p, if there is
// one: a client that comes back from the same port (section 4.2.8).
func (r *router) hello(datagram []byte, from netip.AddrPort, p *peer) {
	h, err := readHello(datagram)
	if err != nil {
		return // whoever sent it, no answer is due to an address that anybody can write
	}
	now := r.now()
	if !r.jar.valid(now, from, &h) {
		if p == nil && r.isDeaf() {
			return
		}
		r.reply = helloVerifyRequest(r.reply[:0], &h, r.jar.cookie(now, from, &h))
		r.send(r.reply, from)
		return
	}
	if p != nil && p.began(&h) {
		p.retransmitted(&h)
		return
	}
	if r.isDeaf() {
		return
	}
	chosen, description, why := negotiate(&h)
	if chosen == nil {
		r.cfg.note(Event{Kind: Error, Peer: from, Text: "handshake refused: " + why})
		r.send(plainAlert(h.recordSeq, byte(alert.Fatal), byte(description)), from)
		return
	}
	if limit, ok := r.pending.begin(from.Addr()); !ok {
		r.refuse(limit, from)
		return
	}
	c, err := r.newConn(from, &h, chosen)
	if err != nil {
		r.pending.end(from.Addr())
		r.cfg.note(Event{Kind: Error, Peer: from, Text: err.Error()})
		return
	}
	if p != nil {
		p.replace()
	}
	r.mu.Lock()
	r.peers[from] = c.peer
	r.mu.Unlock()
	select {
	case r.accepted <- c:
		r.cfg.note(Event{Kind: Info, Peer: from, Text: "verified: the peer answered from its address; handshake in progress"})
	default:
		_ = c.Close()
		r.refuse(acceptBacklog, from)
	}
}

// negotiate gives the suite for a handshake, or the alert for the peer and
// why there is none.
func negotiate(h *clientHello) (*suite, alert.Description, string) {
	// DTLS versions count down.
	if h.version > version12 {
		return nil, alert.ProtocolVersion, "the client does not speak DTLS 1.2"
	}
	// The messages before this hello are counted in it, and pion/dtls counts
	// one of each side.
	if h.messageSeq != 1 || h.recordSeq == 0 {
		return nil, alert.HandshakeFailure, "the cookie came too late, the client has to begin anew"
	}
	s := chooseSuite(h)
	if s == nil {
		return nil, alert.HandshakeFailure, "the client offers no suite with a pre-shared key and authenticated encryption"
	}
	return s, 0, ""
}

// refuse drops a hello for want of room. The client sends it again.
func (r *router) refuse(limit int, from netip.AddrPort) {
	t := r.refused[limit]
	if t == nil {
		t = new(tally)
		r.refused[limit] = t
	}
	n := t.add(r.now())
	if n == 0 {
		return
	}
	r.cfg.tell(Event{Kind: Warning, Peer: from, Text: fmt.Sprintf("too many handshakes, refused: %d, limit %d", n, limit)})
	if r.cfg.Log != nil { // in the engine's words
		r.cfg.Log.WithFields(logrus.Fields{"limit": limit, "refused": n, "peer": from.String()}).Warn("too many handshakes, refused")
	}
}

// warn reports an oddity, once a second at most for each tally.
func (r *router) warn(t *tally, from netip.AddrPort, text string) {
	n := t.add(r.now())
	if n == 0 {
		return
	}
	if n > 1 {
		text = fmt.Sprintf("%s (%d times)", text, n)
	}
	r.cfg.note(Event{Kind: Warning, Peer: from, Text: text})
}

// send writes a datagram. One that is lost here is as one lost on the way.
func (r *router) send(datagram []byte, to netip.AddrPort) {
	_, _ = r.sock.WriteToUDPAddrPort(datagram, to)
}

// forget ends the routing to a peer.
func (r *router) forget(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.peers[p.addr] == p {
		delete(r.peers, p.addr)
	}
}

func (r *router) isDeaf() bool {
	select {
	case <-r.deaf:
		return true
	default:
		return false
	}
}

// Accept gives the next peer that has shown a cookie.
func (r *router) Accept() (net.Conn, error) {
	select {
	case c := <-r.accepted:
		return c, nil
	case <-r.deaf:
		return nil, net.ErrClosed
	}
}

// Close makes the router ignore new peers. Those that are known keep theirs.
func (r *router) Close() error {
	r.deafen.Do(func() { close(r.deaf) })
	for {
		select {
		case c := <-r.accepted:
			_ = c.Close()
		default:
			return nil
		}
	}
}

// Addr is the socket's address.
func (r *router) Addr() net.Addr { return r.sock.LocalAddr() }

// shut closes the socket and waits until nothing is read any more.
func (r *router) shut() {
	_ = r.Close()
	_ = r.sock.Close()
	<-r.done
	_ = r.Close() // who came in between
}

// addrPort is a UDP address as the router has it.
func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

package dtls

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
	"github.com/sirupsen/logrus"
)

const (
	maxDatagram = 65535

	// A failed read can be the work of anybody, through the network's answers
	// to what was sent. After so many in a row the router waits before it tries
	// again, so that it does not take the processor from others.
	freeFailures = 8
	minBackOff   = 5 * time.Millisecond
	maxBackOff   = time.Second
)

// A router reads a listener's socket and gives every datagram to its peer, or a
// hello to the verifier. It goes on until it is deaf, which means that new peers
// are ignored, and the last connection is closed.
type router struct {
	cfg      *Config
	pending  *handshakes
	sock     socket
	accepted chan<- *conn  // the listener's
	done     chan struct{} // closed when nothing is read any more

	mu    sync.Mutex
	peers map[path]*conn
	open  int // connections that are not closed, those of peers that are forgotten included
	deaf  bool

	// Of the reading goroutine.
	jar     *cookieJar
	reply   []byte
	refused map[string]*tally // by reason, which is one of ours
	empty   tally
	failed  tally
}

func newRouter(l *Listener, sock socket) *router {
	return &router{
		cfg:      &l.transport.cfg,
		pending:  &l.transport.pending,
		sock:     sock,
		accepted: l.accepted,
		done:     make(chan struct{}),
		peers:    make(map[path]*conn),
		jar:      newCookieJar(time.Now()),
		refused:  make(map[string]*tally),
	}
}

// run reads until the socket is closed.
func (r *router) run() {
	defer r.finish()
	buf := make([]byte, maxDatagram)
	failures := 0
	for {
		n, way, err := r.sock.receive(buf)
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
		r.route(buf[:n], way)
	}
}

// route handles one datagram.
func (r *router) route(datagram []byte, way path) {
	from := way.remote
	if !from.IsValid() || from.Port() == 0 {
		r.warn(&r.failed, netip.AddrPort{}, "failed to extract peer info (address, port)")
		return
	}
	if len(datagram) == 0 {
		r.warn(&r.empty, from, emptyDatagram)
		return
	}
	r.mu.Lock()
	c, deaf := r.peers[way], r.deaf
	r.mu.Unlock()
	if isHello(datagram) {
		r.hello(datagram, way, c, deaf)
	} else if c != nil {
		c.receive(datagram)
	}
}

const emptyDatagram = "0 byte datagram, could be a re-connect attempt?"

// hello answers a hello without a good cookie by one and forgets it (RFC 6347,
// section 4.2.1). With a good one it makes a connection, in place of old, if
// there is one: a client that comes back from the same port (section 4.2.8).
func (r *router) hello(datagram []byte, way path, old *conn, deaf bool) {
	from := way.remote
	if deaf && old == nil {
		return
	}
	h, err := readHello(datagram)
	if err != nil {
		return // whoever sent it, no answer is due to an address that anybody can write
	}
	now := time.Now()
	if !r.jar.valid(now, from, &h) {
		r.reply = helloVerifyRequest(r.reply[:0], &h, r.jar.cookie(now, from, &h))
		r.send(r.reply, way)
		return
	}
	if old != nil && old.began(&h) {
		old.retransmitted(&h)
		return
	}
	if deaf {
		return
	}
	chosen, description, why := negotiate(&h)
	if chosen == nil {
		r.report(r.refusals(why), Error, from, "handshake refused: "+why)
		r.send(plainAlert(h.recordSeq, byte(alert.Fatal), byte(description)), way)
		return
	}
	c, err := r.newConn(way, &h, chosen)
	if err != nil {
		r.report(r.refusals("internal"), Error, from, err.Error())
		return
	}
	r.makeRoom(c, old)
	if !r.admit(c) {
		c.muted.Store(true) // an alert would end a handshake that has only to wait
		_ = c.Close()
		if !r.isDeaf() {
			r.tooMany(acceptBacklog, from)
		}
		return
	}
	if old != nil {
		old.replace()
	}
	r.cfg.note(Event{Kind: Info, Peer: from, Text: "verified: the peer answered from its address; handshake in progress"})
}

// makeRoom counts a connection's handshake, in the place of another where there
// are too many. old is the connection that c replaces, if there is one.
func (r *router) makeRoom(c, old *conn) {
	r.mu.Lock()
	r.open++ // until it is closed, admitted or not
	r.mu.Unlock()
	gone, limit := r.pending.begin(c.way.remote.Addr(), &c.place)
	if gone == nil {
		return
	}
	if old != nil && gone == &old.place {
		old.muted.Store(true) // the client would take the last word for that of c
	}
	gone.displaced()
	n := r.refusals(fmt.Sprint("displaced, limit ", limit)).add(time.Now())
	if n == 0 {
		return
	}
	const what = "too many handshakes, closed the oldest"
	r.cfg.tell(Event{Kind: Warning, Text: fmt.Sprintf("%s of %v: %d, limit %d", what, gone.of.prefix, n, limit)})
	if r.cfg.Log != nil {
		r.cfg.Log.WithFields(logrus.Fields{"limit": limit, "closed": n, "prefix": gone.of.prefix.String()}).Warn(what)
	}
}

// admit gives a connection to the listener. It says whether there was room.
func (r *router) admit(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deaf || !c.evictLater() {
		return false
	}
	select {
	case r.accepted <- c:
		r.peers[c.way] = c
		return true
	default:
		return false
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

// refusals is the tally of a reason.
func (r *router) refusals(why string) *tally {
	t := r.refused[why]
	if t == nil {
		t = new(tally)
		r.refused[why] = t
	}
	return t
}

// tooMany drops a hello for want of room. The client sends it again.
func (r *router) tooMany(limit int, from netip.AddrPort) {
	n := r.refusals(fmt.Sprint("limit ", limit)).add(time.Now())
	if n == 0 {
		return
	}
	r.cfg.tell(Event{Kind: Warning, Peer: from, Text: fmt.Sprintf("too many handshakes, refused: %d, limit %d", n, limit)})
	if r.cfg.Log != nil { // in the engine's words
		r.cfg.Log.WithFields(logrus.Fields{"limit": limit, "refused": n, "peer": from.String()}).Warn("too many handshakes, refused")
	}
}

// warn reports an oddity, as report does.
func (r *router) warn(seen *tally, from netip.AddrPort, text string) {
	r.report(seen, Warning, from, text)
}

// report tells of what anybody can cause any number of times, once a second at
// most for each tally.
func (r *router) report(seen *tally, kind Kind, from netip.AddrPort, text string) {
	n := seen.add(time.Now())
	if n == 0 {
		return
	}
	if n > 1 {
		text = fmt.Sprintf("%s (%d times)", text, n)
	}
	r.cfg.note(Event{Kind: kind, Peer: from, Text: text})
}

// send writes a datagram. One that is lost here is as one lost on the way.
func (r *router) send(datagram []byte, way path) {
	_, _ = r.sock.send(datagram, way)
}

// forget ends the routing to a peer.
func (r *router) forget(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.peers[p.way]; c != nil && c.peer == p {
		delete(r.peers, p.way)
	}
}

// release takes one connection off those that are open.
func (r *router) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	r.closeUnused()
}

// deafen makes the router ignore new peers. Those that are known keep theirs.
func (r *router) deafen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deaf = true
	r.closeUnused()
}

func (r *router) isDeaf() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.deaf
}

// closeUnused closes the socket when there is nobody left to use it. r.mu is held.
func (r *router) closeUnused() {
	if r.deaf && r.open == 0 {
		_ = r.sock.Close()
	}
}

// finish tells that the address is free. Reading ends a moment before that: who
// closes the socket has r.mu until it is closed.
func (r *router) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.done)
}

// known gives the connections of the peers that are routed to.
func (r *router) known() []*conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.peers))
}

// interrupt ends the reading of all connections.
func (r *router) interrupt() {
	for _, c := range r.known() {
		c.leave()
	}
}

// abandon closes all connections, and the socket whatever they do.
func (r *router) abandon() {
	for _, c := range r.known() {
		_ = c.Close()
	}
	_ = r.sock.Close()
}

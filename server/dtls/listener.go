package dtls

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// A Listener gives the connections of peers that have shown a cookie. It listens
// on one address at a time, and can be moved to another while its connections
// are being accepted. Its methods may be called by many goroutines.
//
// The connections have the HandshakeContext, LogFields and CloseWithError that a
// [server.Listener] asks for. Their first read or write makes the handshake, if
// nobody has yet. A read gives one message, for which there has to be room; a
// write of up to [MaxMessage] bytes sends one. Empty messages are neither given
// nor sent.
type Listener struct {
	transport *Transport
	accepted  chan *conn
	ended     chan struct{} // closed by Close
	end       sync.Once

	switching sync.Mutex // held by Listen and Shutdown, which take their time

	mu     sync.Mutex
	asked  string   // the address as it was given to Listen
	router *router  // nil: it does not listen
	last   net.Addr // of the router that there was last
}

const (
	// acceptBacklog is how many peers can wait to be accepted, which takes the
	// engine no more than starting a goroutine.
	acceptBacklog = 128

	// socketBuffer is what the system is asked to keep for the router, in bytes:
	// half a second of 10,000 hellos a second.
	socketBuffer = 1 << 20
)

func (t *Transport) newListener() *Listener {
	return &Listener{transport: t, accepted: make(chan *conn, acceptBacklog), ended: make(chan struct{})}
}

// Listen returns a listener on the UDP address "host:port"; an empty host is
// every interface's, port 0 one that is free.
func (t *Transport) Listen(address string) (*Listener, error) {
	l := t.newListener()
	if err := l.Listen(address); err != nil {
		return nil, err
	}
	return l, nil
}

// Listen moves to the address. When it is the one that is listened on already
// nothing happens; otherwise that is shut down first, as by Shutdown, and when
// the other cannot be listened on, the listener listens nowhere. After Close it
// fails with [net.ErrClosed].
func (l *Listener) Listen(address string) error {
	l.switching.Lock()
	defer l.switching.Unlock()
	if l.serves(address) {
		return nil
	}
	l.shutDown()
	resolved, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return fmt.Errorf("dtls: %w", err)
	}
	sock, err := net.ListenUDP("udp", resolved)
	if err != nil {
		return fmt.Errorf("dtls: %w", err)
	}
	// A burst of hellos must not cost the datagrams of others. The system may
	// allow less.
	_ = sock.SetReadBuffer(socketBuffer)
	return l.serve(address, newUDPSocket(sock))
}

// serve starts a router on the socket. The caller holds l.switching.
func (l *Listener) serve(address string, sock socket) error {
	r := newRouter(l, sock)
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.ended:
		_ = sock.Close()
		return fmt.Errorf("dtls: %w", net.ErrClosed)
	default:
	}
	l.asked, l.router, l.last = address, r, sock.LocalAddr()
	go r.run()
	return nil
}

// serves says whether the address is the one that is listened on.
func (l *Listener) serves(address string) bool {
	l.mu.Lock()
	r, asked := l.router, l.asked
	l.mu.Unlock()
	if r == nil {
		return false
	}
	if address == asked {
		return true
	}
	resolved, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return false
	}
	bound, ok := r.sock.LocalAddr().(*net.UDPAddr)
	if !ok || resolved.Port != bound.Port || resolved.Zone != bound.Zone {
		return false
	}
	return resolved.IP.Equal(bound.IP) || len(resolved.IP) == 0 && bound.IP.IsUnspecified()
}

// Listening says whether the listener listens: since Listen, and until Shutdown
// or Close.
func (l *Listener) Listening() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.router != nil
}

// Addr is the address that the listener listens on, or did last.
func (l *Listener) Addr() net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Accept gives the next peer that has shown a cookie, at whatever address the
// listener listens then. After Close it fails with [net.ErrClosed].
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.ended:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

// Shutdown stops listening: new peers are ignored, reads of the connections give
// [server.ErrShutdown], and their writes go on for the grace time, so that
// messages being answered get their answer. It returns when the last of them is
// closed, which tells the peer, and the address is free. Listen can be called
// again.
func (l *Listener) Shutdown() {
	l.switching.Lock()
	defer l.switching.Unlock()
	l.shutDown()
}

// shutDown is Shutdown, with l.switching held.
func (l *Listener) shutDown() {
	r := l.leave()
	if r == nil {
		return
	}
	r.interrupt()
	grace := time.NewTimer(l.transport.cfg.Grace)
	defer grace.Stop()
	select {
	case <-r.done:
	case <-grace.C:
		r.abandon()
		<-r.done
	}
}

// Close makes the listener ignore new peers, for good. Accepted connections go
// on, and keep the address until the last of them is closed.
func (l *Listener) Close() error {
	l.end.Do(func() { close(l.ended) })
	l.leave()
	return nil
}

// leave makes the router deaf, closes the connections that nobody has accepted,
// and gives the router, nil if there is none.
func (l *Listener) leave() *router {
	l.mu.Lock()
	r := l.router
	l.router = nil
	l.mu.Unlock()
	if r != nil {
		r.deafen()
	}
	for {
		select {
		case c := <-l.accepted:
			_ = c.Close() // it has only begun
		default:
			return r
		}
	}
}

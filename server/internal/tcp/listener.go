package tcp

import (
	"net"
	"sync"
)

// lonelyEnough is how many connections in a row have found no other one open when
// the next is served as the only one. Going over costs some twenty system calls.
const lonelyEnough = 16

// A Listener accepts [Conn]s. One goroutine at a time accepts.
type Listener struct {
	addr net.Addr

	mu     sync.Mutex
	tcp    *net.TCPListener // nil while it is outside of the runtime's poller
	open   int              // connections that are not closed
	lonely int              // connections in a row that found none open
	closed bool
	solitude
}

// NewListener takes the listener over. Until a connection is the only one both are
// the runtime's as they are elsewhere. Connections accepted outside of its poller
// have what they inherit from the listener's socket of keep-alive, and not what a
// net.ListenConfig says.
func NewListener(tcp *net.TCPListener) *Listener {
	return &Listener{addr: tcp.Addr(), tcp: tcp, lonely: lonelyEnough - 1}
}

// Addr is the listener's address.
func (l *Listener) Addr() net.Addr { return l.addr }

// Accept waits for the next connection, as net.Listener has it.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	tcp, err := l.poller()
	if err != nil || tcp == nil {
		defer l.mu.Unlock()
		if err != nil {
			return nil, l.explain(err)
		}
		c, err := l.acceptAlone()
		if err != nil {
			return nil, l.explain(err)
		}
		l.arrived()
		return c, nil
	}
	l.mu.Unlock()
	accepted, err := tcp.AcceptTCP()
	if err != nil {
		return nil, err
	}
	c := newConn(l, accepted)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrived()
	return c, nil
}

// Close closes the listener; Accept fails from then on. Connections stay.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.explain(net.ErrClosed)
	}
	l.closed = true
	l.closeAlone()
	if l.tcp != nil {
		return l.tcp.Close()
	}
	return nil
}

// arrived counts a connection. The mutex is held.
func (l *Listener) arrived() {
	if l.lonely++; l.open > 0 {
		l.lonely = 0
	}
	l.open++
}

// left counts one that is closed.
func (l *Listener) left() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

func (l *Listener) explain(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: err}
}

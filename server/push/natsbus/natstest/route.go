package natstest

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// A route is where one node connects to another: a forwarder in the test.
type route struct {
	from, to int
	l        net.Listener

	mu    sync.Mutex
	port  int // of the node that it leads to
	down  bool
	conns map[net.Conn]struct{}
}

func newRoute(t testing.TB, from, to int) *route {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &route{from: from, to: to, l: l, conns: map[net.Conn]struct{}{}}
	go r.accept()
	t.Cleanup(func() {
		l.Close()
		r.cut(true)
	})
	return r
}

func (r *route) address() string { return r.l.Addr().String() }

// lead says at which port the node is.
func (r *route) lead(port int) {
	r.mu.Lock()
	r.port = port
	r.mu.Unlock()
}

// cut ends the connections that there are, and those that come at once, or no longer.
func (r *route) cut(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
	if down {
		for conn := range r.conns {
			conn.Close()
		}
	}
}

func (r *route) isCut() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.down
}

func (r *route) accept() {
	for {
		conn, err := r.l.Accept()
		if err != nil {
			return
		}
		go r.forward(conn)
	}
}

func (r *route) forward(near net.Conn) {
	defer near.Close()
	r.mu.Lock()
	port := r.port
	r.mu.Unlock()
	far, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return
	}
	defer far.Close()
	defer r.forget(near, far)
	if !r.keep(near, far) {
		return
	}
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			io.Copy(pair[0], pair[1])
			done <- struct{}{}
		}()
	}
	<-done
}

func (r *route) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		r.conns[conn] = struct{}{}
	}
	return !r.down
}

func (r *route) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		delete(r.conns, conn)
	}
}

package tcp

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// errCrowd says that a connection which was alone is the runtime's poller's now.
var errCrowd = errors.New("tcp: not alone any more")

// A Conn is a connection of a [Listener]. It is a net.Conn and may be used as one:
// by many goroutines at once, unless it is alone, when one goroutine reads and
// writes.
type Conn struct {
	l      *Listener
	remote net.Addr
	tcp    atomic.Pointer[net.TCPConn] // nil while the connection is alone

	mu    sync.Mutex // of the deadlines
	read  deadline
	write deadline

	closing sync.Once // for what the listener counts
	alone             // of Listener.mu
}

// newConn is a connection that the runtime's poller has.
func newConn(l *Listener, tcp *net.TCPConn) *Conn {
	c := &Conn{l: l, remote: tcp.RemoteAddr()}
	c.adopt(tcp)
	return c
}

// adopt leaves the connection to the runtime's poller, with its deadlines.
func (c *Conn) adopt(tcp *net.TCPConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.arm, c.write.arm = tcp.SetReadDeadline, tcp.SetWriteDeadline
	for _, d := range []*deadline{&c.read, &c.write} {
		d.armed = time.Time{}
		if !d.due.IsZero() {
			_ = d.rearm() // of a connection that is closed: whatever follows says so
		}
	}
	c.tcp.Store(tcp)
}

// Read reads as net.Conn has it.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		tcp := c.tcp.Load()
		if tcp == nil {
			n, err := c.readAlone(p)
			if err == errCrowd {
				continue
			}
			return n, c.explain("read", err)
		}
		n, err := tcp.Read(p)
		if n == 0 && c.early(&c.read, err) {
			continue
		}
		return n, err
	}
}

// Write writes as net.Conn has it.
func (c *Conn) Write(p []byte) (int, error) {
	for written := 0; ; {
		tcp := c.tcp.Load()
		if tcp == nil {
			n, err := c.writeAlone(p[written:])
			written += n
			if err == errCrowd {
				continue
			}
			return written, c.explain("write", err)
		}
		n, err := tcp.Write(p[written:])
		written += n
		if c.early(&c.write, err) {
			continue
		}
		return written, err
	}
}

// early reports whether err says that a deadline has passed which has not, and
// sets the timer anew then.
func (c *Conn) early(d *deadline, err error) bool {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !d.passed() && d.rearm() == nil
}

// SetDeadline sets the time after which reads and writes fail; the zero time is none.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.read, &c.write) }

// SetReadDeadline is SetDeadline for reads.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.read) }

// SetWriteDeadline is SetDeadline for writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.write) }

func (c *Conn) setDeadlines(t time.Time, of ...*deadline) error {
	c.mu.Lock()
	var err error
	for _, d := range of {
		err = errors.Join(err, d.set(t))
	}
	alone := c.read.arm == nil
	c.mu.Unlock()
	if alone {
		c.interrupt()
	}
	return err
}

// Close closes the connection. Reads and writes under way fail.
func (c *Conn) Close() error {
	c.closing.Do(c.l.left)
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.Close()
	}
	return c.closeAlone()
}

// CloseWrite tells the peer that nothing more comes.
func (c *Conn) CloseWrite() error {
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.CloseWrite()
	}
	return c.explain("close", c.closeWriteAlone())
}

// LocalAddr is the connection's own address.
func (c *Conn) LocalAddr() net.Addr {
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.LocalAddr()
	}
	return c.localAlone()
}

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// explain gives errors of a connection that is alone the form of package net's.
func (c *Conn) explain(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.remote, Err: err}
}

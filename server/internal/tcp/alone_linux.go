package tcp

import (
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A connection that has read so often is likely to read again soon. Its
	// goroutine then just reads, for so long at a time, which costs less than to wait
	// for the listener, too; so others are looked after now and then only.
	briskAfter = 8
	soon       = 5 * time.Millisecond
	lookAfter  = 2 * time.Millisecond
)

// places counts the connections that are alone, of all listeners. They must be
// fewer than the runtime's processors.
var places atomic.Int32

func takePlace() bool {
	if int(places.Add(1)) < runtime.GOMAXPROCS(0) {
		return true
	}
	givePlace()
	return false
}

func givePlace() { places.Add(-1) }

// alone is what a connection has while it is outside of the runtime's poller. It
// is the listener's mutex's.
type alone struct {
	fd     int    // closed by who waits for it, if anybody does
	events uint32 // that a wait ends at; 0 until the first
	reads  int
	brisk  bool // reads and writes may wait, until soon
	closed bool
}

// Alone says that this goroutine serves the connection and nobody accepts
// meanwhile. If the connection is the only one, and has been in that for a while,
// end is not nil; from then on only the goroutine reads, writes and closes writing.
//
// When it is not alone any more, or may not be, crowd is called, by any goroutine:
// somebody else has to accept. crowd must not wait, nor use the connection or the
// listener.
//
// end is called when the connection is closed. It reports whether crowd was not
// called, which it is not afterwards.
func (c *Conn) Alone(crowd func()) (end func() (alone bool)) {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.open != 1 || l.lonely < lonelyEnough || !takePlace() {
		return nil
	}
	if l.leavePoller() != nil || c.leavePoller() != nil {
		givePlace()
		return nil // Accept finds the connection open, and lets the poller have the listener
	}
	l.conn, l.crowd = c, crowd
	c.events, c.reads, c.brisk = 0, 0, false
	l.knocked = false
	l.attend()
	return l.end
}

// duplicate gives a descriptor of its own for what the runtime's poller has.
func duplicate(of syscall.Conn) (fd int, err error) {
	raw, err := of.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := raw.Control(func(s uintptr) {
		fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0)
	})
	if cerr != nil {
		return -1, cerr
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// leavePoller takes the connection away from the runtime's poller. The mutex of
// the listener is held.
func (c *Conn) leavePoller() error {
	tcp := c.tcp.Load()
	if tcp == nil {
		return nil
	}
	fd, err := duplicate(tcp)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fd = fd
	c.read.arm, c.write.arm = nil, nil
	c.tcp.Store(nil)
	_ = tcp.Close() // it has another descriptor
	return nil
}

// joinPoller gives it back, in the same goroutine. If there are no descriptors for
// that the connection is closed.
func (c *Conn) joinPoller() error {
	if c.events != 0 && c.l.made {
		_ = c.l.expect(unix.EPOLL_CTL_DEL, c.fd, 0) // it is there
	}
	file := os.NewFile(uintptr(c.fd), "")
	conn, err := net.FileConn(file)
	_ = file.Close() // conn has one of its own
	if err != nil {
		c.closed = true
		return err
	}
	c.adopt(conn.(*net.TCPConn))
	return errCrowd
}

// expect has waits end at these events of the connection.
func (c *Conn) expect(events uint32) error {
	change := unix.EPOLL_CTL_MOD
	switch c.events {
	case events:
		return nil
	case 0:
		change = unix.EPOLL_CTL_ADD
	}
	c.events = events
	return os.NewSyscallError("epoll_ctl", c.l.expect(change, c.fd, events))
}

func (c *Conn) due(d *deadline) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return d.due
}

func (c *Conn) readAlone(p []byte) (int, error) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	for {
		n, err := c.readSoon(p)
		if err == unix.EAGAIN {
			if err := c.l.wait(c, unix.EPOLLIN, &c.read); err != nil {
				return 0, err
			}
			n, err = unix.Read(c.fd, p)
		}
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err != nil:
			if errno, ok := err.(unix.Errno); ok {
				err = os.NewSyscallError("read", errno)
			}
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			if c.reads++; c.reads == briskAfter {
				c.beBrisk()
			}
			return n, nil
		}
	}
}

// readSoon reads what comes soon. Its error is EAGAIN if nothing does, or if it is
// time to look after the listener, too.
func (c *Conn) readSoon(p []byte) (int, error) {
	if !c.brisk {
		return 0, unix.EAGAIN
	}
	l := c.l
	if err := l.mayWait(c); err != nil {
		return 0, err
	}
	now := time.Now()
	if due := c.due(&c.read); now.Sub(l.looked) >= lookAfter || !due.IsZero() && due.Sub(now) <= soon {
		return 0, unix.EAGAIN
	}
	l.beginWait()
	n, err := unix.Read(c.fd, p)
	if err := l.endWait(c); err != nil {
		return 0, err
	}
	return n, err
}

// beBrisk has reads and writes wait, until soon.
func (c *Conn) beBrisk() {
	limit := unix.NsecToTimeval(int64(soon))
	c.brisk = unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit) == nil &&
		unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit) == nil &&
		unix.SetNonblock(c.fd, false) == nil
}

func (c *Conn) writeAlone(p []byte) (written int, err error) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if err := c.l.mayWait(c); err != nil {
		return 0, err
	}
	if due := c.due(&c.write); !due.IsZero() && time.Until(due) <= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	for {
		n, err := unix.Write(c.fd, p[written:])
		if n > 0 {
			written += n
		}
		switch {
		case err == unix.EAGAIN:
			if err := c.l.wait(c, unix.EPOLLOUT, &c.write); err != nil {
				return written, err
			}
		case err != nil && err != unix.EINTR:
			return written, os.NewSyscallError("write", err)
		case written == len(p):
			return written, nil
		}
	}
}

// interrupt has the connection's goroutine see what another one did.
func (c *Conn) interrupt() {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.l.conn == c {
		c.l.interrupt()
	}
}

func (c *Conn) closeAlone() error {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.Close()
	}
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if l.waiting && l.conn == c {
		l.interrupt()
		return nil
	}
	return os.NewSyscallError("close", unix.Close(c.fd))
}

// Share ends that the connection is alone: from now on many goroutines use it.
// Its goroutine calls it.
func (c *Conn) Share() {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.tcp.Load() != nil || c.closed {
		return
	}
	if c.l.conn == c {
		c.l.beCrowd()
	}
	_ = c.joinPoller() // whatever follows says so
}

func (c *Conn) closeWriteAlone() error {
	return c.control(func(fd int) error { return os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_WR)) })
}

func (c *Conn) quickACKAlone() {
	_ = c.control(func(fd int) error { quickACK(uintptr(fd)); return nil }) // only slower without
}

func (c *Conn) localAlone() (addr net.Addr) {
	_ = c.control(func(fd int) error {
		local, err := syscall.Getsockname(fd)
		if err == nil {
			addr = address(local)
		}
		return err
	}) // nil of one that is closed
	return addr
}

// control does something with the descriptor of a connection that is alone.
func (c *Conn) control(do func(fd int) error) error {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return do(c.fd)
}

func address(of syscall.Sockaddr) net.Addr {
	switch a := of.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *syscall.SockaddrInet6:
		addr := &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
		if a.ZoneId != 0 {
			addr.Zone = zone(int(a.ZoneId))
		}
		return addr
	}
	return nil
}

// zone is an interface's name, or its number if it has none.
func zone(index int) string {
	if i, err := net.InterfaceByIndex(index); err == nil {
		return i.Name
	}
	return strconv.Itoa(index)
}

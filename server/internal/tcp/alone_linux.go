package tcp

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// patience is for how long a connection's goroutine may do something else
	// than wait while nobody accepts.
	patience = 25 * time.Millisecond

	// The runtime takes a goroutine that was not rescheduled for ten milliseconds
	// for one that computes, and sends signals and wakes threads to stop it. Half
	// of that after the last time one that waits here lets others run.
	yieldAfter = 5 * time.Millisecond

	// A connection that has read so often is likely to read again soon. Its
	// goroutine then just reads, for so long at a time, which costs less than to wait
	// for the listener, too; so others are looked after now and then only.
	briskAfter = 8
	soon       = 5 * time.Millisecond
	lookAfter  = 2 * time.Millisecond
)

// alone is what a connection has while it is outside of the runtime's poller. It
// is the listener's mutex's.
type alone struct {
	fd     int    // closed by who waits for it, if anybody does
	events uint32 // that a wait ends at; 0 until the first
	reads  int
	brisk  bool // reads and writes may wait, until soon
	closed bool
}

// solitude is what a listener has for waiting outside of the runtime's poller.
// The descriptors stay once they are made: a listener goes back and forth.
type solitude struct {
	made    bool
	fd      int // the listener's, nonblocking
	wake    int // an eventfd that ends a wait
	epoll   int // waits for both, and for conn
	waiting bool
	conn    *Conn  // the one that is alone
	crowd   func() // not yet called
	knocked bool   // another connection came while this one had something to say
	yielded time.Time
	looked  time.Time // after the listener

	events [3]unix.EpollEvent // of the wait, which is one at a time

	turns    int // waits begun
	watch    *time.Timer
	watching bool // watch runs
	watched  int  // turns when it was set
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
	if l.closed || l.open != 1 || l.lonely < lonelyEnough || runtime.GOMAXPROCS(0) == 1 {
		return nil
	}
	if l.tcp != nil {
		if l.make() != nil {
			return nil
		}
		_ = l.tcp.Close() // the descriptor of its own listens on
		l.tcp = nil
	}
	if tcp := c.tcp.Load(); tcp != nil && c.leavePoller(tcp) != nil {
		return nil // Accept finds the connection open, and lets the poller have the listener
	}
	l.conn, l.crowd = c, crowd
	c.events, c.reads, c.brisk = 0, 0, false
	l.knocked = false
	l.attend()
	return l.end
}

func (l *Listener) end() (alone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	alone = l.crowd != nil
	l.conn, l.crowd = nil, nil
	return alone
}

// make makes the descriptors.
func (l *Listener) make() (err error) {
	if l.made {
		return nil
	}
	if l.fd, err = duplicate(l.tcp); err != nil {
		return err
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(l.fd)
		return err
	}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
		err = errors.Join(l.expect(unix.EPOLL_CTL_ADD, l.fd, unix.EPOLLIN), l.expect(unix.EPOLL_CTL_ADD, l.wake, unix.EPOLLIN))
	}
	if err != nil {
		l.closeDescriptors()
		return err
	}
	l.made = true
	return nil
}

// expect has waits end at the descriptor's events.
func (l *Listener) expect(change, fd int, events uint32) error {
	return unix.EpollCtl(l.epoll, change, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (l *Listener) closeDescriptors() {
	for _, fd := range []int{l.fd, l.wake, l.epoll} {
		_ = unix.Close(fd) // nothing is unsent
	}
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
func (c *Conn) leavePoller(tcp *net.TCPConn) error {
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

// poller gives the listener as the runtime's poller has it, nil when it is to be
// waited for outside of it. The mutex is held.
func (l *Listener) poller() (*net.TCPListener, error) {
	if l.closed {
		return nil, net.ErrClosed
	}
	if l.tcp != nil || l.lonely >= lonelyEnough && l.open == 0 {
		return l.tcp, nil
	}
	fd, err := unix.FcntlInt(uintptr(l.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "")
	defer file.Close() // tcp has one of its own
	tcp, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	l.tcp = tcp.(*net.TCPListener)
	return l.tcp, nil
}

// acceptAlone waits for a connection outside of the runtime's poller. The mutex is
// held, but not while it waits.
func (l *Listener) acceptAlone() (*Conn, error) {
	for {
		if err := l.wait(nil, 0, nil); err != nil {
			return nil, err
		}
		fd, from, err := syscall.Accept4(l.fd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		switch err {
		case nil:
		case syscall.EAGAIN, syscall.EINTR, syscall.ECONNABORTED:
			continue // that one is gone
		default:
			return nil, os.NewSyscallError("accept4", err)
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // only slower without
		return &Conn{l: l, remote: address(from), alone: alone{fd: fd}}, nil
	}
}

// wait waits until the connection is ready, or without one until the listener is.
// The mutex is held, but not meanwhile.
func (l *Listener) wait(c *Conn, events uint32, d *deadline) error {
	for {
		if err := l.mayWait(c); err != nil {
			return err
		}
		now := time.Now()
		if now.Sub(l.yielded) >= yieldAfter {
			l.yielded = now
			l.mu.Unlock()
			runtime.Gosched()
			l.mu.Lock()
			continue
		}
		timeout := -1
		if c != nil {
			if err := c.expect(events); err != nil {
				return err
			}
			if due := c.due(d); !due.IsZero() {
				left := due.Sub(now)
				if left <= 0 {
					return os.ErrDeadlineExceeded
				}
				timeout = int(min(left, time.Hour)/time.Millisecond) + 1
			}
		}
		l.looked = now
		l.beginWait()
		n, err := unix.EpollWait(l.epoll, l.events[:], timeout)
		if err := l.endWait(c); err != nil {
			return err
		}
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("epoll_wait", err)
		}
		var ready, knocks, woken bool
		for _, e := range l.events[:n] {
			switch int(e.Fd) {
			case l.fd:
				knocks = true
			case l.wake:
				woken = true
			default:
				ready = true
			}
		}
		if woken && l.made {
			var count [8]byte
			_, _ = unix.Read(l.wake, count[:]) // there is one
		}
		if c == nil {
			if knocks {
				return l.mayWait(nil)
			}
			continue
		}
		// Whoever ends one connection and begins another at once is still alone: what
		// this one has to say comes first, but only once.
		if woken || knocks && (l.knocked || !ready) {
			l.beCrowd()
			continue
		}
		if l.knocked = knocks; ready {
			return l.mayWait(c)
		}
	}
}

// beginWait unlocks the mutex for a system call that waits.
func (l *Listener) beginWait() {
	l.turns++
	l.waiting = true
	l.mu.Unlock()
}

// endWait locks it again, and does what others left to who waited.
func (l *Listener) endWait(c *Conn) error {
	l.mu.Lock()
	l.waiting = false
	if l.closed {
		l.closeAlone()
	}
	if c == nil {
		return nil
	}
	l.attend()
	if c.closed {
		_ = unix.Close(c.fd) // nobody asks any more
		return net.ErrClosed
	}
	return nil
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

// mayWait reports why the goroutine may not wait, or go on after it has: the
// listener or the connection is closed, or the connection the poller's.
func (l *Listener) mayWait(c *Conn) error {
	switch {
	case c == nil && l.closed:
		return net.ErrClosed
	case c == nil:
		return nil
	case c.closed:
		return net.ErrClosed
	case l.conn != c || l.closed:
		return c.joinPoller()
	}
	return nil
}

// interrupt ends a wait, if there is one. The mutex is held.
func (l *Listener) interrupt() {
	if l.waiting {
		_, _ = unix.Write(l.wake, []byte{0, 0, 0, 0, 0, 0, 0, 1}) // does not fail before 2^64 of them
	}
}

// closeAlone closes the descriptors, or has who waits for them do it.
func (l *Listener) closeAlone() {
	if !l.made {
		return
	}
	if l.waiting {
		l.interrupt()
		return
	}
	l.made = false
	l.closeDescriptors()
}

// beCrowd has somebody else accept, and the connection be the poller's.
func (l *Listener) beCrowd() {
	l.lonely = 0
	l.conn = nil
	if crowd := l.crowd; crowd != nil {
		l.crowd = nil
		crowd()
	}
}

// attend sees to it that look is called as long as the connection's goroutine does
// something else than wait.
func (l *Listener) attend() {
	if l.watching {
		return
	}
	l.watching, l.watched = true, l.turns
	if l.watch == nil {
		l.watch = time.AfterFunc(patience, l.look)
	} else {
		l.watch.Reset(patience)
	}
}

func (l *Listener) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watching = false
	switch {
	case l.waiting || l.conn == nil:
	case l.turns == l.watched:
		l.beCrowd()
	default:
		l.attend()
	}
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

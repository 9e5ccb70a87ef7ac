package tcp

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"runtime"
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
)

// one is what is written to an eventfd.
var one = binary.NativeEndian.AppendUint64(nil, 1)

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

func (l *Listener) end() (alone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	alone = l.crowd != nil
	l.crowd = nil
	l.depart()
	return alone
}

// leavePoller takes the listener away from the runtime's poller.
func (l *Listener) leavePoller() error {
	if l.tcp == nil {
		return nil
	}
	if !l.made {
		if err := l.make(); err != nil {
			return err
		}
	}
	_ = l.tcp.Close() // fd listens on
	l.tcp = nil
	return nil
}

// make makes the descriptors.
func (l *Listener) make() (err error) {
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
		_, _ = unix.Write(l.wake, one) // fails only when it was written already, very often
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

// depart forgets the connection that is alone, if there is one.
func (l *Listener) depart() {
	if l.conn != nil {
		l.conn = nil
		givePlace()
	}
}

// beCrowd has somebody else accept, and the connection be the poller's.
func (l *Listener) beCrowd() {
	l.lonely = 0
	l.depart()
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

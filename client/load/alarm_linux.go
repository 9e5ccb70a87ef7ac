package load

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An alarm wakes a worker at a time, to some ten microseconds: a timer of the
// kernel's, since Go's are up to a millisecond late and then go off together.
type alarm struct {
	file *os.File
	raw  syscall.RawConn
	buf  [8]byte
}

// newAlarm makes an alarm that over's closing ends; nil where the system has no
// more descriptors.
func newAlarm(over <-chan struct{}) *alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil
	}
	a := &alarm{file: os.NewFile(uintptr(fd), "timer")}
	if a.raw, err = a.file.SyscallConn(); err != nil {
		a.file.Close()
		return nil
	}
	go func() {
		<-over
		a.file.Close() // a wait that is under way ends
	}()
	return a
}

// wait waits for d, more than 0; false if the alarm was ended before.
func (a *alarm) wait(d time.Duration) bool {
	var failed error
	err := a.raw.Control(func(fd uintptr) {
		failed = unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
	})
	if err == nil && failed == nil {
		_, err = a.file.Read(a.buf[:])
	}
	return err == nil && failed == nil
}

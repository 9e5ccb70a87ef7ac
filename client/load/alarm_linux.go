package load

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// newAlarm makes an alarm of a timer of the kernel's, which is late by some ten
// microseconds; of Go's where the system has no more descriptors.
func newAlarm(over <-chan struct{}) alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return newTimer(over)
	}
	file := os.NewFile(uintptr(fd), "timer")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return newTimer(over)
	}
	go func() {
		<-over
		file.Close() // a wait that is under way ends
	}()
	return func(until time.Time) bool {
		for {
			d := time.Until(until)
			if d <= 0 {
				return true
			}
			set := false
			var failed error
			err := raw.Read(func(fd uintptr) bool {
				if set {
					return true // it went off; setting it again does what reading it would
				}
				set = true
				failed = unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
				return failed != nil
			})
			if err != nil || failed != nil {
				return false
			}
		}
	}
}

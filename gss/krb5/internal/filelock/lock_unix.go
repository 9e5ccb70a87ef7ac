//go:build unix

package filelock

import (
	"errors"
	"syscall"
)

func kind(exclusive bool) int16 {
	if exclusive {
		return syscall.F_WRLCK
	}
	return syscall.F_RDLCK
}

// setLock gives errBusy where another's lock is in the way.
func setLock(fd uintptr, command int, kind int16) error {
	for {
		l := syscall.Flock_t{Type: kind}
		switch err := syscall.FcntlFlock(fd, command, &l); {
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
			return errBusy
		case !errors.Is(err, syscall.EINTR):
			return err
		}
	}
}

func lockedBy(fd uintptr, command int, kind int16) int {
	l := syscall.Flock_t{Type: kind}
	if err := syscall.FcntlFlock(fd, command, &l); err != nil || l.Type == syscall.F_UNLCK {
		return 0
	}
	return int(l.Pid)
}

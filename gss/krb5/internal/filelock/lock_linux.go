package filelock

import (
	"os"
	"syscall"
)

// F_OFD_GETLK and F_OFD_SETLK, the same numbers on every architecture of Linux; package syscall does not have them.
const (
	ofdGetLock = 36
	ofdSetLock = 37
)

func try(f *os.File, exclusive bool) (func(), error) {
	fd := f.Fd()
	if err := setLock(fd, ofdSetLock, kind(exclusive)); err != nil {
		return nil, err
	}
	return func() { _ = setLock(fd, ofdSetLock, syscall.F_UNLCK) }, nil
}

// holder is the number of a process whose lock is in the way; 0 where that is not known. An open file description's lock is
// no process's.
func holder(f *os.File, exclusive bool) int { return lockedBy(f.Fd(), ofdGetLock, kind(exclusive)) }

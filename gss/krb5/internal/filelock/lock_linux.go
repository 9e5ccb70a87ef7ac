package filelock

import (
	"errors"
	"os"
	"syscall"
)

// ofdSetLockWait is F_OFD_SETLKW, the same number on every architecture of Linux; package syscall does not have it.
const ofdSetLockWait = 38

func lock(f *os.File, exclusive bool) (func(), error) {
	kind := int16(syscall.F_RDLCK)
	if exclusive {
		kind = syscall.F_WRLCK
	}
	fd := f.Fd()
	if err := setLock(fd, kind); err != nil {
		return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return func() { _ = setLock(fd, syscall.F_UNLCK) }, nil
}

func setLock(fd uintptr, kind int16) error {
	for {
		l := syscall.Flock_t{Type: kind}
		err := syscall.FcntlFlock(fd, ofdSetLockWait, &l)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

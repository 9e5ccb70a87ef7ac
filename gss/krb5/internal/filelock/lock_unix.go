//go:build unix && !linux

package filelock

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// process excludes the goroutines of this process from each other: a POSIX lock does not, and is lost when any descriptor of
// the file is closed.
var process sync.RWMutex

func lock(f *os.File, exclusive bool) (func(), error) {
	kind, release := int16(syscall.F_RDLCK), process.RUnlock
	if exclusive {
		kind, release = syscall.F_WRLCK, process.Unlock
		process.Lock()
	} else {
		process.RLock()
	}
	fd := f.Fd()
	if err := setLock(fd, kind); err != nil {
		release()
		return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return func() {
		_ = setLock(fd, syscall.F_UNLCK)
		release()
	}, nil
}

func setLock(fd uintptr, kind int16) error {
	for {
		l := syscall.Flock_t{Type: kind}
		err := syscall.FcntlFlock(fd, syscall.F_SETLKW, &l)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

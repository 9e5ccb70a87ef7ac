//go:build unix && !linux

package filelock

import (
	"os"
	"sync"
	"syscall"
)

// process excludes the goroutines of this process from each other: a POSIX lock does not, and is lost when any descriptor of
// the file is closed.
var process sync.RWMutex

func try(f *os.File, exclusive bool) (func(), error) {
	get, release := process.TryRLock, process.RUnlock
	if exclusive {
		get, release = process.TryLock, process.Unlock
	}
	if !get() {
		return nil, errBusy
	}
	fd := f.Fd()
	if err := setLock(fd, syscall.F_SETLK, kind(exclusive)); err != nil {
		release() // or one file's lock would keep all others waiting
		return nil, err
	}
	return func() {
		_ = setLock(fd, syscall.F_SETLK, syscall.F_UNLCK)
		release()
	}, nil
}

// holder is the number of a process whose lock is in the way; 0 where that is not known.
func holder(f *os.File, exclusive bool) int {
	return lockedBy(f.Fd(), syscall.F_GETLK, kind(exclusive))
}

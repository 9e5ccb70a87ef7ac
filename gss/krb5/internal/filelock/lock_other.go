//go:build !unix

package filelock

import (
	"os"
	"sync"
)

var process sync.RWMutex

func try(_ *os.File, exclusive bool) (func(), error) {
	if exclusive {
		if !process.TryLock() {
			return nil, errBusy
		}
		return process.Unlock, nil
	}
	if !process.TryRLock() {
		return nil, errBusy
	}
	return process.RUnlock, nil
}

func holder(*os.File, bool) int { return 0 }

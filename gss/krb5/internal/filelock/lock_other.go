//go:build !unix

package filelock

import (
	"os"
	"sync"
)

var process sync.RWMutex

func lock(_ *os.File, exclusive bool) (func(), error) {
	if exclusive {
		process.Lock()
		return process.Unlock, nil
	}
	process.RLock()
	return process.RUnlock, nil
}

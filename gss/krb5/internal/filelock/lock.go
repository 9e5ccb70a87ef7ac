package filelock

import "os"

// Lock waits for a lock on the whole of f: exclusive, for which f must be open for writing, or shared, for which it must be
// open for reading. The function that it returns releases the lock; call it before f is closed.
func Lock(f *os.File, exclusive bool) (unlock func(), err error) {
	return lock(f, exclusive)
}

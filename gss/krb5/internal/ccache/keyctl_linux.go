package ccache

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// keyID is a key's serial number, or one of the kernel's special ones, which are negative.
type keyID int32

// maxKey bounds a key's payload as the kernel does for big_key, the largest of its types.
const maxKey = 1 << 20

// keyThread takes the functions that onKeyThread runs.
var keyThread = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// onKeyThread runs f on the one thread of this process that deals with keys: the kernel gives each thread keyrings of its own,
// the process keyring included where it was made after the thread was.
func onKeyThread(f func() error) (err error) {
	done := make(chan struct{})
	keyThread() <- func() {
		defer close(done)
		err = f()
	}
	<-done
	return err
}

// A keyctlError says what could not be done with a key.
type keyctlError struct {
	what  string
	errno error
}

func (e *keyctlError) Error() string {
	if errors.Is(e.errno, unix.ENOSYS) || errors.Is(e.errno, unix.EPERM) {
		return fmt.Sprintf("cannot %s a key: %v (containers often have no keyrings)", e.what, e.errno)
	}
	return fmt.Sprintf("cannot %s a key: %v", e.what, e.errno)
}

func (e *keyctlError) Unwrap() error { return e.errno }

// Is takes a key that has expired or was revoked for one that does not exist.
func (e *keyctlError) Is(target error) bool {
	if target != fs.ErrNotExist {
		return false
	}
	return errors.Is(e.errno, unix.ENOKEY) || errors.Is(e.errno, unix.EKEYEXPIRED) || errors.Is(e.errno, unix.EKEYREVOKED)
}

func keyError(what string, err error) error { return &keyctlError{what, err} }

// searchKey finds a key in a keyring or in those below it, and links it to possess unless that is 0.
func searchKey(keyring keyID, kind, name string, possess keyID) (keyID, error) {
	id, err := unix.KeyctlSearch(int(keyring), kind, name, int(possess))
	if err != nil {
		return 0, keyError("find", err)
	}
	return keyID(id), nil
}

func addKey(kind, name string, payload []byte, keyring keyID) (keyID, error) {
	id, err := unix.AddKey(kind, name, payload, int(keyring))
	if err != nil {
		return 0, keyError("add", err)
	}
	return keyID(id), nil
}

// readKey gives a key's payload.
func readKey(id keyID) ([]byte, error) {
	buf := make([]byte, 4096)
	for {
		n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, int(id), buf, 0)
		switch {
		case err != nil:
			return nil, keyError("read", err)
		case n <= len(buf):
			return buf[:n], nil
		case n > maxKey:
			return nil, fmt.Errorf("%w: a key of %d bytes, more than the %d that are read", ErrFormat, n, maxKey)
		}
		buf = make([]byte, n)
	}
}

// setKeyTimeout has the kernel forget a key after left, at the least after a second: 0 would mean never.
func setKeyTimeout(id keyID, left time.Duration) error {
	seconds := int(min(max(left/time.Second, 1), math.MaxInt32))
	if _, err := unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, int(id), seconds, 0, 0); err != nil {
		return keyError("set the end of", err)
	}
	return nil
}

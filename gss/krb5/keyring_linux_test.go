package krb5_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

var keyringSerial atomic.Int32

// keyringCollection names a collection in the session keyring that goes when
// the test ends, or leaves the test out.
func keyringCollection(t *testing.T) string {
	t.Helper()
	session, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err != nil {
		t.Skipf("left out: the kernel lets nobody at its keyrings here: %v", err)
	}
	name := fmt.Sprintf("countersign-%d-%d", os.Getpid(), keyringSerial.Add(1))
	t.Cleanup(func() {
		if id, err := unix.KeyctlSearch(session, "keyring", "_krb_"+name, 0); err == nil {
			_, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, id, session, 0, 0)
		}
	})
	return "KEYRING:session:" + name
}

//go:build unix

package localfile_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/countersign-go/countersign/gss/krb5/internal/localfile"
)

// A pipe that nobody writes to is refused and not waited for.
func TestOpenPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := localfile.Open(path, false); !errors.Is(err, localfile.ErrNotRegular) {
		t.Errorf("named pipe: %v", err)
	}
	if _, err := localfile.Open("/dev/null", false); !errors.Is(err, localfile.ErrNotRegular) {
		t.Errorf("device: %v", err)
	}
}

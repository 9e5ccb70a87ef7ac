//go:build unix

package keytab

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/countersign-go/countersign/gss/krb5/internal/localfile"
)

// What is no regular file is refused at once, neither waited for nor read.
func TestNotRegular(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink("/dev/zero", link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe, link, "/dev/zero"} {
		var e *FileError
		if _, err := Open(t.Context(), "FILE:"+path); !errors.Is(err, localfile.ErrNotRegular) || !errors.As(err, &e) || e.Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
}

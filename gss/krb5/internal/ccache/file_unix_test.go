//go:build unix

package ccache

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
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, collection := range []string{"piped", "endless", "nested"} {
		if err := os.Mkdir(path(collection), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		syscall.Mkfifo(path("tktpipe"), 0o600),
		syscall.Mkfifo(path("piped/primary"), 0o600),
		os.Symlink("/dev/zero", path("tktzero")),
		os.Symlink("/dev/zero", path("endless/primary")),
		os.Mkdir(path("nested/primary"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"FILE:" + path("tktpipe"), "FILE:/dev/zero", "FILE:" + path("tktzero"), "FILE:" + dir,
		"DIR::" + path("tktpipe"), "DIR::" + path("tktzero"),
		"DIR:" + path("piped"), "DIR:" + path("endless"), "DIR:" + path("nested"),
	} {
		s, err := Resolver{}.Open(t.Context(), name)
		if err == nil {
			_, err = s.Load(t.Context())
		}
		var e *Error
		if !errors.Is(err, localfile.ErrNotRegular) || !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

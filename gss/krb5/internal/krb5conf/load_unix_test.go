//go:build unix

package krb5conf

import (
	"path/filepath"
	"syscall"
	"testing"
)

// A named pipe without a writer ends at once: opening it would block for ever.
func TestPipeWithoutWriter(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Load(name)
	if err != nil || len(p.Sections("realms")) != 0 {
		t.Errorf("%v, %v", p, err)
	}
}

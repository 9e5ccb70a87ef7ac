//go:build unix

package psk

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// A named pipe without a writer has no keys: opening it would block for ever.
func TestPipeWithoutWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(path, false); !errors.Is(err, ErrNoKeys) {
		t.Errorf("got %v, want %v", err, ErrNoKeys)
	}
}

//go:build unix

package krb5conf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
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

// A pipe whose writer says nothing is waited for, but not for ever.
func TestPipeWithSilentWriter(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	var fault *Error
	if _, err := readFileWithin(name, time.Millisecond); !errors.As(err, &fault) || !errors.Is(err, os.ErrDeadlineExceeded) || fault.File != name {
		t.Errorf("%v", err)
	}
}

// Devices are refused without reading them; the null device is an empty file.
func TestDevices(t *testing.T) {
	if p, err := Load("/dev/null"); err != nil || p.Empty() {
		t.Errorf("/dev/null: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/dev/zero", link); err != nil {
		t.Fatal(err)
	}
	including := filepath.Join(t.TempDir(), "including")
	write(t, including, "include "+link+"\n")
	for _, name := range []string{"/dev/zero", link, including} {
		if _, err := Load(name); !errors.Is(err, ErrFormat) || !errors.Is(err, errNotFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat("/dev/tty"); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if _, err := Load("/dev/tty"); err == nil { // without a terminal it cannot be opened
		t.Error("/dev/tty was read")
	}
}

package filelock

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A counter in a file, each step a read and a write through a descriptor of its own: without the lock steps would be lost.
func TestLockExcludes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counter")
	if err := os.WriteFile(path, make([]byte, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	step := func() error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		unlock, err := Lock(t.Context(), f, true)
		if err != nil {
			return err
		}
		defer unlock()
		var n [8]byte
		if _, err := f.ReadAt(n[:], 0); err != nil {
			return err
		}
		binary.BigEndian.PutUint64(n[:], binary.BigEndian.Uint64(n[:])+1)
		_, err = f.WriteAt(n[:], 0)
		return err
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if err := step(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.BigEndian.Uint64(data); got != 800 {
		t.Errorf("%d steps of 800", got)
	}
}

// Readers do not exclude each other.
func TestSharedLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		unlock, err := Lock(t.Context(), f, false)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
	}
	closed, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if unlock, err := Lock(t.Context(), closed, true); err == nil {
		unlock()
		t.Skip("left out: no lock of the system's is taken here")
	}
}

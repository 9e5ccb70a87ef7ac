package psk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What the file says counts from Reload on, and the keys that there were stay
// when it says nothing that can be used.
func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write(t, path, "alice "+strong)
	f, warning, err := Open(path, false)
	if err != nil || warning != "" {
		t.Fatalf("warning %q, error %v", warning, err)
	}
	write(t, path, "bob "+strong+"\ncarol "+strong)
	if _, ok := f.Key("bob"); ok {
		t.Error("the file was read before it was asked for")
	}
	if _, err := f.Reload(); err != nil || f.Len() != 2 {
		t.Errorf("%d identities, error %v", f.Len(), err)
	}
	for _, bad := range []string{"", "# none\n\n", "dave", "dave 00"} {
		write(t, path, bad)
		if _, err := f.Reload(); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: error %v, want one that names the file", bad, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Reload(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: error %v", err)
	}
	if key, ok := f.Key("bob"); !ok || len(key) != 16 || f.Len() != 2 {
		t.Errorf("a key of %d bytes, %v, of %d identities", len(key), ok, f.Len())
	}
	if _, ok := f.Key("alice"); ok {
		t.Error("a key that was taken out is still there")
	}
	if out := fmt.Sprintf("%v %+v %#v %s %x", f, f, f, f, f); strings.Contains(out, strong) || !strings.Contains(out, path+": keys of 2 identities") {
		t.Errorf("printed as %s", out)
	}
}

func TestNoKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	for _, empty := range []string{"", "\n", "# alice " + strong} {
		write(t, path, empty)
		if _, _, err := Open(path, false); !errors.Is(err, ErrNoKeys) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: error %v, want one that names the file", empty, err)
		}
	}
}

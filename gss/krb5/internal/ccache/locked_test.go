package ccache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
)

// A cache that another program keeps locked is waited for no longer than the context, and is as it was afterwards.
func TestLockedFile(t *testing.T) {
	dir := t.TempDir()
	cred := credential("a", 18, 2_000_000_000)
	for cacheName, path := range map[string]string{
		"FILE:" + filepath.Join(dir, "cc"): filepath.Join(dir, "cc"),
		"DIR:" + filepath.Join(dir, "d"):   filepath.Join(dir, "d", "tkt"),
	} {
		s := open(t, cacheName)
		if err := s.Replace(t.Context(), &Cache{Default: cred.Client, Credentials: []Credential{cred}}); err != nil {
			t.Fatal(err)
		}
		h, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		unlock, err := filelock.Lock(t.Context(), h, true)
		if err != nil {
			t.Fatal(err)
		}
		over, cancel := context.WithCancelCause(t.Context())
		given := errors.New("the caller gave up")
		cancel(given)
		_, loadErr := s.Load(over)
		_, currentErr := s.Current(over)
		_, removeErr := s.Remove(over, func(*Credential) bool { return true })
		for what, err := range map[string]error{
			"Load": loadErr, "Current": currentErr, "Remove": removeErr, "Append": s.Append(over, cred), "Destroy": s.Destroy(over),
			"SetConfig": s.SetConfig(over, cred.Client, "key", nil),
		} {
			if !errors.Is(err, filelock.ErrLocked) || !errors.Is(err, given) || !strings.Contains(err.Error(), "locked by another program") || !strings.Contains(err.Error(), path) {
				t.Errorf("%s of %s: %v", what, cacheName, err)
			}
		}
		unlock()
		if c, err := s.Load(t.Context()); err != nil || len(c.Credentials) != 1 {
			t.Errorf("%s afterwards: %v, %v", cacheName, c, err)
		}
	}
}

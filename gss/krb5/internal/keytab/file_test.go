package keytab

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
)

// reading opens a keytab and gives its content.
func reading(t *testing.T, name string) (*Keytab, error) {
	f, err := Open(t.Context(), name)
	if err != nil {
		return nil, err
	}
	return f.Current(t.Context())
}

func TestNames(t *testing.T) {
	path, err := filepath.Abs("testdata/ktutil.keytab")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, "FILE:" + path, "WRFILE:" + path, "testdata/ktutil.keytab"} {
		if kt, err := reading(t, name); err != nil || len(kt.Entries) != 3 {
			t.Errorf("Open(%q): %v", name, err)
		}
	}
	if _, err := reading(t, "SRVTAB:/etc/srvtab"); !errors.Is(err, ErrType) || !strings.Contains(err.Error(), `Unknown Key table type "SRVTAB"`) {
		t.Errorf("SRVTAB: %v", err)
	}
	missing := filepath.Join(t.TempDir(), "none")
	_, err = reading(t, "FILE:"+missing)
	var fileError *FileError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &fileError) || err.Error() != "Key table file '"+missing+"' not found" {
		t.Errorf("missing file: %v", err)
	}
	if _, err := reading(t, t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("directory: %v", err)
	}
	denied := &FileError{"/p", &fs.PathError{Op: "open", Path: "/p", Err: fs.ErrPermission}}
	if !errors.Is(denied, fs.ErrPermission) || denied.Error() != "Key table file '/p': permission denied" {
		t.Errorf("permission: %v", denied)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte{5, 2, 1}, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := reading(t, bad); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), bad) {
		t.Errorf("damaged file: %v", err)
	}
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := reading(t, big); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("oversized file: %v", err)
	}
}

func write(t *testing.T, path string, entries ...Entry) {
	t.Helper()
	data, err := (&Keytab{Entries: entries}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFileNoticesChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kt")
	write(t, path, entry("a", 1, 18, 0))
	f, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	current := func() uint32 {
		t.Helper()
		kt, err := f.Current(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return kt.Entries[0].Kvno
	}
	// Same size, and time to the file system's clock: too young to be trusted.
	write(t, path, entry("a", 2, 18, 0))
	if got := current(); got != 2 {
		t.Errorf("after a change at once: kvno %d", got)
	}
	// Once the time is old, an unchanged file is not read again.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	first, err := f.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := f.Current(t.Context()); again != first || err != nil {
		t.Errorf("the unchanged file was read again (%v)", err)
	}
	// Another file of the same size and time in its place.
	other := path + ".new"
	write(t, other, entry("a", 3, 18, 0))
	if err := os.Chtimes(other, old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	if got := current(); got != 3 {
		t.Errorf("after replacement: kvno %d", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Current(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after removal: %v", err)
	}
	write(t, path, entry("a", 4, 18, 0))
	if got := current(); got != 4 {
		t.Errorf("after coming back: kvno %d", got)
	}
}

func TestFileConcurrentUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kt")
	write(t, path, entry("a", 1, 18, 0))
	f, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				kt, err := f.Current(t.Context())
				if err != nil || len(kt.Entries) != 1 {
					t.Errorf("Current: %v", err)
				}
			}
		})
	}
	for i := range uint32(20) {
		write(t, path+".new", entry("a", 2+i, 18, 0))
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

// MIT's klist reads what is written here.
func TestKlistReads(t *testing.T) {
	klist, err := exec.LookPath("klist")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("klist (krb5-user) is missing")
		}
		t.Skip("left out: klist (krb5-user) is missing")
	}
	path := filepath.Join(t.TempDir(), "kt")
	e := entry("host/a.example", 300, 17, 1700000000)
	e.Key = []byte("0123456789abcdef")
	write(t, path, e, entry("alice", 2, 20, 1700000000))
	out, err := exec.Command(klist, "-k", "-e", "-K", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{" 300 host/a.example@R (aes128-cts-hmac-sha1-96)  (0x30313233343536373839616263646566)", "   2 alice@R (aes256-cts-hmac-sha384-192)"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("klist prints no %q:\n%s", want, out)
		}
	}
}

// A keytab that another program keeps locked is waited for no longer than the context.
func TestLockedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kt")
	write(t, path, entry("a", 1, 18, 0))
	h, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	unlock, err := filelock.Lock(t.Context(), h, true)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	over, cancel := context.WithCancelCause(t.Context())
	given := errors.New("the caller gave up")
	cancel(given)
	_, openErr := Open(over, path)
	_, currentErr := (&File{path: path}).Current(over)
	for _, err := range []error{openErr, currentErr} {
		if !errors.Is(err, filelock.ErrLocked) || !errors.Is(err, given) || !strings.Contains(err.Error(), "Key table file '"+path+"': locked by another program") {
			t.Errorf("%v", err)
		}
	}
}

func BenchmarkCurrent(b *testing.B) {
	path := filepath.Join(b.TempDir(), "kt")
	data := recorded(b, "ktadd.keytab")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		b.Fatal(err)
	}
	f, err := Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := f.Current(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

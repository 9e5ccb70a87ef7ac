package localfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/localfile"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, write := range []bool{false, true} {
		f, err := localfile.Open(path, write)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("C"), 0); (err == nil) != write {
			t.Errorf("opened with write %t, writing gives %v", write, err)
		}
		f.Close()
		if _, err := localfile.Open(dir, write); !errors.Is(err, localfile.ErrNotRegular) {
			t.Errorf("directory: %v", err)
		}
		if _, err := localfile.Open(path+"none", write); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing file: %v", err)
		}
	}
}

func TestStamp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	info := func(age, unit time.Duration) fs.FileInfo {
		t.Helper()
		at := time.Now().Add(-age).Truncate(unit)
		if unit < time.Second && at.Nanosecond() == 0 {
			at = at.Add(unit)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if (localfile.Stamp{}).Matches(info(time.Hour, time.Second)) {
		t.Error("the zero stamp matches a file")
	}
	for _, test := range []struct {
		age, unit time.Duration
		settled   bool
	}{
		{-time.Second / 20, time.Millisecond, false}, {time.Second / 2, time.Millisecond, true},
		{time.Second / 2, time.Second, false}, {time.Hour, time.Second, true},
	} {
		i := info(test.age, test.unit)
		if got := localfile.NewStamp(i).Matches(i); got != test.settled {
			t.Errorf("a file %v old, in units of %v, is settled: %t", test.age, test.unit, got)
		}
	}
	old := info(time.Hour, time.Second)
	stamp := localfile.NewStamp(old)
	if stamp.Matches(info(2*time.Hour, time.Second)) {
		t.Error("another modification time was not seen")
	}
	other := path + ".new"
	if err := os.WriteFile(other, []byte("CONTENT"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(other, old.ModTime(), old.ModTime()); err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(other); err != nil || stamp.Matches(i) {
		t.Errorf("another file of the same size and time was taken for it (%v)", err)
	}
}

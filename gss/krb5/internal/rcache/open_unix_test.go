//go:build unix

package rcache

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What is no regular file is refused at once and left as it is, by a path of one's
// own as by the default one, which follows no link either.
func TestNotRegular(t *testing.T) {
	dir := t.TempDir()
	pipe, link, nested := filepath.Join(dir, "pipe"), filepath.Join(dir, "link"), filepath.Join(dir, "nested")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink("/dev/zero", link), os.Mkdir(nested, 0o700)); err != nil {
		t.Fatal(err)
	}
	for path, why := range map[string]string{pipe: "not a regular file", link: "not a regular file", "/dev/zero": "not a regular file", nested: "is a directory"} {
		if c, err := OpenFile2(path, Config{}); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", path, c, err)
		}
		c, err := openFile2(path, true, Config{})
		if path == link {
			why = syscall.ELOOP.Error()
		}
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("default cache %s: %v, %v", path, c, err)
		}
	}
}

// A cache in whose place something else is put while it is open refuses tags.
func TestReplacedByPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rcache")
	c, err := OpenFile2(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := c.Store([]byte("0123456789ab"), time.Now()); err == nil || errors.Is(err, ErrReplay) || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v", err)
	}
}

package ccache

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
)

// MIT's klist waits for our lock: it is started on an empty file, which it could not read, and sees what is written before the
// lock is given up.
func TestKlistWaitsForLock(t *testing.T) {
	klist := mit(t, "klist")
	path := filepath.Join(t.TempDir(), "cc")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := filelock.Lock(t.Context(), f, true)
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprintf(":%d 0 EOF", info.Sys().(*syscall.Stat_t).Ino)
	if locks, err := os.ReadFile("/proc/locks"); err != nil || !strings.Contains(string(locks), inode) {
		t.Skipf("left out: /proc/locks does not show our lock (%v)", err)
	}
	var out strings.Builder
	cmd := exec.CommandContext(t.Context(), klist, path)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for tick := time.Tick(time.Millisecond); ; {
		select {
		case err := <-ended:
			t.Fatalf("klist did not wait: %v: %s", err, &out)
		case <-tick:
		}
		if waits(t, inode) {
			break
		}
	}
	data, err := (&Cache{Default: name("R", "alice"), Credentials: []Credential{credential("a", 18, 2_000_000_000)}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := <-ended; err != nil || !strings.Contains(out.String(), "host/a@R") {
		t.Errorf("klist after the lock: %v: %s", err, &out)
	}
}

// waits says whether somebody waits for a lock on the file of that inode.
func waits(t *testing.T, inode string) bool {
	t.Helper()
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(locks)) {
		if strings.Contains(line, "->") && strings.Contains(line, inode) {
			return true
		}
	}
	return false
}

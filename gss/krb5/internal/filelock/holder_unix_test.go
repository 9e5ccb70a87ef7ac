//go:build unix

package filelock

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// holdEnv makes this test's program one that takes a POSIX lock on the file named by it, as MIT's library does where it has no
// other, and keeps it until its input ends.
const holdEnv = "FILELOCK_TEST_HOLD"

func TestMain(m *testing.M) {
	path := os.Getenv(holdEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = setLock(f.Fd(), syscall.F_SETLK, syscall.F_WRLCK)
	}
	fmt.Println("locked:", err)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// The error names the process that has the lock, for the administrator to look at.
func TestHolder(t *testing.T) {
	f, _ := twice(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), holdEnv+"="+f.Name())
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "locked: <nil>\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Lock(ctx, f, true)
	if whose := fmt.Sprintf("locked by another program (process %d)", child.Process.Pid); !errors.Is(err, ErrLocked) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), whose) {
		t.Errorf("%v, want %s", err, whose)
	}
	stdin.Close()
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	unlock, err := Lock(ctx, f, true)
	if err != nil {
		t.Fatalf("after the child's end: %v", err)
	}
	unlock()
}

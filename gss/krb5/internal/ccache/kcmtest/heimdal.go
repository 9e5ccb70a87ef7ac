package kcmtest

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
)

// heimdalSocket is where Heimdal's kcm listens, whatever its option --socket-path says.
const heimdalSocket = "/var/run/.heim_org.h5l.kcm-socket"

// StartHeimdal runs Heimdal's kcm until the test ends, and gives its socket's path. There can be one on a machine: a test of
// another process is waited for. Where the daemon is not installed (Debian's package heimdal-kcm), where its socket cannot be
// made and where somebody else's daemon runs, the test is left out.
func StartHeimdal(t testing.TB) (socket string) {
	t.Helper()
	program, err := exec.LookPath("kcm")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/kcm")
	}
	if err != nil {
		t.Skip("left out: Heimdal's kcm is not installed")
	}
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "countersign-kcmtest.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	unlock, err := filelock.Lock(t.Context(), lock, true)
	for errors.Is(err, filelock.ErrLocked) && t.Context().Err() == nil { // another package's tests take their time
		unlock, err = filelock.Lock(t.Context(), lock, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
	if conn, err := net.Dial("unix", heimdalSocket); err == nil {
		conn.Close()
		t.Skip("left out: the machine has a KCM daemon already")
	}
	os.Remove(heimdalSocket) // one that nobody listens at would answer for the new one
	cmd := exec.Command(program, "--config-file=/dev/null")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
		os.Remove(heimdalSocket)
	})
	giveUp := time.After(30 * time.Second)
	for tick := time.Tick(5 * time.Millisecond); ; {
		if conn, err := net.Dial("unix", heimdalSocket); err == nil {
			conn.Close()
			return heimdalSocket
		}
		select {
		case <-tick:
		case err := <-exited:
			exited <- err
			t.Skipf("left out: Heimdal's kcm cannot run here: %v", err)
		case <-giveUp:
			t.Fatal("Heimdal's kcm does not listen")
		}
	}
}

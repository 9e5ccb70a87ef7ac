package main

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
)

// Idle connections with a context are cheap: 10,000 fit into 200 MB.
func TestIdleMemory(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("the race detector's memory is not the program's")
	}
	const conns, limit = 10000, 200 << 20
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur < conns+100 {
		t.Skipf("left out: %d descriptors at most, %v", files.Cur, err)
	}
	realm := newRealm(t)
	alice := realm.alice(t)
	p := start(t, realm.env(), "--max-connections", fmt.Sprint(conns), "host@localhost")
	for range conns {
		s := establish(t, alice, p.address)
		s.sign(t, strings.Repeat("x", 1024))
		if err := s.conn.(*net.TCPConn).SetLinger(0); err != nil { // no port is held after the test
			t.Fatal(err)
		}
	}
	status := read(t, fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	var kb int
	for line := range strings.Lines(status) {
		if strings.HasPrefix(line, "VmRSS:") {
			if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d MB for %d idle connections", kb>>10, conns)
	if kb == 0 || kb<<10 > limit {
		t.Errorf("%d kB for %d idle connections, want at most %d", kb, conns, limit>>10)
	}
}

package mitrealm

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// sbin is where Debian keeps daemons and administration programs, which an
// unprivileged user's PATH does not name.
var sbin = []string{"/usr/local/sbin", "/usr/sbin", "/sbin"}

// Need skips the test, saying "left out: PROGRAM is not installed", when one of
// the programs is neither in PATH nor in a system sbin directory. With the
// environment's CI=true it fails the test instead: there everything has to run.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if find(name) != "" {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("left out: %s is not installed", name)
		}
		t.Skipf("left out: %s is not installed", name)
	}
}

// find gives the path of a program, or "" when it is not installed.
func find(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range sbin {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gss-testkdc": main})
}

// TestScript runs what ends by itself: help, and every way to fail.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true})
}

// TestServe runs the command as a process, does what it says on standard
// output, has MIT's programs use the realm, and stops it by each signal.
func TestServe(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "it's a realm")
			cmd := exec.CommandContext(t.Context(), "gss-testkdc", "--realm", "EXAMPLE.TEST", "--dir", dir,
				"--principal", "alice=secret", "--service", "host/localhost", "--service", "http/localhost", "--ccache", "alice")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var exports []string
			lines := bufio.NewScanner(stdout)
			for lines.Scan() && lines.Text() != "ready" {
				exports = append(exports, lines.Text())
			}
			if lines.Text() != "ready" {
				cmd.Wait()
				t.Fatalf("ended without being ready: %s", &stderr)
			}
			checkFiles(t, dir)
			t.Run("MIT", func(t *testing.T) { useRealm(t, exports) })

			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if lines.Scan() {
				t.Errorf("printed %q after ready", lines.Text())
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("after %v: %v\n%s", sig, err, &stderr)
			}
			if !strings.Contains(stderr.String(), "for development only") {
				t.Error("did not say that it is for development only")
			}
			if strings.Contains(stderr.String(), "secret") {
				t.Error("printed a password")
			}
		})
	}
}

// TestPortTaken says what to do about a port that another program has.
func TestPortTaken(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"--dir", t.TempDir(), "--listen", other.Addr().String()}, &stdout, &stderr)
	if code != exitFailure || stdout.Len() != 0 {
		t.Errorf("exit code %d, printed %q", code, &stdout)
	}
	for _, want := range []string{"gss-testkdc: starting the realm: ", "address already in use", "hint: another program has the port"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is missing from %q", want, &stderr)
		}
	}
}

// TestReport shows requests on standard error, and none with --quiet.
func TestReport(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		ctx, stop := context.WithCancel(t.Context())
		out, in := io.Pipe()
		var stderr bytes.Buffer
		code := make(chan int, 1)
		args := []string{"--dir", t.TempDir(), "--service", "host/localhost"}
		if quiet {
			args = append(args, "--quiet")
		}
		go func() { code <- run(ctx, args, in, &stderr) }()
		var conf string
		for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
			if path, ok := strings.CutPrefix(lines.Text(), "export KRB5_CONFIG="); ok {
				conf = strings.Trim(path, "'")
			}
		}
		content, err := os.ReadFile(conf)
		if err != nil {
			t.Fatal(err)
		}
		_, addr, _ := strings.Cut(string(content), "\tkdc = ")
		addr, _, _ = strings.Cut(addr, "\n")
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("\x00\x00\x00\x04junk")); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, conn) // until the KDC has closed it
		stop()
		if got := <-code; got != exitOK {
			t.Errorf("exit code %d", got)
		}
		if got := strings.Contains(stderr.String(), `msg="no ticket issued"`); got == quiet {
			t.Errorf("quiet %v: %q", quiet, &stderr)
		}
	}
}

func checkFiles(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]os.FileMode{}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		got[entry.Name()] = info.Mode().Perm()
	}
	want := map[string]os.FileMode{"krb5.conf": 0o644, "service.keytab": 0o600, "alice.ccache": 0o600}
	for name, mode := range want {
		if got[name] != mode {
			t.Errorf("%s has mode %v, want %v", name, got[name], mode)
		}
	}
	if len(got) != len(want) {
		t.Errorf("files are %v", got)
	}
}

// useRealm lets a shell take the export lines as they are.
func useRealm(t *testing.T, exports []string) {
	for _, program := range []string{"kinit", "klist", "kvno"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed", program)
			}
			t.Skipf("left out, since it is not installed: %s", program)
		}
	}
	script := strings.Join(exports, "\n") + `
set -e
klist
kvno -k "${KRB5_KTNAME#FILE:}" host/localhost http/localhost
echo secret | kinit alice
klist`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), "keytab entry valid"); n != 2 {
		t.Errorf("%d tickets fit the keytab, want 2", n)
	}
	if n := strings.Count(string(out), "Default principal: alice@EXAMPLE.TEST"); n != 2 {
		t.Errorf("%d caches of alice seen, want 2", n)
	}
}

package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/countersign-go/countersign/token"
)

// TestInterrupt stops a load test by each signal: the summary is printed all
// the same, and the exit status says that the work was not done.
func TestInterrupt(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			_, port, _ := net.SplitHostPort(listener.Addr().String())
			cmd := exec.CommandContext(t.Context(), "gss-client", "-port", port, "-na", "--duration", "1h", "localhost", "host@localhost", "hello")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			answerTen(t, listener)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != exitFailed {
				t.Errorf("exit status %d, want %d", code, exitFailed)
			}
			if !strings.HasPrefix(stdout.String(), "messages    ") || !strings.Contains(stdout.String(), "interrupted before the work was done\n") {
				t.Errorf("standard output:\n%s", &stdout)
			}
			if got := stderr.String(); got != "gss-client: load test: interrupted\n" {
				t.Errorf("standard error: %q", got)
			}
		})
	}
}

// answerTen serves one unauthenticated session, goes on serving it in the
// background, and returns once ten messages were answered.
func answerTen(t *testing.T, listener net.Listener) {
	raw, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	conn := token.NewConn(raw)
	if _, err := conn.ReadFrame(); err != nil {
		t.Fatal(err)
	}
	answer := func() error {
		if _, err := conn.ReadFrame(); err != nil {
			return err
		}
		return conn.WriteFrame(token.NOOP, nil)
	}
	for range 10 {
		if err := answer(); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		for answer() == nil {
		}
	}()
}

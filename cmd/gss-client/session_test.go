package main

import (
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A sessionCase is a command line that any server should serve.
type sessionCase struct {
	name    string
	args    string   // before the host
	message []string // "hello from Go" unless given
	line    string   // printed for every message
	lines   int      // one unless set
	anyone  bool     // unauthenticated
	many    bool     // a connection for every message
	nocache bool     // works without a credential cache
}

const (
	signed  = "Signature verified.\n"
	replied = "Response received.\n"
)

// sessionCases are those that MIT's server serves, too.
func sessionCases(t *testing.T) []sessionCase {
	t.Helper()
	blob := filepath.Join(t.TempDir(), "blob")
	content := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{1}).Read(content)
	if err := os.WriteFile(blob, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return []sessionCase{
		{name: "default", line: signed},
		{name: "nw", args: "-nw", line: signed},
		{name: "nx", args: "-nx", line: signed},
		{name: "nm", args: "-nm", line: replied},
		{name: "nw nx nm", args: "-nw -nx -nm", line: replied},
		{name: "na", args: "-na", line: replied, anyone: true},
		{name: "nomutual", args: "-nomutual", line: signed},
		{name: "noreplay", args: "-noreplay", line: signed},
		{name: "noreplay nomutual", args: "-noreplay -nomutual", line: signed},
		{name: "seq", args: "-seq -mcount 3", line: signed, lines: 3},
		{name: "mcount 5", args: "-mcount 5", line: signed, lines: 5},
		{name: "ccount 5", args: "-ccount 5", line: signed, lines: 5, many: true},
		{name: "f", message: []string{"-f", blob}, line: signed},
		{name: "f nx", args: "-nx -f", message: []string{blob}, line: signed},
		{name: "empty nw", args: "-nw", message: []string{""}, line: signed},
		{name: "empty na", args: "-na", message: []string{""}, line: replied, anyone: true},
		{name: "spnego", args: "-spnego -mcount 2", line: signed, lines: 2},
		{name: "spnego nomutual", args: "-spnego -nomutual", line: signed},
		{name: "dce", args: "-dce", line: signed},
		{name: "spnego dce", args: "-spnego -dce", line: signed},
		{name: "d", args: "-d", line: signed},
		{name: "spnego d", args: "-spnego -d", line: signed},
		{name: "iakerb", args: "-iakerb -user alice -pass alicepw", line: signed, nocache: true},
		{name: "pass", args: "-user alice -pass alicepw", line: signed, nocache: true},
	}
}

// commandLine is that of the case for the server at addr.
func (tc *sessionCase) commandLine(addr string, options ...string) []string {
	host, port, _ := net.SplitHostPort(addr)
	args := append([]string{"-port", port}, options...)
	args = append(args, strings.Fields(tc.args)...)
	args = append(args, host, "host@localhost")
	if tc.message == nil {
		return append(args, "hello from Go")
	}
	return append(args, tc.message...)
}

func (tc *sessionCase) count() int { return max(tc.lines, 1) }

func (tc *sessionCase) checkClient(t *testing.T, stdout, stderr string) {
	t.Helper()
	if n := strings.Count(stdout, tc.line); n != tc.count() {
		t.Errorf("%q printed %d times, want %d:\n%s", tc.line, n, tc.count(), stdout)
	}
	if stderr != "" {
		t.Errorf("on standard error: %s", stderr)
	}
}

func (tc *sessionCase) checkServer(t *testing.T, output, realm string) {
	t.Helper()
	greeting := `Accepted connection: "alice@` + realm + `"`
	if tc.anyone {
		greeting = "Accepted unauthenticated connection."
	}
	for _, want := range []string{greeting, "Received message: "} {
		if !strings.Contains(output, want) {
			t.Errorf("the server did not print %q:\n%.2000s", want, output)
		}
	}
	if tc.message == nil && strings.Count(output, `Received message: "hello from Go"`) != tc.count() {
		t.Errorf("messages received:\n%.2000s", output)
	}
	if strings.Contains(output, "GSS-API error") {
		t.Errorf("the server's output:\n%.2000s", output)
	}
}

package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
)

// TestMITServer runs this client against MIT's gss-server in a realm of each
// enctype. -v1 is left out, which MIT's server has not served since 2003, and
// so is the empty message when it is wrapped: MIT's server crashes on it.
func TestMITServer(t *testing.T) {
	mitrealm.Need(t, "gss-server")
	blob := filepath.Join(t.TempDir(), "blob")
	random := rand.NewChaCha8([32]byte{1})
	content := make([]byte, 1<<20)
	random.Read(content)
	if err := os.WriteFile(blob, content, 0o600); err != nil {
		t.Fatal(err)
	}
	const (
		signed  = "Signature verified.\n"
		replied = "Response received.\n"
	)
	cases := []struct {
		name    string
		args    string // before the host
		message []string
		line    string // printed for every message
		lines   int    // one unless set
		anyone  bool   // unauthenticated
		many    bool   // more connections than one
		nocache bool
	}{
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
		{name: "pass", args: "-user alice -pass alicepw", line: signed, nocache: true},
	}
	for _, enctype := range []string{"aes128-cts", "aes256-cts", "aes128-sha2", "aes256-sha2"} {
		t.Run(enctype, func(t *testing.T) {
			realm := mitrealm.New(t, mitrealm.Config{Enctypes: []string{enctype}})
			realm.Kinit("alice")
			for _, tc := range cases {
				t.Run(tc.name, func(t *testing.T) {
					args := []string{"host@localhost"}
					if !tc.many {
						args = []string{"-once", "host@localhost"}
					}
					server := realm.GSSServer(args...)
					defer server.Stop()

					// --timeout also tells ours from MIT's client, which has no such option.
					args = append([]string{"-port", server.Port, "--timeout", "20s"}, strings.Fields(tc.args)...)
					message := tc.message
					if message == nil {
						message = []string{"hello from Go"}
					}
					args = append(append(args, server.Host, "host@localhost"), message...)
					cmd := realm.Command("gss-client", args...)
					if tc.nocache {
						cmd.Env = append(cmd.Env, "KRB5CCNAME=FILE:"+filepath.Join(t.TempDir(), "none"))
					}
					var stdout, stderr bytes.Buffer
					cmd.Stdout, cmd.Stderr = &stdout, &stderr
					if err := cmd.Run(); err != nil {
						t.Fatalf("gss-client: %v\n%s%s\nserver:\n%.2000s", err, &stdout, &stderr, server.Output())
					}
					if n := strings.Count(stdout.String(), tc.line); n != max(tc.lines, 1) {
						t.Errorf("%q printed %d times, want %d:\n%s", tc.line, n, max(tc.lines, 1), &stdout)
					}
					if stderr.Len() > 0 {
						t.Errorf("on standard error: %s", &stderr)
					}
					if !tc.many {
						if err := server.Wait(); err != nil {
							t.Errorf("gss-server: %v", err)
						}
					}
					output := server.Output()
					greeting := `Accepted connection: "alice@MIT.TEST"`
					if tc.anyone {
						greeting = "Accepted unauthenticated connection."
					}
					for _, want := range []string{greeting, "Received message: "} {
						if !strings.Contains(output, want) {
							t.Errorf("gss-server did not print %q:\n%.2000s", want, output)
						}
					}
					if tc.message == nil && strings.Count(output, `Received message: "hello from Go"`) != max(tc.lines, 1) {
						t.Errorf("messages received:\n%.2000s", output)
					}
					if strings.Contains(output, "GSS-API error") {
						t.Errorf("gss-server:\n%.2000s", output)
					}
				})
			}
		})
	}
}

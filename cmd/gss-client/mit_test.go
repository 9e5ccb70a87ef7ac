package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
)

// TestMITServer runs this client against MIT's gss-server in a realm of each
// enctype. -v1 is left out, which MIT's server has not served since 2003, and
// so is the empty message when it is wrapped: MIT's server crashes on it.
func TestMITServer(t *testing.T) {
	mitrealm.Need(t, "gss-server")
	cases := sessionCases(t)
	for _, enctype := range []string{"aes128-cts", "aes256-cts", "aes128-sha2", "aes256-sha2"} {
		t.Run(enctype, func(t *testing.T) {
			realm := mitrealm.New(t, mitrealm.Config{Enctypes: []string{enctype}})
			realm.Kinit("alice")
			for _, tc := range cases {
				t.Run(tc.name, func(t *testing.T) {
					args := []string{"host@localhost"}
					if !tc.many {
						args = append([]string{"-once"}, args...)
					}
					if tc.name == "iakerb" {
						args = append([]string{"-iakerb"}, args...)
					}
					server := realm.GSSServer(args...)
					defer server.Stop()

					// --timeout also tells ours from MIT's client, which has no such option.
					cmd := realm.Command("gss-client", tc.commandLine(server.Addr, "--timeout", "20s")...)
					if tc.nocache {
						cmd.Env = append(cmd.Env, "KRB5CCNAME=FILE:"+filepath.Join(t.TempDir(), "none"))
					}
					var stdout, stderr bytes.Buffer
					cmd.Stdout, cmd.Stderr = &stdout, &stderr
					if err := cmd.Run(); err != nil {
						t.Fatalf("gss-client: %v\n%s%s\nserver:\n%.2000s", err, &stdout, &stderr, server.Output())
					}
					tc.checkClient(t, stdout.String(), stderr.String())
					if tc.many {
						server.Stop() // it printed each message before it answered
					} else if err := server.Wait(); err != nil {
						t.Errorf("gss-server: %v", err)
					}
					tc.checkServer(t, server.Output(), "MIT.TEST")
				})
			}
		})
	}
}

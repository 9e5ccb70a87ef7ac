package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
)

// varying is what two runs of one client print differently, and the list of
// name types, of which MIT's library knows more.
var varying = regexp.MustCompile(`(size=|lifetime |supports )[0-9]+|  [0-9]: \{.*\n`)

// TestWordForWord has MIT's client and this one talk to MIT's server: scripts
// that read the one's standard output can read the other's.
func TestWordForWord(t *testing.T) {
	theirs := mitClient(t)
	t.Logf("MIT's is %s", theirs)
	ours, err := exec.LookPath("gss-client")
	if err != nil {
		t.Fatal(err)
	}
	realm := mitrealm.New(t, mitrealm.Config{})
	realm.Kinit("alice")
	server := realm.GSSServer("host@localhost")
	for _, options := range [][]string{
		{}, {"-q"}, {"-nomutual"}, {"-noreplay"}, {"-noreplay", "-nomutual"}, {"-seq"}, {"-nm"}, {"-na"}, {"-mcount", "2"}, {"-ccount", "2"},
	} {
		args := append(append([]string{"-port", server.Port}, options...), "localhost", "host@localhost", "hello")
		want, err := realm.Command(theirs, args...).Output()
		if err != nil {
			t.Fatalf("MIT's gss-client %v: %v", options, err)
		}
		got, err := realm.Command(ours, args...).Output()
		if err != nil {
			t.Fatalf("our gss-client %v: %v", options, err)
		}
		g, w := varying.ReplaceAllString(string(got), "$1"), varying.ReplaceAllString(string(want), "$1")
		if g != w {
			t.Errorf("%v: printed\n%s\nMIT's prints\n%s", options, g, w)
		}
	}
}

// mitClient finds MIT's gss-client, which this test's own hides in PATH.
func mitClient(t *testing.T) string {
	t.Helper()
	mitrealm.Need(t, "gss-server") // of the same package in Debian
	dirs := filepath.SplitList(os.Getenv("PATH"))
	for _, dir := range dirs[1:] {
		if path, err := exec.LookPath(filepath.Join(dir, "gss-client")); err == nil {
			return path
		}
	}
	t.Fatal("gss-server is installed, gss-client is not")
	return ""
}

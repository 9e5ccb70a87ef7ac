package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Certificates are made where it is said, and nowhere when something else was
// meant.
func TestRun(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct {
		args string
		code int
	}{{"-h", 0}, {"--help", 0}, {"-x", 2}, {"", 2}, {"one two", 2}} {
		var stderr bytes.Buffer
		if code := run(strings.Fields(tt.args), &stderr); code != tt.code || !strings.Contains(stderr.String(), "usage: mkpki directory") {
			t.Errorf("%q: exit status %d, want %d\n%s", tt.args, code, tt.code, &stderr)
		}
		if made, err := os.ReadDir("."); err != nil || len(made) > 0 {
			t.Fatalf("%q made %v, %v", tt.args, made, err)
		}
	}
	var stderr bytes.Buffer
	if code := run([]string{"certs"}, &stderr); code != 0 {
		t.Errorf("exit status %d\n%s", code, &stderr)
	}
	if _, err := os.Stat(filepath.Join("certs", "server.crt")); err != nil {
		t.Error(err)
	}
	if code := run([]string{filepath.Join("certs", "server.crt", "below")}, &stderr); code != 1 {
		t.Errorf("in a file: exit status %d", code)
	}
}

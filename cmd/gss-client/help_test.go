package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestDocumented holds options, help and manual page together.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("gss-client.1")
	if err != nil {
		t.Fatal(err)
	}
	manual := strings.ReplaceAll(string(page), `\-`, "-")
	newFlags(&options{}).VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(help, "-"+f.Name) {
			t.Errorf("-%s is not in the help", f.Name)
		}
		if !strings.Contains(manual, "-"+f.Name) {
			t.Errorf("-%s is not in the manual page", f.Name)
		}
	})
	for _, line := range strings.Split(help, "\n") {
		if len(line) > 80 {
			t.Errorf("help line of %d characters: %s", len(line), line)
		}
	}
}

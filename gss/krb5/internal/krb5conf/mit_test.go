package krb5conf

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestRecordedAnswers compares with what MIT's library said of random files,
// which testdata/mit-profile.py recorded.
func TestRecordedAnswers(t *testing.T) {
	text, err := os.ReadFile("testdata/mit-profile.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		Paths []string
		Cases []struct {
			Files  []string
			Values [][]string // nil where MIT refuses the files
		}
	}
	if err := json.Unmarshal(text, &recorded); err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, c := range recorded.Cases {
		if slices.ContainsFunc(c.Files, func(f string) bool { return strings.Contains(f, "= { a = 1 }") }) {
			continue // a string to MIT's library
		}
		p := new(Profile)
		var err error
		for _, f := range c.Files {
			var one *Profile
			if one, err = Parse("test", []byte(f)); err != nil {
				break
			}
			p.files = append(p.files, one.files...)
		}
		if (err != nil) != (c.Values == nil) {
			t.Errorf("%q: error %v, MIT gives %q", c.Files, err, c.Values)
		}
		if err != nil || c.Values == nil {
			continue
		}
		read++
		for i, path := range recorded.Paths {
			if got := p.Values(strings.Split(path, "/")...); !reflect.DeepEqual(got, c.Values[i]) {
				t.Errorf("%q: %s = %q, MIT gives %q", c.Files, path, got, c.Values[i])
			}
		}
	}
	if read < 100 {
		t.Errorf("only %d of %d files were readable", read, len(recorded.Cases))
	}
}

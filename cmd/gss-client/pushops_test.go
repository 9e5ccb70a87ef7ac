package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

func TestParseOperation(t *testing.T) {
	for _, tt := range []struct {
		line string
		want operation
		said string // by String; empty for a line without an operation
	}{
		{"", operation{}, ""},
		{" \t\r\n", operation{}, ""},
		{"  # subscribe 1", operation{}, ""},
		{"subscribe 1,3", operation{verb: "subscribe", groups: []uint32{1, 3}}, "subscribe 1,3"},
		{"\tleave  0,4294967295 \r\n", operation{verb: "leave", groups: []uint32{0, 4294967295}}, "leave 0,4294967295"},
		{"subscribe 3,1,3", operation{verb: "subscribe", groups: []uint32{3, 1}}, "subscribe 3,1"},
		{"publish 1,2  some  text # that is all text ", operation{verb: "publish", groups: []uint32{1, 2}, data: []byte("some  text # that is all text ")}, "publish 1,2"},
		{"to alice hi", operation{verb: "to", to: "alice", data: []byte("hi")}, "to alice"},
		{`to al\ ice\@x@R hi`, operation{verb: "to", to: `al\ ice\@x@R`, data: []byte("hi")}, `to al\ ice\@x@R`},
		{"sign this text", operation{verb: "sign", data: []byte("this text")}, "sign"},
		{"wait 1m", operation{verb: "wait", pause: time.Minute}, "wait 1m0s"},
	} {
		op, err := parseOperation(tt.line)
		if err != nil || (op == nil) != (tt.said == "") {
			t.Errorf("%q: %v, %v", tt.line, op, err)
			continue
		}
		if op == nil {
			continue
		}
		if op.verb != tt.want.verb || !slices.Equal(op.groups, tt.want.groups) || op.to != tt.want.to ||
			string(op.data) != string(tt.want.data) || op.pause != tt.want.pause || op.String() != tt.said {
			t.Errorf("%q: %+v, which says %q", tt.line, *op, op)
		}
	}
	for line, want := range map[string]string{
		"dance":                           `unknown operation "dance"; known are subscribe, leave, publish, to, sign, wait`,
		"Subscribe 1":                     "unknown operation",
		"subscribe":                       "subscribe what? it is written: subscribe 1,3",
		"subscribe one":                   `"one" is no list of groups`,
		"subscribe 1, 3":                  `"1," is no list of groups`,
		"subscribe 4294967296":            "is no list of groups",
		"subscribe 1 3":                   `"3" is too much; it is written: subscribe 1,3`,
		"publish 1":                       "the message is missing",
		"publish text":                    "is no list of groups",
		"to":                              "to what?",
		"to alice ":                       "the message is missing",
		"sign":                            "the message is missing",
		"wait 2":                          `"2" is no time to wait: that is up to 1m0s`,
		"wait 61s":                        "is no time to wait",
		"wait 0s":                         "is no time to wait",
		"wait -1s":                        "is no time to wait",
		"wait 1s now":                     `"now" is too much`,
		"subscribe 1" + many(",", 256):    "257 groups, and 256 at once are the most",
		"to " + strings.Repeat("a", 4097): "the name has 4097 bytes",
		"sign " + strings.Repeat("a", pushwire.MaxData+1): "the message has 1048577 bytes, and 1048576 are the most",
	} {
		if op, err := parseOperation(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, %v, want %q", line, op, err, want)
		}
	}
}

// many gives that many more groups.
func many(before string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(before)
		b.WriteString("1")
		b.WriteString(strings.Repeat("0", i%4))
		b.WriteString(string(rune('0' + i/4%10)))
		b.WriteString(string(rune('0' + i/40)))
	}
	return b.String()
}

func TestParseBatch(t *testing.T) {
	ops, err := parseBatch("file", []byte("# first\n\nsubscribe 1\r\npublish 1 text"))
	if err != nil || len(ops) != 2 || ops[0].line != 3 || ops[1].line != 4 || string(ops[1].data) != "text" {
		t.Errorf("%+v, %v", ops, err)
	}
	for content, want := range map[string]string{
		"":                      "file: there is nothing in it to be done",
		"# nothing\n":           "file: there is nothing in it to be done",
		"subscribe 1\n\nto bob": "file:3: the message is missing",
	} {
		if ops, err := parseBatch("file", []byte(content)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, %v, want %q", content, ops, err, want)
		}
	}
}

// FuzzOperation: what is taken can be asked for, and what it says of itself is
// read as the same.
func FuzzOperation(f *testing.F) {
	for _, line := range []string{"subscribe 1,3", "leave 1", "publish 1,2 text", `to a\ b\@c@R text`, "sign text", "wait 1m", "# x", `to \`, "wait 1h"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		op, err := parseOperation(line)
		if op == nil || err != nil {
			return
		}
		if !slices.Contains(verbs, op.verb) || len(op.groups) > pushwire.MaxGroups || len(op.to) > pushwire.MaxName ||
			len(op.data) > pushwire.MaxData || op.pause < 0 || op.pause > pushwire.MaxWait {
			t.Fatalf("%q: %+v", line, *op)
		}
		said := op.String()
		if op.verb != "wait" {
			said += " " + string(op.data)
		}
		again, err := parseOperation(said)
		if err != nil || again.String() != op.String() || string(again.data) != string(op.data) {
			t.Errorf("%q says %q, which is read as %+v, %v", line, said, again, err)
		}
	})
}

package main

import (
	"strings"
	"testing"
)

// FuzzParse reads command lines, their arguments divided by newlines. What is
// accepted is complete, and means the same with two dashes for one.
func FuzzParse(f *testing.F) {
	for _, args := range []string{
		"localhost host@localhost hello",
		"-port 4444 -mech { localhost host@localhost hello",
		"-q -nw -nx -nm -ccount 2 -mcount=3 localhost host@localhost -f file",
		"--size 10 --concurrency 4 --duration 3s localhost host@localhost",
		"-- localhost host@localhost -f",
		"-user alice -pass alicepw -seq localhost host hello",
		"--subscribe 1,3 --watch --json tls://localhost host@localhost",
		"--service push --publish 1 --to bob localhost host@localhost -f file",
		"-f",
		"-port",
		"-=",
		"--",
	} {
		f.Add(strings.ReplaceAll(args, " ", "\n"))
	}
	f.Fuzz(func(t *testing.T, line string) {
		o, err := parse(strings.Split(line, "\n"))
		if err != nil || o.version {
			return
		}
		if o.host == "" || o.service == "" || o.port == 0 || o.timeout <= 0 || o.ccount < 0 || o.mcount < 0 {
			t.Fatalf("accepted: %+v", o)
		}
		if o.load && o.duration == 0 && (o.ccount == 0 || o.mcount == 0) {
			t.Fatalf("a load without an end: %+v", o)
		}
		if o.push.asked && (o.load || o.push.sends() != (o.msg != "") && !o.push.sends()) {
			t.Fatalf("push with a load test, or with a message that goes nowhere: %+v", o)
		}
		doubled := strings.Split(line, "\n")
		if len(doubled[0]) > 1 && doubled[0][0] == '-' && !strings.HasPrefix(doubled[0], "--") {
			doubled[0] = "-" + doubled[0]
		}
		if again, err := parse(doubled); err != nil || *again != *o {
			t.Fatalf("with two dashes: %+v, %v; with one: %+v", again, err, o)
		}
	})
}

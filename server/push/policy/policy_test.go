package policy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/policy"
	"github.com/countersign-go/countersign/token/pushwire"
)

const (
	read    = pushwire.Read
	publish = pushwire.Publish
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, content string, also ...push.Group) (*policy.Policy, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy")
	write(t, path, content)
	return policy.Load(path, also...)
}

func mustLoad(t *testing.T, content string, also ...push.Group) *policy.Policy {
	t.Helper()
	p, err := load(t, content, also...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const example = `
# groups, beside those of the command line
group 1 "R&D Department"
group 3 Sales	# a comment
group 4 "a \"quoted\" \\ name # with a hash"

read    1,3 *@EXAMPLE.COM
read    2   alice@EXAMPLE.COM
publish 1,2 alice@EXAMPLE.COM */admin@EXAMPLE.COM
publish *   "backup/*@EXAMPLE.COM"
arrive  1,2,3 *
`

func TestExample(t *testing.T) {
	p := mustLoad(t, example, push.Group{Number: 2, Name: "Production"})
	want := []push.Group{
		{Number: 1, Name: "R&D Department"}, {Number: 2, Name: "Production"},
		{Number: 3, Name: "Sales"}, {Number: 4, Name: `a "quoted" \ name # with a hash`},
	}
	if got := p.Groups(); !slices.Equal(got, want) {
		t.Errorf("groups %+v, want %+v", got, want)
	}
	for _, tt := range []struct {
		user  string
		group uint32
		right pushwire.Right
		want  bool
	}{
		{"alice@EXAMPLE.COM", 1, read, true},
		{"alice@EXAMPLE.COM", 1, read | publish, true},
		{"alice@EXAMPLE.COM", 3, read, true},
		{"alice@EXAMPLE.COM", 3, publish, false},
		{"alice@EXAMPLE.COM", 3, read | publish, false},
		{"alice@EXAMPLE.COM", 4, read, false},
		{"alice@EXAMPLE.COM", 1, 0, false},
		{"alice@EXAMPLE.COM", 1, 4, false},
		{"bob@EXAMPLE.COM", 1, read, true},
		{"bob@EXAMPLE.COM", 2, read, false},
		{"bob@EXAMPLE.COM", 1, publish, false},
		{"bob@EVIL.COM", 1, read, false},
		{"bob@EXAMPLE.COM.EVIL.COM", 1, read, false},
		{"bob/admin@EXAMPLE.COM", 1, read, false}, // two components
		{"bob/admin@EXAMPLE.COM", 2, publish, true},
		{"bob/administrator@EXAMPLE.COM", 2, publish, false},
		{"backup/db1@EXAMPLE.COM", 4, publish, true},
		{"backup/db1@EXAMPLE.COM", 4, read, false},
	} {
		if got := p.Allowed(tt.user, tt.group, tt.right); got != tt.want {
			t.Errorf("Allowed(%q, %d, %d) = %v", tt.user, tt.group, tt.right, got)
		}
	}
	for user, want := range map[string][]uint32{
		"alice@EXAMPLE.COM": {1, 2, 3},
		"bob@EXAMPLE.COM":   {1, 3}, // arrive gives no right to read
		"bob@EVIL.COM":      nil,
	} {
		if got := p.Arrive(user); !slices.Equal(got, want) {
			t.Errorf("Arrive(%q) = %v, want %v", user, got, want)
		}
	}
}

// A pattern is for the principals it is meant for, whatever is in a name.
func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		for_    []string
		not     []string
	}{
		{"*", []string{"alice@R", "a/b@R", "", "no principal", `a\`, "a@b@c"}, nil},
		{"*@R", []string{"alice@R", "@R", `a\/b@R`, `a\@EVIL@R`, `a\0b@R`, "a*@R", `\\@R`},
			[]string{"a/b@R", "alice@S", "alice@", "alice", `alice\@R`, `alice@EVIL\@R`, "alice@R@R", "alice@R/R", ""}},
		{"alice@R", []string{"alice@R", `ali\ce@R`}, []string{"alice@r", "Alice@R", `alice\0@R`, `alice\n@R`, "alice/@R", "alicee@R", `alice@R\0`}},
		{"*/admin@R", []string{"alice/admin@R", "/admin@R", `a\/b/admin@R`}, []string{`alice\/admin@R`, "alice/admin/admin@R", "admin@R"}},
		{"svc-*-eu@R", []string{"svc-1-eu@R", "svc--eu@R", "svc-a-eu-eu@R"}, []string{"svc-eu@R", "svc-1-us@R", "svc-1-eu/x@R"}},
		{"a*b*c@R", []string{"abc@R", "aXbYbc@R"}, []string{"acb@R", "ab@R", "ac@R"}},
		{"ab*ba@R", []string{"abba@R"}, []string{"aba@R"}},
		{"x@*.EXAMPLE.COM", []string{"x@EU.EXAMPLE.COM"}, []string{"x@EXAMPLE.COM", "x@EU.EXAMPLE.COM.EVIL"}},
		{`a\*@R`, []string{"a*@R", `a\*@R`}, []string{"ab@R", `a\\*@R`}},
		{`a\/b@R`, []string{`a\/b@R`}, []string{"a/b@R"}},
		{`a\@b@R`, []string{`a\@b@R`}, []string{"a@b"}},
		{`a\0b\n\t\b@R`, []string{`a\0b\n\t\b@R`, "a\x00b\n\t\b@R"}, []string{"a0bntb@R"}},
		{`"a b#c@R"`, []string{"a b#c@R"}, []string{"a@R"}},
		{`"say \"hi\"@R"`, []string{`say "hi"@R`}, nil},
		{"\xff*@R", []string{"\xff\xfe@R"}, []string{"\ufffd@R"}},
	} {
		p := mustLoad(t, "group 1 One\nread 1 "+tt.pattern+"\n")
		for _, user := range tt.for_ {
			if !p.Allowed(user, 1, read) {
				t.Errorf("%s is not for %q", tt.pattern, user)
			}
		}
		for _, user := range tt.not {
			if p.Allowed(user, 1, read) {
				t.Errorf("%s is for %q", tt.pattern, user)
			}
		}
	}
}

// longName is the longest, of which so many can be told in one message.
var longName = strings.Repeat("x", 200)

const mostGroups = (1<<16 - 1) / (200 + 7)

func TestErrors(t *testing.T) {
	one := push.Group{Number: 1, Name: "One"}
	groups := new(strings.Builder)
	for i := range mostGroups + 1 {
		fmt.Fprintf(groups, "group %d %s\n", i+1, longName)
	}
	for _, tt := range []struct {
		content string
		line    int
		want    string
	}{
		{"grant 1 *", 1, `unknown word "grant"; a line begins with group, read, publish or arrive`},
		{"# fine\n\n read 1", 3, "it has to be: read GROUPS PRINCIPAL..."},
		{"read 1 *\r\nread", 2, "it has to be: read"},
		{"read 9 *", 1, "there is no group 9"},
		{"group 2 Two\nread 1,2 *\narrive 3 *", 3, "there is no group 3"},
		{"read 1,,2 *", 1, `"" is no number of a group`},
		{"read -1 *", 1, `"-1" is no number`},
		{"read 4294967296 *", 1, "from 0 to 4294967295"},
		{"read 1 alice", 1, `"alice": a principal has a realm`},
		{"read 1 *@R alice@R@S", 1, "a second @"},
		{"read 1 alice@R/S", 1, "a / behind the @"},
		{`read 1 alice@R\`, 1, "a backslash at the end"},
		{"read 1 " + strings.Repeat("a/", 32) + "a@R", 1, "more components"},
		{"group 1 Eins", 1, `there is a group 1 already, "One"`},
		{"group 2 R&D Department", 1, "a name of several words in quotes"},
		{`group 2 "Sales`, 1, "the closing quote is missing"},
		{`group 2 "Sales"s`, 1, "a closing quote with something at it"},
		{`group 2 Sa"les`, 1, "a quote inside of a word"},
		{`group 2 ""`, 1, "the group's name is empty"},
		{`group 2 R\D`, 1, "a backslash; one that belongs to a name"},
		{"group 2 \xff", 1, "is not UTF-8"},
		{"group 2 a\u202eb", 1, "characters that do not print"},
		{"group 2 " + strings.Repeat("x", 201), 1, "longer than 200 octets"},
		{"group two Two", 1, `"two" is no number`},
		{"read 1 *\nread 1 a\x00b@R", 2, "control character 0x0"},
		{"", 0, "it allows nobody anything"},
		{"arrive 1 *", 0, "it allows nobody anything"},
		{groups.String(), mostGroups, "more groups than one message"}, // one is there already
		{strings.Repeat("read 1 "+strings.Repeat("*@R ", 101)+"\n", 1000), 991, "more than 100000 pairs"},
		{strings.Repeat("#", 1<<20+1), 0, "longer than 1048576 bytes"},
	} {
		also := []push.Group{one}
		if strings.HasPrefix(tt.content, "group 1 xx") {
			also = []push.Group{{Number: 0, Name: longName}}
		}
		_, err := load(t, tt.content, also...)
		e, ok := errors.AsType[*policy.Error](err)
		if !ok || e.Line != tt.line || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: %v, want line %d and %q", tt.content, err, tt.line, tt.want)
			continue
		}
		if e.File == "" || !strings.HasPrefix(err.Error(), e.File) || len(e.Text) > 80 {
			t.Errorf("%.60q: %+v", tt.content, e)
		}
		if lines := strings.Split(tt.content, "\n"); e.Line > 0 && !strings.HasPrefix(lines[e.Line-1], e.Text) {
			t.Errorf("%.60q: the error shows %q", tt.content, e.Text)
		}
	}
	if _, err := policy.Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := policy.Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is no regular file") {
		t.Errorf("a directory: %v", err)
	}
}

// At the bounds everything is taken.
func TestAtBounds(t *testing.T) {
	content := new(strings.Builder)
	for i := range mostGroups {
		fmt.Fprintf(content, "group %d %s\n", i, longName)
	}
	content.WriteString(strings.Repeat("read 1 "+strings.Repeat("*@R ", 100)+"\n", 1000))
	content.WriteString("#" + strings.Repeat(" ", 1<<20-1-content.Len()))
	p := mustLoad(t, content.String())
	if n := len(p.Groups()); n != mostGroups {
		t.Errorf("%d groups", n)
	}
}

func TestParseGroup(t *testing.T) {
	g, err := policy.ParseGroup("1=R&D = Department")
	if want := (push.Group{Number: 1, Name: "R&D = Department"}); err != nil || g != want {
		t.Errorf("%+v, %v", g, err)
	}
	for _, text := range []string{"", "1", "=x", "1=", "x=y", "1=a\nb", "-1=x"} {
		if g, err := policy.ParseGroup(text); err == nil {
			t.Errorf("%q is %+v", text, g)
		}
	}
}

// A change counts without being asked for; what cannot be used is told once, and
// changes nothing.
func TestWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	write(t, path, "group 1 One\nread 1 alice@R\n")
	synctest.Test(t, func(t *testing.T) {
		p, err := policy.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		var told []error
		tells := make(chan error, 10)
		ctx, stop := context.WithCancel(t.Context())
		go p.Watch(ctx, func(err error) { tells <- err })
		expect := func(what string, times int, fails bool, user string) {
			t.Helper()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			for len(tells) > 0 {
				told = append(told, <-tells)
			}
			if len(told) != times || times > 0 && (told[times-1] != nil) != fails {
				t.Errorf("%s: told %v", what, told)
			}
			for _, u := range []string{"alice@R", "bob@R"} {
				if got := p.Allowed(u, 1, read); got != (u == user) {
					t.Errorf("%s: %s is allowed to read: %v", what, u, got)
				}
			}
		}
		expect("unchanged", 0, false, "alice@R")
		write(t, path, "group 1 One\nread 1 bob@R\n")
		expect("changed", 1, false, "bob@R")
		write(t, path, "")
		expect("emptied", 2, true, "bob@R")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		expect("removed", 3, true, "bob@R")
		write(t, path, "group 1 One\nread 1 alice@R # again\n")
		expect("back", 4, false, "alice@R")
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		expect("touched", 4, false, "alice@R")
		stop()
		synctest.Wait()
		write(t, path, "group 1 One\nread 1 bob@R\n")
		expect("no longer watched", 4, false, "alice@R")
		if changed, err := p.Reload(); !changed || err != nil {
			t.Errorf("Reload: %v, %v", changed, err)
		}
		expect("reloaded", 4, false, "bob@R")
		if changed, err := p.Reload(); changed || err != nil {
			t.Errorf("Reload of the same: %v, %v", changed, err)
		}
		write(t, path, "read 1")
		for range 2 {
			if changed, err := p.Reload(); changed || err == nil {
				t.Errorf("Reload of what is wrong: %v, %v", changed, err)
			}
		}
		expect("reloaded what is wrong", 4, false, "bob@R")
	})
}

// A file that is changed twice within what its file system's clock can tell apart.
func TestWatchCoarseClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		put := func(user string) {
			write(t, path, "group 1 One\nread 1 "+user+"@R\n")
			if err := os.Chtimes(path, now, now); err != nil {
				t.Fatal(err)
			}
		}
		put("alice")
		p, err := policy.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		told := make(chan error, 1)
		go p.Watch(ctx, func(err error) { told <- err })
		put("clara") // as long as alice
		if err := <-told; err != nil {
			t.Fatal(err)
		}
		if !p.Allowed("clara@R", 1, read) || p.Allowed("alice@R", 1, read) {
			t.Error("the change was not seen")
		}
	})
}

package krb5conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// rules are what MIT's libkrb5 1.20.1 answers by profile_get_values to these
// texts, of which more than one is a list of files. An error's text is the
// profile library's without the word profile.
var rules = []struct {
	files []string
	path  string // slash separated
	want  []string
	err   error
}{
	{[]string{"[a]\nb = {\nc = d }\n}\n"}, "a/b/c", []string{"d }"}, nil},
	{[]string{"[a]\nb = {\nc = d\n} x\n"}, "a/b/c", []string{"d"}, nil},
	{[]string{"[a]\nb = {\nc = d\n"}, "a/b/c", []string{"d"}, nil},
	{[]string{"[a]\nb = {\nc = d\n[e]\n"}, "a/b/c", nil, errSectionNotTop},
	{[]string{"[a]\nb =\n{\nc = d\n}\n"}, "a/b/c", []string{"d"}, nil},
	{[]string{"[a]\nb =\n\n{\nc = d\n}\n"}, "a/b/c", nil, errMissingBrace},
	{[]string{"[a]\nb =\n # comment\n{\nc=1\n}\n"}, "a/b/c", nil, errMissingBrace},
	{[]string{"[a]\nb =\n { c = 1\nc = 2\n}\n"}, "a/b/c", []string{"2"}, nil},
	{[]string{"[a]\nb =\n"}, "a/b", nil, nil},
	{[]string{"[a]\nb = { # c\nc = d\n}\n"}, "a/b/c", nil, errExtraBrace},
	{[]string{"[a]\nb = c # d\n"}, "a/b", []string{"c # d"}, nil},
	{[]string{"[a]\nb = \"c \\\"d\\\" \\n\\t\\b\\q e\" junk\n"}, "a/b", []string{"c \"d\" \n\t\bq e"}, nil},
	{[]string{"[a]\nb = \"c\n"}, "a/b", []string{"c"}, nil},
	{[]string{"[a]\nb = \"c\\\n"}, "a/b", []string{`c\`}, nil},
	{[]string{"[a]\nb = \"\"\n"}, "a/b", []string{""}, nil},
	{[]string{"[a]\nb = \" x \"  \n"}, "a/b", []string{" x "}, nil},
	{[]string{"[a] # x\nb = c\n"}, "a/b", nil, errSectionSyntax},
	{[]string{"[a]x\nb = c\n"}, "a/b", nil, errSectionSyntax},
	{[]string{"[a\nb = c\n"}, "a/b", nil, errSectionSyntax},
	{[]string{"[a]\n[b] = c\nb = d\n"}, "a/b", nil, errSectionSyntax},
	{[]string{"x = y\n[a]\nb = c\n"}, "a/b", []string{"c"}, nil},
	{[]string{"garbage\n [a]\nb = c\n"}, "a/b", nil, nil},
	{[]string{"[z]\n [a]\nb = c\n"}, "a/b", []string{"c"}, nil},
	{[]string{"[a]\nb c = d\n"}, "a/b", nil, errRelationSyntax},
	{[]string{"[a]\n= d\n"}, "a/b", nil, errRelationSyntax},
	{[]string{"[a]\njunk\n"}, "a/b", nil, errRelationSyntax},
	{[]string{"[a]\n}\n"}, "a/b", nil, errExtraBrace},
	{[]string{"module /x:y\n[a]\nb = c\n"}, "a/b", nil, errModule},
	{[]string{"[a]\nb = c\nb = d\n[z]\n[a]\nb = e\n"}, "a/b", []string{"c", "d", "e"}, nil},
	{[]string{"[a]\nr = {\nb = 1\n}\nr = {\nb = 2\n}\n"}, "a/r/b", []string{"1", "2"}, nil},
	{[]string{"[a]\nr = x\nr = {\nb = 1\n}\n"}, "a/r/b", []string{"1"}, nil},
	{[]string{"[a]\nr = x\nr = {\nb = 1\n}\n"}, "a/r", []string{"x"}, nil},
	{[]string{"[a]\nb = {\n}}\nc = 1\n"}, "a/c", []string{"1"}, nil},
	{[]string{"[a]\nb = {}\nc = 1\n"}, "a/c", []string{"1"}, nil},
	{[]string{"[a]\nb = { 1 2 3 }\n"}, "a/b", []string{"{ 1 2 3 }"}, nil},
	{[]string{"[a]\nb = {c}d=\n"}, "a/b", []string{"{c}d="}, nil},
	{[]string{"[a]\nb = \"{ c = d }\"\n"}, "a/b", []string{"{ c = d }"}, nil},
	{[]string{"[a]\nb=c=d\n"}, "a/b", []string{"c=d"}, nil},
	{[]string{"[a]\nB=c\n"}, "a/b", nil, nil},
	{[]string{"[a]\nb = c\x00d\n"}, "a/b", []string{"c"}, nil},
	{[]string{"[a]\r\nb = c\r\n"}, "a/b", []string{"c"}, nil},
	{[]string{"[a]\n  # foo\n ;bar\nb = c  \t \n"}, "a/b", []string{"c"}, nil},
	{[]string{"[a]\n*b = 1\n"}, "a/b", nil, nil},
	{[]string{"[a]\nb*c = 1\n"}, "a/b", []string{"1"}, nil},
	{[]string{"[a]\nb = 1\n", "[a]\nb = 2\n"}, "a/b", []string{"1", "2"}, nil},
	{[]string{"[a]*\nb = 1\n", "[a]\nb = 2\n"}, "a/b", []string{"1"}, nil},
	{[]string{"[a]*\nc = 1\n", "[a]\nb = 2\n"}, "a/b", nil, nil},
	{[]string{"[a]*\nb = 1\n[a]\nb = 2\n"}, "a/b", []string{"1", "2"}, nil},
	{[]string{"[a]\nb* = 1\nb = 3\n", "[a]\nb = 2\n"}, "a/b", []string{"1", "3", "2"}, nil},
	{[]string{"[a]\nr = {\nb = 1\n}*\nr = {\nb = 2\n}\n", "[a]\nr = {\nb = 3\n}\n"}, "a/r/b", []string{"1", "2"}, nil},
	{[]string{"[a]\nr* = {\nb = 1\n}\nr = {\nb = 2\n}\n", "[a]\nr = {\nb = 3\n}\n"}, "a/r/b", []string{"1", "2"}, nil},
	{[]string{"[a]\nr = {\nb = 1\n} *\n", "[a]\nr = {\nb = 3\n}\n"}, "a/r/b", []string{"1", "3"}, nil},
	{[]string{""}, "a/b", nil, nil},
	// Not MIT's: the mark hides the first header from it.
	{[]string{"\ufeff[a]\nb = c\n"}, "a/b", []string{"c"}, nil},
	// Not MIT's: subsections on one line are strings to it.
	{[]string{"[a]\nb = { c = d }\n"}, "a/b/c", []string{"d"}, nil},
	{[]string{"[a]\nb = { c = d }\n"}, "a/b", nil, nil},
	{[]string{"[a]\nb={c=d}\n"}, "a/b/c", []string{"d"}, nil},
	{[]string{"[a]\nb = { c = d e = f c = g }\r\n"}, "a/b/c", []string{"d", "g"}, nil},
	{[]string{"[a]\nb = { c = \"d e\" f = g }\n"}, "a/b/c", []string{"d e"}, nil},
	{[]string{"[a]\nb = { c = \"d } \\\" e\" f = g }\n"}, "a/b/c", []string{`d } " e`}, nil},
	{[]string{"[a]\nb = { c = d=e }\n"}, "a/b/c", []string{"d=e"}, nil},
	{[]string{"[a]\nb = { c = FILE:%{TEMP}/x{y} }\n"}, "a/b/c", []string{"FILE:%{TEMP}/x{y}"}, nil},
	{[]string{"[a]\nb = { r = { c = 1 } c = 2 r = {c=3} }\n"}, "a/b/r/c", []string{"1", "3"}, nil},
	{[]string{"[a]\nb = { r = { c = 1 } c = 2 }\n"}, "a/b/c", []string{"2"}, nil},
	{[]string{"[a]\nb = {\nc = 1\nr = { c = 2 }\n}\nb = { c = 3 }\n"}, "a/b/c", []string{"1", "3"}, nil},
	{[]string{"[a]\nb = { c = d } # comment\nb = { c = e } ; comment\n"}, "a/b/c", []string{"d", "e"}, nil},
	{[]string{"[a]\nb = { }\nb = {}\nb = { c = 1 }\n"}, "a/b/c", []string{"1"}, nil},
	{[]string{"[a]\nb = { c = 1 }*\n", "[a]\nb = { c = 2 }\n"}, "a/b/c", []string{"1"}, nil},
	{[]string{"[a]\nb* = { c = 1 }\n", "[a]\nb = { c = 2 }\n"}, "a/b/c", []string{"1"}, nil},
	{[]string{"[a]\nb = { r* = { c = 1 } }\n", "[a]\nb = { r = { c = 2 } }\n"}, "a/b/r/c", []string{"1"}, nil},
	{[]string{"[a]\nb = { c = d\n"}, "", nil, errOneLineOpen},
	{[]string{"[a]\nb = { c = d\n}\n"}, "", nil, errOneLineOpen},
	{[]string{"[a]\nb = { c = \"d }\n"}, "", nil, errOneLineOpen},
	{[]string{"[a]\nb = { r = { c = d }\n"}, "", nil, errOneLineOpen},
	{[]string{"[a]\nb = { c = d e }\n"}, "", nil, errOneLineValue},
	{[]string{"[a]\nb = { c = d # e }\n"}, "", nil, errOneLineValue},
	{[]string{"[a]\nb = { c = d [e] = f }\n"}, "", nil, errOneLineValue},
	{[]string{"[a]\nb = { c = }\n"}, "", nil, errOneLineValue},
	{[]string{"[a]\nb = { c = d = e }\n"}, "", nil, errOneLineValue},
	{[]string{"[a]\nb = { c = d{e }\n"}, "", nil, errOneLineValue},
	{[]string{"[a]\nb = { c = d } e = f\n"}, "", nil, errOneLineRest},
	{[]string{"[a]\nb = { c = d }}\n"}, "", nil, errOneLineRest},
}

func TestRules(t *testing.T) {
	for _, r := range rules {
		var names []string
		dir := t.TempDir()
		for i, text := range r.files {
			names = append(names, filepath.Join(dir, fmt.Sprint(i)))
			write(t, names[i], text)
		}
		p, err := Load(names...)
		if !errors.Is(err, r.err) {
			t.Errorf("%q: error %v, want %v", r.files, err, r.err)
		}
		if err != nil {
			var e *Error
			if !errors.Is(err, ErrFormat) || !errors.As(err, &e) || e.File != names[0] || e.Line == 0 || e.Minor() != -1765328248 {
				t.Errorf("%q: error %v does not tell file and line", r.files, err)
			}
			continue
		}
		if got := p.Values(strings.Split(r.path, "/")...); !reflect.DeepEqual(got, r.want) {
			t.Errorf("%q: %s = %q, want %q", r.files, r.path, got, r.want)
		}
	}
}

func TestErrorNamesFileLineAndText(t *testing.T) {
	for line, want := range map[string]string{
		"what is this":    `Improper format of Kerberos configuration file: /etc/krb5.conf, line 3: "what is this": syntax error in relation`,
		"R = { kdc = a b": `Improper format of Kerberos configuration file: /etc/krb5.conf, line 3: "R = { kdc = a b": on one line each relation of a section is tag = value, the value one word or quoted`,
	} {
		_, err := Parse("/etc/krb5.conf", []byte("[libdefaults]\n default_realm = R\n "+line+"\n"))
		if err == nil || err.Error() != want {
			t.Errorf("error is %v,\nwant %s", err, want)
		}
	}
}

func TestBounds(t *testing.T) {
	nested := "[a]\n" + strings.Repeat("b = {\n", maxNesting-1)
	if _, err := Parse("deep", []byte(nested)); err != nil {
		t.Errorf("%d levels: %v", maxNesting, err)
	}
	if _, err := Parse("deep", []byte(nested+"b = {\n")); !errors.Is(err, errNesting) {
		t.Errorf("%d levels: %v", maxNesting+1, err)
	}
	oneLine := func(levels int) string {
		return "[a]\n" + strings.Repeat("b = { ", levels) + "c = d" + strings.Repeat(" }", levels) + "\n"
	}
	if _, err := Parse("deep", []byte(oneLine(maxNesting-1))); err != nil {
		t.Errorf("%d levels on one line: %v", maxNesting, err)
	}
	if _, err := Parse("deep", []byte(oneLine(maxNesting))); !errors.Is(err, errNesting) {
		t.Errorf("%d levels on one line: %v", maxNesting+1, err)
	}
	file := filepath.Join(t.TempDir(), "large")
	write(t, file, strings.Repeat("#\n", maxFile/2))
	if _, err := Load(file); err != nil {
		t.Errorf("file of %d bytes: %v", maxFile, err)
	}
	write(t, file, strings.Repeat("#\n", maxFile/2)+"\n")
	if _, err := Load(file); !errors.Is(err, ErrFormat) {
		t.Errorf("file of %d bytes: %v", maxFile+1, err)
	}
}

func TestInclude(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(path("conf.d/sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"conf.d/one": "[a]\nb = one\n", "conf.d/b.conf": "[a]\nb = two\n", "conf.d/a-_1": "[a]\nb = zero\n",
		"conf.d/c.bak": "junk [\n[", "conf.d/.h.conf": "[[", "conf.d/x~": "[",
		"inc": "[a]\nb = {\nc = inc\n}\n", "outer": "include " + path("inc") + "\n",
		"loop": "include " + path("loop") + "\n", "bad": "[a]\nb\n",
	} {
		write(t, path(name), text)
	}
	for _, c := range []struct {
		text, path string
		want       []string
		err        string
	}{
		{"includedir DIR/conf.d\n[a]\nb = c\n", "a/b", []string{"zero", "two", "one", "c"}, ""},
		{"include\tDIR/inc\n[a]\nb = {\nc = own\n}\n", "a/b/c", []string{"inc", "own"}, ""},
		{"[a]\nb = {\ninclude DIR/inc\nc = own\n}\n", "a/b/c", []string{"inc", "own"}, ""},
		{"include DIR/outer\n", "a/b/c", []string{"inc"}, ""},
		{"[a]\n include DIR/inc\n", "", nil, "line 2"},
		{"include DIR/none\n", "", nil, "could not be read"},
		{"includedir DIR/none\n", "", nil, "could not be read"},
		{"include inc\n", "", nil, "not absolute"},
		{"includedir conf.d\n", "", nil, "not absolute"},
		{"include DIR/loop\n", "", nil, "loop"},
		{"[x]\ninclude DIR/bad\n", "", nil, dir + "/bad, line 2"},
	} {
		p, err := Parse("test", []byte(strings.ReplaceAll(c.text, "DIR", dir)))
		switch {
		case c.err != "":
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want one with %q", c.text, err, c.err)
			}
		case err != nil:
			t.Errorf("%q: %v", c.text, err)
		default:
			if got := p.Values(strings.Split(c.path, "/")...); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%q: %q, want %q", c.text, got, c.want)
			}
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	one, two, none, bad := filepath.Join(dir, "one.conf"), filepath.Join(dir, "two.conf"), filepath.Join(dir, "none"), filepath.Join(dir, "bad")
	write(t, one, "[libdefaults]\ndefault_realm = ONE\n")
	write(t, two, "[libdefaults]\ndefault_realm = TWO\n")
	write(t, bad, "include "+none+"\n")
	for _, c := range []struct {
		env, realm string
		loadErr    bool // of Load, which wants one of the files there
		err        bool
	}{
		{one, "ONE", false, false},
		{one + ":" + two, "ONE", false, false},
		{two + ":" + one, "TWO", false, false},
		{none + ":" + one, "ONE", false, false},
		{":" + one, "ONE", false, false},
		{dir, "", false, true}, // whose file bad is read too
		{none, "", true, false},
		{"", "", false, false},
		{bad, "", true, true},
		{one + ":" + bad, "", true, true},
	} {
		t.Setenv("KRB5_CONFIG", c.env)
		p, err := LoadDefault()
		if (err != nil) != c.err {
			t.Errorf("KRB5_CONFIG=%s: %v", c.env, err)
		}
		if err == nil && p.defaultRealm() != c.realm {
			t.Errorf("KRB5_CONFIG=%s: realm %q, want %q", c.env, p.defaultRealm(), c.realm)
		}
		if _, err := Load(strings.Split(c.env, ":")...); c.loadErr != (err != nil) && c.env != dir {
			t.Errorf("Load(%s): %v", c.env, err)
		}
	}
	if _, err := Load(none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file at all: %v", err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

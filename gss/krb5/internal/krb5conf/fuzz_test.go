package krb5conf

import (
	"errors"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// render writes a tree so that parsing gives it back.
func render(root *section) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(root.sections)) {
		s := root.sections[name]
		b.WriteString("[" + name + "]")
		if s.final {
			b.WriteString("*")
		}
		b.WriteString("\n")
		renderBody(&b, s)
	}
	return b.String()
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\b", `\b`)

func renderBody(b *strings.Builder, s *section) {
	for _, name := range slices.Sorted(maps.Keys(s.relations)) {
		for _, r := range s.relations[name] {
			// The star keeps an empty tag from being none.
			b.WriteString("\t" + name + "* = \"" + escape.Replace(r.value) + "\"\n")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.sections)) {
		c := s.sections[name]
		b.WriteString("\t" + name)
		if c.final {
			b.WriteString("*")
		}
		b.WriteString(" = {\n")
		renderBody(b, c)
		b.WriteString("\t}\n")
	}
}

// bare drops what says where a relation was read.
func bare(s *section) *section {
	c := &section{name: s.name, final: s.final}
	for n, rs := range s.relations {
		for _, r := range rs {
			if c.relations == nil {
				c.relations = map[string][]relation{}
			}
			c.relations[n] = append(c.relations[n], relation{value: r.value})
		}
	}
	for n, sub := range s.sections {
		if c.sections == nil {
			c.sections = map[string]*section{}
		}
		c.sections[n] = bare(sub)
	}
	return c
}

func FuzzParse(f *testing.F) {
	for _, r := range rules {
		f.Add([]byte(r.files[0]))
	}
	f.Add([]byte("include /self\n[a]\nb = c\n"))
	f.Add([]byte("includedir /dir\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		parse := func(text []byte) (*section, error) {
			r := newReader()
			r.readFile = func(string) ([]byte, error) { return text, nil }
			r.readDir = func(string) ([]fs.DirEntry, error) { return nil, fs.ErrNotExist }
			root := &section{}
			return root, r.parse("fuzz", text, root, 0)
		}
		root, err := parse(text)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v does not tell where it is", err)
			}
			if len(err.Error()) > 40*maxErrorText {
				t.Fatalf("error of %d bytes", len(err.Error()))
			}
			return
		}
		again, err := parse([]byte(render(root)))
		if err != nil {
			t.Fatalf("rendered profile: %v\n%s", err, render(root))
		}
		if !reflect.DeepEqual(bare(root), bare(again)) {
			t.Fatalf("rendered profile reads differently:\n%s", render(root))
		}
		// Whatever was read, the interpretations on top neither panic nor hang.
		p := &Profile{files: []*section{root}}
		p.Settings()
		p.LocalName("R", []string{"a", "b"})
		for _, realm := range p.Sections("realms") {
			p.KDCs(realm)
		}
	})
}

package krb5conf

import (
	"cmp"
	"slices"
)

// Profile is the content of one or more configuration files. It is immutable
// and safe for concurrent use. The zero value is an empty profile, for which
// everything is as MIT's defaults have it.
type Profile struct {
	files []*section // one tree a file with what it includes, in order of precedence
}

// section is a node of the tree. Sections of one name within one parent are
// one section, however often the file opens them; relations of one name keep
// their order.
type section struct {
	name      string
	final     bool // later files add nothing below it
	sections  map[string]*section
	relations map[string][]relation
}

// relation is the value of one "tag = value" line and where it was read.
type relation struct {
	value string
	file  string
	line  int
}

func (s *section) child(name string) *section {
	if c := s.sections[name]; c != nil {
		return c
	}
	if s.sections == nil {
		s.sections = make(map[string]*section)
	}
	c := &section{name: name}
	s.sections[name] = c
	return c
}

func (s *section) add(name string, r relation) {
	if s.relations == nil {
		s.relations = make(map[string][]relation)
	}
	s.relations[name] = append(s.relations[name], r)
}

// find walks down to the section at path; final says that a section on the way
// forbids looking into later files, whether or not the path was found.
func (s *section) find(path []string) (found *section, final bool) {
	for _, name := range path {
		s = s.sections[name]
		if s == nil {
			return nil, final
		}
		final = final || s.final
	}
	return s, final
}

// lookup gives the relations at path over all files, those of the first file
// first.
func (p *Profile) lookup(path ...string) []relation {
	if p == nil || len(path) < 2 {
		return nil
	}
	var all []relation
	sections, name := path[:len(path)-1], path[len(path)-1]
	for _, root := range p.files {
		s, final := root.find(sections)
		if s != nil {
			all = append(all, s.relations[name]...)
		}
		if final {
			break
		}
	}
	return all
}

// Values gives all values of the relation at path, such as ("realms", "R",
// "kdc"), in the order of the files and of their lines; nil where there are
// none. A path names at least one section and the relation.
func (p *Profile) Values(path ...string) []string {
	return values(p.lookup(path...))
}

func values(rs []relation) []string {
	var vs []string
	for _, r := range rs {
		vs = append(vs, r.value)
	}
	return vs
}

// Sections gives the names of the sections within the section at path, sorted:
// Sections("realms") is the realms that the files describe.
func (p *Profile) Sections(path ...string) []string {
	if p == nil {
		return nil
	}
	var names []string
	for _, root := range p.files {
		s, final := root.find(path)
		if s != nil {
			for n := range s.sections {
				names = append(names, n)
			}
		}
		if final {
			break
		}
	}
	slices.SortFunc(names, cmp.Compare[string])
	return slices.Compact(names)
}

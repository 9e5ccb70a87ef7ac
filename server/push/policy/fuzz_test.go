package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

// FuzzParse: any content is taken within the bounds, or refused with the line
// that is wrong, and what is taken answers for any name.
func FuzzParse(f *testing.F) {
	for _, content := range []string{
		"group 1 \"R&D Department\"\nread 1,3 *@EXAMPLE.COM\npublish 1,2 alice@EXAMPLE.COM */admin@EXAMPLE.COM\narrive 1,3 *\n",
		"read * *\r\n# nothing else", "group 2 \"a \\\" b\"\nread 2 \"a b@R\" a\\/b\\@c\\0@R", "read 1 \\", "\"", "group 4294967295 x\nread 4294967295 a*b*c@R\\*",
	} {
		f.Add(content, `al\/ice/x@R`)
	}
	f.Fuzz(func(t *testing.T, content, user string) {
		r, err := parse("policy", content, []push.Group{{Number: 1, Name: "One"}, {Number: 3, Name: "Three"}})
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Line < 0 || e.Line > strings.Count(content, "\n")+1 || len(e.Text) > maxLineErr || e.Line > 0 && !strings.Contains(content, e.Text) {
				t.Fatalf("%v", err)
			}
			return
		}
		p := &Policy{}
		p.rules.Store(r)
		list := 0
		for i, g := range r.groups {
			list += groupSize + len(g.Name)
			if list > maxGroupList || checkName(g.Name) != nil || i > 0 && r.groups[i-1].Number >= g.Number {
				t.Errorf("groups %+v", r.groups)
			}
		}
		for _, g := range p.Arrive(user) {
			if !p.Allowed(user, g, pushwire.Read) {
				t.Errorf("%q is subscribed to %d, and may not read it", user, g)
			}
		}
	})
}

// FuzzPatterns: a name without stars, as a pattern, is for that principal alone; a
// pattern never reaches over the end of a component or into the realm.
func FuzzPatterns(f *testing.F) {
	f.Add("alice@R", "bob@R", "a", "b")
	f.Add(`a\/b@R`, "a/b@R", "*", "")
	f.Add(`a\0\\\@x/y@R\*`, `a*b@R`, "ab", "ba")
	f.Fuzz(func(t *testing.T, a, b, before, behind string) {
		p, err := parsePrincipal(a, false)
		if err != nil {
			return
		}
		q, err := parsePrincipal(b, false)
		if err != nil {
			return
		}
		same := len(p) == len(q)
		for i := 0; same && i < len(p); i++ {
			same = p[i][0] == q[i][0]
		}
		if p.matches(q) != same || (p.key() == q.key()) != same {
			t.Errorf("%q and %q: matches %v, same key %v, want %v", a, b, p.matches(q), p.key() == q.key(), same)
		}
		star := make(principal, len(p))
		for i := range star {
			star[i] = glob{before, behind}
		}
		want := len(p) == len(q)
		for i := 0; want && i < len(q); i++ {
			s := q[i][0]
			want = len(s) >= len(before)+len(behind) && strings.HasPrefix(s, before) && strings.HasSuffix(s, behind)
		}
		if star.matches(q) != want {
			t.Errorf("%q*%q in each part of %q: %v, want %v", before, behind, b, !want, want)
		}
	})
}

package kmsg

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// What krb5_parse_name and krb5_unparse_name of MIT krb5 1.20.1 make of these.
// Where MIT fills in the default realm, ours is empty.
func TestParsePrincipalAsMIT(t *testing.T) {
	cases := []struct {
		in         string
		nameType   int32
		components []string
		realm, out string
	}{
		{"alice", 1, []string{"alice"}, "", "alice@"},
		{"alice@R", 1, []string{"alice"}, "R", "alice@R"},
		{"alice@", 1, []string{"alice"}, "", "alice@"},
		{"@R", 1, []string{""}, "R", "@R"},
		{"", 1, []string{""}, "", "@"},
		{"/", 1, []string{"", ""}, "", "/@"},
		{"a/", 1, []string{"a", ""}, "", "a/@"},
		{"/a@R", 1, []string{"", "a"}, "R", "/a@R"},
		{"host/h.example@R", 1, []string{"host", "h.example"}, "R", "host/h.example@R"},
		{`a\@b@c`, 1, []string{"a@b"}, "c", `a\@b@c`},
		{`a@b\/c`, 1, []string{"a"}, "b/c", `a@b\/c`},
		{`a\n\t\b\0\q\\@R`, 1, []string{"a\n\t\b\x00q\\"}, "R", `a\n\t\b\0q\\@R`},
		{"krbtgt/R@R", 2, []string{"krbtgt", "R"}, "R", "krbtgt/R@R"},
		{"krbtgt/R/x@R", 1, []string{"krbtgt", "R", "x"}, "R", "krbtgt/R/x@R"},
		{"krbtgt@R", 1, []string{"krbtgt"}, "R", "krbtgt@R"},
		{"WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS", 11, []string{"WELLKNOWN", "ANONYMOUS"}, "WELLKNOWN:ANONYMOUS", "WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS"},
		{"WELLKNOWN@R", 1, []string{"WELLKNOWN"}, "R", "WELLKNOWN@R"},
		{"a b\n@R", 1, []string{"a b\n"}, "R", `a b\n@R`},
		{`a@R\@S`, 1, []string{"a"}, "R@S", `a@R\@S`},
		{"\xff\xfe@R", 1, []string{"\xff\xfe"}, "R", "\xff\xfe@R"},
		{"1/2/3/4/5/6/7/8/9/10/11/12@R", 1, strings.Split("1 2 3 4 5 6 7 8 9 10 11 12", " "), "R", "1/2/3/4/5/6/7/8/9/10/11/12@R"},
	}
	for _, c := range cases {
		n, realm, err := ParsePrincipal(c.in)
		if err != nil || n.Type != c.nameType || !reflect.DeepEqual(n.Components, c.components) || realm != c.realm {
			t.Errorf("ParsePrincipal(%q) = %d %q, %q, %v", c.in, n.Type, n.Components, realm, err)
		}
		if got := Unparse(n, realm); got != c.out {
			t.Errorf("Unparse of %q = %q, want %q", c.in, got, c.out)
		}
	}
}

func TestParsePrincipalRefusals(t *testing.T) {
	for _, s := range []string{"a@b@c", "a@b/c", `a\`, `a@R\`, `\`, strings.Repeat("a/", MaxComponents) + "a", strings.Repeat("a/", MaxComponents) + "a@R"} {
		if n, realm, err := ParsePrincipal(s); !errors.Is(err, ErrPrincipal) || n.Components != nil || realm != "" {
			t.Errorf("ParsePrincipal(%q) = %v, %q, %v", s, n, realm, err)
		}
	}
	most := strings.Repeat("a/", MaxComponents-1) + "a"
	if n, _, err := ParsePrincipal(most); err != nil || len(n.Components) != MaxComponents {
		t.Errorf("%d components: %v", len(n.Components), err)
	}
}

func TestPrincipalNameEqual(t *testing.T) {
	if !host.Equal(PrincipalName{NTPrincipal, []string{"host", "server.example"}}) {
		t.Error("the name type made a difference")
	}
	for _, other := range []PrincipalName{{NTSrvHst, []string{"host"}}, {NTSrvHst, []string{"host", "other"}}, {NTSrvHst, []string{"host/server.example"}}, {NTSrvHst, nil}} {
		if host.Equal(other) || other.Equal(host) {
			t.Errorf("%v is %v", host.Components, other.Components)
		}
	}
	if host.String() != "host/server.example" || (PrincipalName{}).String() != "" {
		t.Errorf("%v, %v", host, PrincipalName{})
	}
}

package krb5conf

import (
	"errors"
	"testing"
)

// What MIT's krb5_aname_to_localname answers, with R as default realm. "!"
// is KRB5_LNAME_NOTRANS, "?" KRB5_CONFIG_BADFORMAT.
var localNames = []struct {
	rules      string
	realm      string
	components []string
	want       string
}{
	{"", "R", []string{"alice"}, "alice"},
	{"", "S", []string{"alice"}, "!"},
	{"", "R", []string{"alice", "admin"}, "!"},
	{"", "R", []string{"bob", "R"}, "bob"},
	{"", "R", []string{"a/b"}, "a/b"},
	{"auth_to_local = RULE:", "R", []string{"a/b"}, `a\/b`},
	{"auth_to_local = DEFAULT", "R", []string{"alice"}, "alice"},
	{"auth_to_local = RULE:[1:$1@$0](.*@S)s/@.*//", "S", []string{"alice"}, "alice"},
	{"auth_to_local = RULE:[1:$1@$0](.*@S)s/@.*//", "R", []string{"alice"}, "!"},
	{"auth_to_local = RULE:[1:$1@$0](.*@S)s/@.*//\nauth_to_local = DEFAULT", "R", []string{"alice"}, "alice"},
	{"auth_to_local = RULE:[2:$1;$2](^.*;admin$)s/;admin$//", "R", []string{"bob", "admin"}, "bob"},
	{"auth_to_local = RULE:", "R", []string{"bob", "admin"}, "bob/admin"},
	{"auth_to_local = RULE:[2:$1;$2]", "R", []string{"bob", "admin"}, "bob;admin"},
	{"auth_to_local = RULE:[2:$3]\nauth_to_local = DEFAULT", "R", []string{"bob", "admin"}, "?"},
	{"auth_to_local = RULE:[1:$3]\nauth_to_local = DEFAULT", "R", []string{"bob"}, "?"},
	{"auth_to_local = RULE:[1:$1]s/b/xx/g s/o/p/", "R", []string{"bob"}, "xxpxx"},
	{"auth_to_local = RULE:[1:$1]s/b/xx/gs/o/p/", "R", []string{"bob"}, "xxpxx"},
	{"auth_to_local = RULE:[1:$1](b)\nauth_to_local = DEFAULT", "R", []string{"bob"}, "bob"},
	{"auth_to_local = FOO:[1:$1](b)\nauth_to_local = DEFAULT", "R", []string{"bob"}, "?"},
	{"auth_to_local = RULE:[1:$1](b\nauth_to_local = DEFAULT", "R", []string{"bob"}, "?"},
	{"auth_to_local = RULE:[1:$1](.*)junk\nauth_to_local = DEFAULT", "R", []string{"bob"}, "?"},
	{"auth_to_local = RULE:[1:$1]s/(/x/\nauth_to_local = DEFAULT", "R", []string{"bob"}, "bob"},
	{"auth_to_local = RULE:[1:$-1x]\nauth_to_local = DEFAULT", "R", []string{"bob"}, "Rx"},
	{"auth_to_local = RULE:[1:$x]\nauth_to_local = DEFAULT", "R", []string{"bob"}, "Rx"},
	{"auth_to_local = RULE:[1:$1]s/x*/Y/", "R", []string{"bob"}, "Ybob"},
	{"auth_to_local = RULE:[1:$1]s/[a-z]$/Y/g", "R", []string{"bob"}, "boY"},
	{"auth_to_local = RULE:[1:$1]s/^b/Y/g", "R", []string{"bbb"}, "YYY"},
	{"auth_to_local = RULE:[1:$1](a|ab)(c|bcd)", "R", []string{"abcd"}, "!"}, // the expression ends at the first parenthesis
	{"auth_to_local = RULE:[1:$1](a|abc|ab)", "R", []string{"abc"}, "abc"},   // the longest alternative
	{"auth_to_local_names = {\nbob = robert\nbob = rob\n}", "R", []string{"bob"}, "rob"},
	{"auth_to_local_names = {\nbob = robert\nbob = rob\n}", "S", []string{"bob"}, "rob"},
	{"auth_to_local_names = {\nbob/admin = root\n}\nauth_to_local = RULE:[2:x]", "S", []string{"bob", "admin"}, "root"},
	{"auth_to_local = DB:/x\nauth_to_local = DEFAULT", "R", []string{"bob"}, "?"},
	{"auth_to_local = \"\"\nauth_to_local = DEFAULT", "R", []string{"bob"}, "?"},
	{"auth_to_local = default", "R", []string{"bob"}, "?"},
	{"auth_to_local = RULE\nauth_to_local = DEFAULT", "R", []string{"bob"}, "?"},
	{"auth_to_local = RULE:[1:$1]s/.*//", "R", []string{"bob"}, ""},
	{"auth_to_local = RULE:[ 1:$1]", "R", []string{"bob"}, "bob"},
	{"auth_to_local = RULE:[1x:$1]\nauth_to_local = DEFAULT", "R", []string{"bob"}, "?"},
	{"auth_to_local = RULE:[2:$1\nauth_to_local = DEFAULT", "R", []string{"bob"}, "bob"},
	{"auth_to_local = RULE:[1:$1\nauth_to_local = DEFAULT", "R", []string{"bob"}, "?"},
	// Not MIT's, which does not end: an empty match is replaced once.
	{"auth_to_local = RULE:[1:$1]s/x*/Y/g", "R", []string{"bob"}, "Ybob"},
}

func TestLocalName(t *testing.T) {
	for _, c := range localNames {
		p := mustParse(t, "[libdefaults]\ndefault_realm = R\n[realms]\nR = {\n"+c.rules+"\n}\n")
		got, err := p.LocalName(c.realm, c.components)
		switch c.want {
		case "!":
			if !errors.Is(err, ErrNoTranslation) {
				t.Errorf("%q for %q@%s: %q, %v", c.rules, c.components, c.realm, got, err)
			}
		case "?":
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%q for %q@%s: %q, %v", c.rules, c.components, c.realm, got, err)
			}
		default:
			if err != nil || got != c.want {
				t.Errorf("%q for %q@%s: %q, %v; want %q", c.rules, c.components, c.realm, got, err, c.want)
			}
		}
	}
	if _, err := mustParse(t, "").LocalName("R", []string{"bob"}); !errors.Is(err, ErrNoTranslation) {
		t.Errorf("without a default realm: %v", err)
	}
}

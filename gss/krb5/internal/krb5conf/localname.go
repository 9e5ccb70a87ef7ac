package krb5conf

import (
	"errors"
	"regexp"
	"strings"

	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// Faults of an auth_to_local value.
var (
	errRuleType      = errors.New("auth_to_local type is unknown: write DEFAULT, or RULE: and a rule")
	errRuleSelection = errors.New("selection string of the rule is not [n:text with $0 to $n]")
	errRuleMatch     = errors.New("expression of the rule has no closing parenthesis")
	errRuleReplace   = errors.New("rule does not end in s/expression/text/ or s/expression/text/g")
)

// LocalName gives the local account of the principal with these components in
// realm: by auth_to_local_names of the default realm, or the first of its
// auth_to_local values that applies, or, if it has none, the DEFAULT rule: the
// only component of a principal of the default realm. The name can be empty where a
// rule says so; a caller must not take that for an account.
//
// ErrNoTranslation means that nothing applies. A value which is reached and
// cannot be understood is an [*Error].
func (p *Profile) LocalName(realm string, components []string) (string, error) {
	local := p.defaultRealm()
	if local == "" {
		return "", ErrNoTranslation
	}
	unparsed := kmsg.PrincipalName{Components: components}.String()
	if names := p.Values("realms", local, "auth_to_local_names", unparsed); len(names) > 0 {
		return names[len(names)-1], nil
	}
	rules := p.lookup("realms", local, "auth_to_local")
	if len(rules) == 0 {
		rules = []relation{{value: "DEFAULT"}}
	}
	for _, r := range rules {
		kind, rule, hasRule := strings.Cut(r.value, ":")
		name, err := "", errRuleType
		switch {
		case kind == "DEFAULT":
			name, err = defaultName(local, realm, components)
		case kind == "RULE" && hasRule:
			name, err = applyRule(rule, realm, components, unparsed)
		}
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, ErrNoTranslation) {
			return "", newError(r.file, r.line, "auth_to_local = "+r.value, err)
		}
	}
	return "", ErrNoTranslation
}

func defaultName(local, realm string, components []string) (string, error) {
	switch {
	case realm != local:
	case len(components) == 1, len(components) == 2 && components[1] == local:
		return components[0], nil
	}
	return "", ErrNoTranslation
}

// applyRule applies "[n:selection](expression)s/expression/text/g...", of which
// every part can be absent.
func applyRule(rule, realm string, components []string, unparsed string) (string, error) {
	selected := unparsed
	if strings.HasPrefix(rule, "[") {
		var err error
		if selected, rule, err = selection(rule[1:], realm, components); err != nil {
			return "", err
		}
	}
	if after, ok := strings.CutPrefix(rule, "("); ok {
		pattern, rest, ok := strings.Cut(after, ")")
		if !ok {
			return "", errRuleMatch
		}
		re, err := compile(pattern)
		if err != nil {
			return "", ErrNoTranslation // so does MIT with what regcomp refuses
		}
		if at := re.FindStringIndex(selected); at == nil || at[0] != 0 || at[1] != len(selected) {
			return "", ErrNoTranslation
		}
		rule = rest
	}
	return replacements(rule, selected)
}

// selection reads "n:text]" with $0 for the realm and $1 to $n for the components.
func selection(rule, realm string, components []string) (selected, rest string, err error) {
	n, rest := leadingInt(rule)
	text, ok := strings.CutPrefix(rest, ":")
	if !ok || n < 0 {
		return "", "", errRuleSelection
	}
	if n != len(components) {
		return "", "", ErrNoTranslation
	}
	var b strings.Builder
	for {
		i := strings.IndexAny(text, "$]")
		if i < 0 {
			return "", "", errRuleSelection
		}
		b.WriteString(text[:i])
		if text[i] == ']' {
			return b.String(), text[i+1:], nil
		}
		n, text = leadingInt(text[i+1:])
		switch {
		case n > len(components):
			return "", "", errRuleSelection
		case n > 0:
			b.WriteString(components[n-1])
		default: // also for what is no number
			b.WriteString(realm)
		}
	}
}

// leadingInt reads a number as strtol does: zero where there is none.
func leadingInt(s string) (int, string) {
	rest := trimLeft(s)
	negative := strings.HasPrefix(rest, "-")
	if negative || strings.HasPrefix(rest, "+") {
		rest = rest[1:]
	}
	n, digits := 0, 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		n = min(n*10+int(rest[digits]-'0'), 1<<20) // far above any count of components
		digits++
	}
	if digits == 0 {
		return 0, s
	}
	if negative {
		n = -n
	}
	return n, rest[digits:]
}

// replacements applies "s/expression/text/" and "s/expression/text/g", any
// number of them with blanks before each.
func replacements(rule, s string) (string, error) {
	for rule != "" {
		body, ok := strings.CutPrefix(trimLeft(rule), "s/")
		if !ok {
			return "", errRuleReplace
		}
		pattern, body, ok := strings.Cut(body, "/")
		if !ok {
			return "", errRuleReplace
		}
		text, body, ok := strings.Cut(body, "/")
		if !ok {
			return "", errRuleReplace
		}
		rule, ok = strings.CutPrefix(body, "g")
		re, err := compile(pattern)
		if err != nil {
			return "", ErrNoTranslation
		}
		s = replace(re, s, text, ok)
	}
	return s, nil
}

// replace puts text for the first match, or for all. As with MIT's loop each
// search begins anew behind the last match, so that "^" matches there as well; an
// empty match is the last one, where that loop would not end.
func replace(re *regexp.Regexp, s, text string, all bool) string {
	var b strings.Builder
	for {
		at := re.FindStringIndex(s)
		if at == nil {
			break
		}
		b.WriteString(s[:at[0]])
		b.WriteString(text)
		s = s[at[1]:]
		if !all || at[0] == at[1] {
			break
		}
	}
	b.WriteString(s)
	return b.String()
}

// compile reads a POSIX extended expression: leftmost longest match, a dot for
// every character, anchors at the ends of the text only. Go's syntax is used for it,
// which lacks collating elements and the GNU word boundaries, and in which a
// backslash is an escape within brackets too.
func compile(pattern string) (*regexp.Regexp, error) {
	re, err := regexp.Compile("(?s)" + pattern)
	if err != nil {
		return nil, err
	}
	re.Longest()
	return re, nil
}

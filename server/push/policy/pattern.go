package policy

import (
	"errors"
	"strings"
)

// maxComponents is as many components as the Kerberos mechanism takes.
const maxComponents = 32

// A glob is text with stars: its parts, between which there is anything. One part
// is the text itself.
type glob []string

func (g glob) matches(s string) bool {
	last := len(g) - 1
	if last == 0 {
		return s == g[0]
	}
	s, ok := strings.CutPrefix(s, g[0])
	if !ok {
		return false
	}
	if s, ok = strings.CutSuffix(s, g[last]); !ok {
		return false
	}
	for _, part := range g[1:last] {
		if _, s, ok = strings.Cut(s, part); !ok {
			return false
		}
	}
	return true
}

// A principal is one, or a pattern of some: its components and the realm behind them.
type principal []glob

// matches reports whether the pattern is for the principal, which has no stars.
func (p principal) matches(who principal) bool {
	if len(p) != len(who) {
		return false
	}
	for i, g := range p {
		if !g.matches(who[i][0]) {
			return false
		}
	}
	return true
}

// exact reports whether there is no star in it.
func (p principal) exact() bool {
	for _, g := range p {
		if len(g) > 1 {
			return false
		}
	}
	return true
}

// key is the same for the same principal only. There are no stars in it.
func (p principal) key() string {
	var b strings.Builder
	for _, g := range p {
		for i := range len(g[0]) {
			if c := g[0][i]; c == '/' || c == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(g[0][i])
		}
		b.WriteByte('/')
	}
	return b.String()
}

var (
	errNoRealm    = errors.New("a principal has a realm, as in alice@EXAMPLE.COM; * alone is everybody")
	errSecondAt   = errors.New(`a second @; one that belongs to a component is written \@`)
	errRealmSlash = errors.New(`a / behind the @; one that belongs to the realm is written \/`)
	errBackslash  = errors.New("a backslash at the end")
	errComponents = errors.New("more components than a principal has")
)

// parsePrincipal takes a principal apart. Stars are stars with stars set, and
// themselves otherwise, as in the name of a peer.
func parsePrincipal(text string, stars bool) (principal, error) {
	var (
		p    principal
		g    glob
		part []byte
		at   bool
	)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			if i++; i == len(text) {
				return nil, errBackslash
			}
			part = append(part, unescape(text[i]))
		case c == '*' && stars:
			g, part = append(g, string(part)), nil
		case c == '@' && at:
			return nil, errSecondAt
		case c == '/' && at:
			return nil, errRealmSlash
		case c == '@' || c == '/':
			if len(p) == maxComponents {
				return nil, errComponents
			}
			at = c == '@'
			p, g, part = append(p, append(g, string(part))), nil, nil
		default:
			part = append(part, c)
		}
	}
	if !at {
		return nil, errNoRealm
	}
	return append(p, append(g, string(part))), nil
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case '0':
		return 0
	}
	return c
}

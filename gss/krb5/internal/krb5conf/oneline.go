package krb5conf

import (
	"errors"
	"strings"
)

// What a subsection on one line can be refused for.
var (
	errOneLineOpen  = errors.New("section begun and not closed on one line: close it, or put a line break after its opening brace")
	errOneLineValue = errors.New("on one line each relation of a section is tag = value, the value one word or quoted")
	errOneLineRest  = errors.New("something follows the section's closing brace")
)

// oneLine reads "tag = value ... }", what follows the opening brace of a
// subsection on one line. Relations and subsections stand side by side; a value
// is a word or quoted, because blanks separate it from the next tag.
type oneLine struct {
	st   *fileState
	rest string
}

// beginsOneLine says whether what follows an opening brace is the beginning of a
// section. Otherwise the value is a string, as to MIT's library it always is.
func beginsOneLine(text string) bool {
	p := oneLine{rest: text}
	return p.take('}') || p.tag() != "" && p.take('=')
}

// read fills s, which is open at the given depth, and ends the line.
func (p *oneLine) read(s *section, depth int) error {
	if err := p.body(s, depth); err != nil {
		return err
	}
	if p.skip(); p.rest != "" && p.rest[0] != '#' && p.rest[0] != ';' {
		return errOneLineRest
	}
	return nil
}

func (p *oneLine) body(s *section, depth int) error {
	if depth >= maxNesting {
		return errNesting
	}
	for !p.take('}') {
		if p.rest == "" {
			return errOneLineOpen
		}
		tag := p.tag()
		if tag == "" || !p.take('=') {
			return errOneLineValue
		}
		name, _, final := strings.Cut(tag, "*")
		if p.take('{') {
			sub := s.child(name)
			sub.final = sub.final || final
			if err := p.body(sub, depth+1); err != nil {
				return err
			}
			continue
		}
		value, ok := p.value()
		if !ok {
			return errOneLineValue
		}
		s.add(name, relation{value: value, file: p.st.name, line: p.st.line})
	}
	if after, final := strings.CutPrefix(p.rest, "*"); final {
		s.final, p.rest = true, after
	}
	return nil
}

func (p *oneLine) skip() { p.rest = trimLeft(p.rest) }

// take skips blanks and one character c, if that is next.
func (p *oneLine) take(c byte) bool {
	p.skip()
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// tag reads a word that could begin a line; it is empty where there is none.
func (p *oneLine) tag() string {
	p.skip()
	if strings.HasPrefix(p.rest, "#") || strings.HasPrefix(p.rest, ";") || strings.HasPrefix(p.rest, "[") {
		return ""
	}
	return p.cut(strings.IndexAny(p.rest, space+`={}"`))
}

// value reads a quoted string, or a word: up to a blank or to the brace that
// closes the section. Braces in pairs, as in "%{uid}", belong to the word.
func (p *oneLine) value() (value string, ok bool) {
	p.skip()
	if quoted, ok := strings.CutPrefix(p.rest, `"`); ok {
		value, p.rest = unquote(quoted)
		return value, true
	}
	open := 0
	value = p.cut(strings.IndexFunc(p.rest, func(r rune) bool {
		switch r {
		case '{':
			open++
		case '}':
			open--
		}
		return open < 0 || strings.ContainsRune(space, r)
	}))
	return value, value != "" && open <= 0
}

// cut takes what stands before end, or all if that is negative.
func (p *oneLine) cut(end int) string {
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

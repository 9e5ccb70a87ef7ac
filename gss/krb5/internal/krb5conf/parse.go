package krb5conf

import (
	"errors"
	"strings"
)

// maxNesting bounds how deep "tag = {" may nest. Real files use three levels.
const maxNesting = 32

// What a line can be refused for, in the words of MIT's profile error table.
var (
	errSectionNotTop  = errors.New("section header not at top level")
	errSectionSyntax  = errors.New("syntax error in section header")
	errRelationSyntax = errors.New("syntax error in relation")
	errExtraBrace     = errors.New("extra closing brace")
	errMissingBrace   = errors.New("missing open brace")
	errModule         = errors.New("module declarations are not supported")
	errNesting        = errors.New("sections are nested too deeply")
)

// Parse reads text as a configuration file called name, which serves for error
// messages only. Its include and includedir lines are followed. The error is an
// [*Error].
func Parse(name string, text []byte) (*Profile, error) {
	r := newReader()
	root := &section{}
	if err := r.parse(name, text, root, 0); err != nil {
		return nil, err
	}
	return &Profile{files: []*section{root}}, nil
}

// fileState is the place within one file.
type fileState struct {
	reader    *reader
	name      string
	depth     int // of includes
	line      int
	root      *section
	stack     []*section // the open sections; none before the first header
	wantBrace bool       // "tag =" was read, its brace must open the next line
}

// parse reads text into root, which may hold what other files gave: an
// included file is read as if it stood by itself at top level, and what it
// says lands in the tree of the file that includes it.
func (r *reader) parse(name string, text []byte, root *section, depth int) error {
	st := &fileState{reader: r, name: name, depth: depth, root: root}
	rest := strings.TrimPrefix(string(text), "\ufeff")
	for rest != "" {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		st.line++
		// To the C library a line ends at a zero byte.
		line, _, _ = strings.Cut(line, "\x00")
		if err := st.parseLine(line); err != nil {
			var e *Error
			if errors.As(err, &e) {
				return err // a fault of an included file, which it names
			}
			return newError(name, st.line, strings.TrimSpace(line), err)
		}
	}
	return nil
}

func (st *fileState) parseLine(line string) error {
	if arg, ok := directive(line, "include"); ok {
		return st.reader.include(arg, st)
	}
	if arg, ok := directive(line, "includedir"); ok {
		return st.reader.includeDir(arg, st)
	}
	if st.stack == nil {
		// Whatever comes before the first header is ignored, and that header
		// must start its line.
		if _, ok := directive(line, "module"); ok {
			return errModule
		}
		if !strings.HasPrefix(line, "[") {
			return nil
		}
	}
	line = strings.TrimRight(line, "\r")
	if st.wantBrace {
		if !strings.HasPrefix(trimLeft(line), "{") {
			return errMissingBrace
		}
		st.wantBrace = false
		return nil
	}
	line = trimLeft(line)
	if line == "" {
		return nil
	}
	switch line[0] {
	case ';', '#':
		return nil
	case '[':
		return st.header(line[1:])
	case '}':
		return st.closeSection(line[1:])
	}
	return st.relation(line)
}

// directive gives what follows the keyword at the very start of a line.
func directive(line, keyword string) (string, bool) {
	rest, ok := strings.CutPrefix(line, keyword)
	if !ok || rest != "" && !isSpace(rest[0]) {
		return "", false
	}
	return strings.TrimRight(trimLeft(rest), "\r"), true
}

// header reads "name]" or "name]*".
func (st *fileState) header(rest string) error {
	if len(st.stack) > 1 {
		return errSectionNotTop
	}
	name, rest, ok := strings.Cut(rest, "]")
	if !ok {
		return errSectionSyntax
	}
	s := st.root.child(name)
	st.stack = append(st.stack[:0], s)
	if after, final := strings.CutPrefix(rest, "*"); final {
		s.final = true
		rest = after
	}
	if trimLeft(rest) != "" {
		return errSectionSyntax
	}
	return nil
}

// closeSection reads what follows a closing brace: a star, or anything, which
// MIT ignores.
func (st *fileState) closeSection(rest string) error {
	top := len(st.stack) - 1
	if top < 1 {
		return errExtraBrace
	}
	if strings.HasPrefix(rest, "*") {
		st.stack[top].final = true
	}
	st.stack = st.stack[:top]
	return nil
}

// relation reads "tag = value", "tag = {", "tag =" with its brace on the next
// line, or a subsection on one line, which to MIT would be a string.
func (st *fileState) relation(line string) error {
	tag, value, ok := strings.Cut(line, "=")
	if !ok {
		return errRelationSyntax
	}
	tag = trimRight(tag)
	if tag == "" || strings.ContainsFunc(tag, func(r rune) bool { return r < 0x80 && isSpace(byte(r)) }) {
		return errRelationSyntax
	}
	tag, _, final := strings.Cut(tag, "*")
	value = trimLeft(value)
	parent := st.stack[len(st.stack)-1]

	if value == "" || value[0] == '{' && trimLeft(value[1:]) == "" {
		if len(st.stack) >= maxNesting {
			return errNesting
		}
		s := parent.child(tag)
		s.final = s.final || final
		st.stack = append(st.stack, s)
		st.wantBrace = value == ""
		return nil
	}
	if inner, ok := strings.CutPrefix(value, "{"); ok && beginsOneLine(inner) {
		s := parent.child(tag)
		s.final = s.final || final
		p := oneLine{st: st, rest: inner}
		return p.read(s, len(st.stack))
	}
	if quoted, ok := strings.CutPrefix(value, `"`); ok {
		value, _ = unquote(quoted)
	} else {
		value = trimRight(value)
	}
	// A star behind a relation's tag is dropped: only sections are final.
	parent.add(tag, relation{value: value, file: st.name, line: st.line})
	return nil
}

// unquote reads a string up to its closing quote, or to the end of the line
// where it has none, and gives what follows the quote.
func unquote(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '"' {
			return b.String(), s[i+1:]
		}
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			switch c = s[i]; c {
			case 'n':
				c = '\n'
			case 't':
				c = '\t'
			case 'b':
				c = '\b'
			}
		}
		b.WriteByte(c)
	}
	return b.String(), ""
}

const space = " \t\n\v\f\r" // what isspace says in the C locale

func isSpace(c byte) bool       { return strings.IndexByte(space, c) >= 0 }
func trimLeft(s string) string  { return strings.TrimLeft(s, space) }
func trimRight(s string) string { return strings.TrimRight(s, space) }

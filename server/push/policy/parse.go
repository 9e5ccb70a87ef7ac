package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/countersign-go/countersign/server/push"
)

// Bounds against a wrong file, far beyond what anybody writes.
const (
	maxFile    = 1 << 20 // octets
	maxGrants  = 100_000 // principals, each counted for every group of its line
	maxName    = 200     // octets of a group's name: one line of a terminal
	maxLineErr = 80      // octets of a line that an error shows

	// maxGroupList is what a list of groups takes in a message, in octets, with
	// groupSize for each beside its name: clients are told of all in one.
	maxGroupList = 1<<16 - 1
	groupSize    = 4 + 1 + 2
)

// An Error says what is wrong with a policy file, and where.
type Error struct {
	File string
	Line int    // from 1; 0: the file as a whole
	Text string // of the line, or its beginning
	Err  error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %q: %v", e.File, e.Line, e.Text, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// The kinds of grants.
const (
	read = iota
	publish
	arrive
	kinds
)

var words = map[string]int{"read": read, "publish": publish, "arrive": arrive}

// rules are what a file says.
type rules struct {
	groups []push.Group // by number
	every  [kinds]who   // for all groups
	of     map[uint32]*[kinds]who
}

// who is a set of principals.
type who struct {
	everybody bool
	exact     map[string]bool // keys
	patterns  []principal
}

func (w *who) add(word string) error {
	if word == "*" {
		w.everybody = true
		return nil
	}
	p, err := parsePrincipal(word, true)
	if err != nil {
		return fmt.Errorf("%q: %w", word, err)
	}
	if !p.exact() {
		w.patterns = append(w.patterns, p)
		return nil
	}
	if w.exact == nil {
		w.exact = make(map[string]bool)
	}
	w.exact[p.key()] = true
	return nil
}

// has reports whether somebody is in the set: p, or nil if the name is none of a
// principal.
func (w *who) has(p principal) bool {
	switch {
	case w.everybody:
		return true
	case p == nil:
		return false
	case w.exact[p.key()]:
		return true
	}
	return slices.ContainsFunc(w.patterns, func(q principal) bool { return q.matches(p) })
}

// A parser reads a file line by line.
type parser struct {
	rules  *rules
	list   int // octets of the groups so far
	grants int
	used   []use // groups that lines name, which may come first
}

type use struct {
	group uint32
	line  int
	text  string
}

// parse reads a file's content. also are groups that there are beside its own.
func parse(file, content string, also []push.Group) (*rules, error) {
	r := &rules{groups: slices.Clone(also), of: make(map[uint32]*[kinds]who)}
	p := parser{rules: r}
	for _, g := range also {
		p.list += groupSize + len(g.Name)
	}
	fail := func(line int, text string, err error) (*rules, error) {
		return nil, &Error{File: file, Line: line, Text: text[:min(len(text), maxLineErr)], Err: err}
	}
	n := 0
	for text := range strings.Lines(content) {
		n++
		text = strings.TrimRight(text, "\r\n")
		words, err := split(text)
		if err == nil && len(words) > 0 {
			err = p.line(words, n, text)
		}
		if err != nil {
			return fail(n, text, err)
		}
	}
	for _, u := range p.used {
		if r.group(u.group) < 0 {
			return fail(u.line, u.text, fmt.Errorf("there is no group %d", u.group))
		}
	}
	if !r.allowsAnything() {
		return fail(0, "", errors.New(`it allows nobody anything; a line "read * *" lets everybody subscribe to all groups`))
	}
	slices.SortFunc(r.groups, func(a, b push.Group) int { return cmp.Compare(a.Number, b.Number) })
	return r, nil
}

func (r *rules) group(number uint32) int {
	return slices.IndexFunc(r.groups, func(g push.Group) bool { return g.Number == number })
}

func (r *rules) allowsAnything() bool {
	gives := func(w *[kinds]who) bool {
		return slices.ContainsFunc(w[read:arrive], func(w who) bool {
			return w.everybody || len(w.exact) > 0 || len(w.patterns) > 0
		})
	}
	if gives(&r.every) {
		return true
	}
	for _, w := range r.of {
		if gives(w) {
			return true
		}
	}
	return false
}

func (p *parser) line(fields []string, n int, text string) error {
	kind, known := words[fields[0]]
	switch {
	case fields[0] == "group":
		return p.addGroup(fields[1:])
	case !known:
		return fmt.Errorf("unknown word %q; a line begins with group, read, publish or arrive", fields[0])
	case len(fields) < 3:
		return fmt.Errorf("it has to be: %s GROUPS PRINCIPAL...", fields[0])
	}
	groups, err := parseGroups(fields[1])
	if err != nil {
		return err
	}
	if p.grants += max(1, len(groups)) * len(fields[2:]); p.grants > maxGrants {
		return fmt.Errorf("with this line there are more than %d pairs of a group and a principal", maxGrants)
	}
	for _, word := range fields[2:] {
		if groups == nil {
			if err := p.rules.every[kind].add(word); err != nil {
				return err
			}
		}
		for _, g := range groups {
			if p.rules.of[g] == nil {
				p.rules.of[g] = new([kinds]who)
			}
			if err := p.rules.of[g][kind].add(word); err != nil {
				return err
			}
		}
	}
	for _, g := range groups {
		p.used = append(p.used, use{g, n, text})
	}
	return nil
}

// parseGroups reads "1,3", or "*", for which it gives nil.
func parseGroups(word string) ([]uint32, error) {
	if word == "*" {
		return nil, nil
	}
	var groups []uint32
	for text := range strings.SplitSeq(word, ",") {
		number, err := parseNumber(text)
		if err != nil {
			return nil, err
		}
		groups = append(groups, number)
	}
	return groups, nil
}

func parseNumber(text string) (uint32, error) {
	number, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no number of a group: that is from 0 to %d", text, ^uint32(0))
	}
	return uint32(number), nil
}

func (p *parser) addGroup(fields []string) error {
	if len(fields) != 2 {
		return errors.New(`it has to be: group NUMBER NAME, and a name of several words in quotes: group 1 "R&D Department"`)
	}
	number, err := parseNumber(fields[0])
	if err != nil {
		return err
	}
	name, err := unquote(fields[1])
	if err != nil {
		return err
	}
	if i := p.rules.group(number); i >= 0 {
		return fmt.Errorf("there is a group %d already, %q", number, p.rules.groups[i].Name)
	}
	if p.list += groupSize + len(name); p.list > maxGroupList {
		return errors.New("with this there are more groups than one message can tell a client of")
	}
	p.rules.groups = append(p.rules.groups, push.Group{Number: number, Name: name})
	return nil
}

// ParseGroup reads a group as options have it, "1=R&D Department".
func ParseGroup(text string) (push.Group, error) {
	before, name, ok := strings.Cut(text, "=")
	if !ok {
		return push.Group{}, errors.New("a group is written NUMBER=NAME, as in 1=Sales")
	}
	number, err := parseNumber(before)
	if err == nil {
		err = checkName(name)
	}
	return push.Group{Number: number, Name: name}, err
}

// unquote takes the backslashes from a name.
func unquote(word string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		if word[i] == '\\' {
			if i++; i == len(word) || !strings.ContainsRune("\\\" \t#", rune(word[i])) {
				return "", errors.New(`a backslash; one that belongs to a name is written \\`)
			}
		}
		b.WriteByte(word[i])
	}
	return b.String(), checkName(b.String())
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the group's name is empty")
	case len(name) > maxName:
		return fmt.Errorf("the group's name is longer than %d octets", maxName)
	case !utf8.ValidString(name):
		return errors.New("the group's name is not UTF-8")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("the group's name %q has characters that do not print", name)
	}
	return nil
}

// split gives the words of a line, without quotes and with backslashes.
func split(text string) ([]string, error) {
	if i := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }); i >= 0 {
		return nil, fmt.Errorf("the control character %#x", text[i])
	}
	var fields []string
	for {
		text = strings.TrimLeft(text, " \t")
		if text == "" || text[0] == '#' {
			return fields, nil
		}
		quoted := text[0] == '"'
		if quoted {
			text = text[1:]
		}
		end := 0
		for end < len(text) && (quoted || text[end] != ' ' && text[end] != '\t') {
			if text[end] == '"' {
				break
			}
			if text[end] == '\\' {
				end++
			}
			end++
		}
		switch end = min(end, len(text)); {
		case !quoted && end < len(text) && text[end] == '"':
			return nil, errors.New("a quote inside of a word")
		case !quoted:
			fields, text = append(fields, text[:end]), text[end:]
		case end == len(text):
			return nil, errors.New("the closing quote is missing")
		default:
			fields, text = append(fields, text[:end]), text[end+1:]
			if text != "" && text[0] != ' ' && text[0] != '\t' {
				return nil, errors.New("a closing quote with something at it; a quote in quotes is written \\\"")
			}
		}
	}
}

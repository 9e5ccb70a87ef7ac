package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

// An operation is something that a push server is to do.
type operation struct {
	line   int    // of the batch; 0: from the command line
	verb   string // one of verbs
	groups []uint32
	to     string
	data   []byte
	pause  time.Duration
}

var verbs = []string{"subscribe", "leave", "publish", "to", "sign", "wait"}

// String says it as a batch does, without the data.
func (op *operation) String() string {
	switch op.verb {
	case "subscribe", "leave", "publish":
		return op.verb + " " + joinGroups(op.groups)
	case "to":
		return "to " + op.to
	case "wait":
		return "wait " + op.pause.String()
	}
	return op.verb
}

func joinGroups(groups []uint32) string {
	var b strings.Builder
	for i, g := range groups {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(uint64(g), 10))
	}
	return b.String()
}

// parseGroups reads "1,3".
func parseGroups(text string) ([]uint32, error) {
	var groups []uint32
	for number := range strings.SplitSeq(text, ",") {
		g, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is no list of groups: these are numbers with commas between them", text)
		}
		if !slices.Contains(groups, uint32(g)) {
			groups = append(groups, uint32(g))
		}
	}
	if len(groups) > pushwire.MaxGroups {
		return nil, fmt.Errorf("%d groups, and %d at once are the most", len(groups), pushwire.MaxGroups)
	}
	return groups, nil
}

// parseOperation reads a line of a batch. It is nil for a line without any.
func parseOperation(line string) (*operation, error) {
	line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), " \t")
	if line == "" || line[0] == '#' {
		return nil, nil
	}
	op := new(operation)
	var rest string
	op.verb, rest = cutWord(line)
	if !slices.Contains(verbs, op.verb) {
		return nil, fmt.Errorf("unknown operation %q; known are %s", op.verb, strings.Join(verbs, ", "))
	}
	if op.verb == "sign" {
		op.data = []byte(rest)
		return op, checkData(op.data)
	}
	word, text := cutWord(rest)
	if word == "" {
		return nil, fmt.Errorf("%s what? %s", op.verb, forms[op.verb])
	}
	var err error
	switch op.verb {
	case "subscribe", "leave", "publish":
		op.groups, err = parseGroups(word)
	case "to":
		op.to, err = word, checkName(word)
	case "wait":
		op.pause, err = parsePause(word)
	}
	switch {
	case err != nil:
		return nil, err
	case op.verb == "publish" || op.verb == "to":
		op.data = []byte(text)
		return op, checkData(op.data)
	case text != "":
		return nil, fmt.Errorf("%q is too much; %s", text, forms[op.verb])
	}
	return op, nil
}

// forms show how operations are written.
var forms = map[string]string{
	"subscribe": "it is written: subscribe 1,3",
	"leave":     "it is written: leave 1,3",
	"publish":   "it is written: publish 1,2 TEXT",
	"to":        "it is written: to alice TEXT",
	"wait":      "it is written: wait 2s",
}

func parsePause(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > pushwire.MaxWait {
		return 0, fmt.Errorf("%q is no time to wait: that is up to %v, such as 500ms or 2s", text, pushwire.MaxWait)
	}
	return d, nil
}

func checkName(name string) error {
	if len(name) > pushwire.MaxName {
		return fmt.Errorf("the name has %d bytes, and %d are the most", len(name), pushwire.MaxName)
	}
	return nil
}

func checkData(data []byte) error {
	switch {
	case len(data) == 0:
		return errors.New("the message is missing")
	case len(data) > pushwire.MaxData:
		return fmt.Errorf("the message has %d bytes, and %d are the most", len(data), pushwire.MaxData)
	}
	return nil
}

// cutWord cuts the first word and the blanks behind it off. A backslash takes what
// follows it with it, as in principals.
func cutWord(s string) (word, rest string) {
	end := 0
	for end < len(s) && s[end] != ' ' && s[end] != '\t' {
		if s[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(s))
	return s[:end], strings.TrimLeft(s[end:], " \t")
}

// parseBatch reads a whole batch.
func parseBatch(file string, content []byte) ([]*operation, error) {
	var ops []*operation
	n := 0
	for line := range bytes.Lines(content) {
		n++
		op, err := parseOperation(string(line))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		if op != nil {
			op.line = n
			ops = append(ops, op)
		}
	}
	if len(ops) == 0 {
		return nil, fmt.Errorf("%s: there is nothing in it to be done", file)
	}
	return ops, nil
}

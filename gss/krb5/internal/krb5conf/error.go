package krb5conf

import (
	"errors"
	"fmt"
)

// ErrFormat is what every [Error] about the contents of a file answers to with
// errors.Is. Its text is MIT's for KRB5_CONFIG_BADFORMAT.
//
//lint:ignore ST1005 MIT's wording
var ErrFormat = errors.New("Improper format of Kerberos configuration file")

// ErrNoTranslation is returned by [Profile.LocalName] for a principal which no
// rule translates. Its text is MIT's for KRB5_LNAME_NOTRANS.
//
//lint:ignore ST1005 MIT's wording
var ErrNoTranslation = errors.New("No translation available for requested principal")

// badFormat is KRB5_CONFIG_BADFORMAT of MIT's error table.
const badFormat = -1765328248

// Error is a fault in a configuration file.
type Error struct {
	File string // as it was named to the reader, or found by an include
	Line int    // counted from one; zero where no line is to blame
	Text string // the offending line or value, cut to a readable length
	Err  error  // what is wrong with it
}

// Error gives MIT's text followed by file, line, text and cause.
func (e *Error) Error() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s, line %d", e.File, e.Line)
	}
	if e.Text != "" {
		where += fmt.Sprintf(": %q", e.Text)
	}
	return fmt.Sprintf("%v: %s: %v", ErrFormat, where, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is says that every Error is an ErrFormat.
func (e *Error) Is(target error) bool { return target == ErrFormat }

// Minor is MIT's status code for it, KRB5_CONFIG_BADFORMAT.
func (e *Error) Minor() int32 { return badFormat }

// maxErrorText bounds how much of an offending line an error repeats, in bytes.
const maxErrorText = 80

func newError(file string, line int, text string, err error) *Error {
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "..."
	}
	return &Error{File: file, Line: line, Text: text, Err: err}
}

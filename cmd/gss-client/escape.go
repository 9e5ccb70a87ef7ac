package main

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible gives text of a peer with what does not print as escapes.
func visible(s string) string {
	return escape(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// exactly gives text that JSON can hold: octets that are no UTF-8 as \xNN, which
// in a principal stands for nothing else.
func exactly(s string) string { return escape(s, func(rune) bool { return false }) }

func escape(s string, hide func(rune) bool) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hide) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 || hide(r) {
			quoted := strconv.Quote(s[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

package sign

import (
	"math/rand/v2"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Whatever is shown as text has nothing in it but what prints, tabs and line
// ends, wherever it stands; and all that has is shown as text.
func TestIsText(t *testing.T) {
	plain := []byte("Nothing in this is more than a letter, a digit or ~: 0123456789")
	for at := range plain {
		for c := range 256 {
			msg := append([]byte(nil), plain...)
			msg[at] = byte(c)
			want := c >= ' ' && c <= '~' || c == '\n' || c == '\t'
			if got := isText(msg); got != want {
				t.Fatalf("byte %#x at %d: text: %t", c, at, got)
			}
		}
	}
	runes := []rune("aZ ~\n\tä€\U0001f600\u0085\u200b\ufffd\x7f\x00")
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		msg := []byte("ab")
		want := true
		for range random.IntN(20) {
			r := runes[random.IntN(len(runes))]
			msg = utf8.AppendRune(msg, r)
			want = want && (unicode.IsPrint(r) || r == '\n' || r == '\t')
		}
		if got := isText(msg); got != want {
			t.Fatalf("%q: text: %t", msg, got)
		}
	}
}

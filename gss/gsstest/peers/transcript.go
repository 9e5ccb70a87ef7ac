package peers

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A Transcript is what a test and a peer said to each other. As text it is a
// line a message, "> " before a request and "< " before a reply, the strings
// apart by spaces, as they are where they are printable and "hex:" before their
// hexadecimal digits where they are not.
type Transcript struct {
	calls []exchange
}

type exchange struct{ request, reply [][]byte }

// Record has a transcript kept of what is said to the peer from here on.
func (p *Peer) Record() *Transcript {
	transcript := &Transcript{}
	live := p.roundTrip
	p.roundTrip = func(request [][]byte) ([][]byte, error) {
		reply, err := live(request)
		if err == nil {
			transcript.calls = append(transcript.calls, exchange{cloneStrings(request), cloneStrings(reply)})
		}
		return reply, err
	}
	return transcript
}

// Replay gives a peer that answers as the recorded one did. A request that is
// not the recorded one, to the octet, fails the test, and so does one that was
// recorded and is never made.
func Replay(t testing.TB, transcript *Transcript) *Peer {
	rest := transcript.calls
	t.Cleanup(func() {
		if len(rest) > 0 && !t.Failed() {
			t.Errorf("%d recorded calls were not made, the first being %s", len(rest), rest[0].request[0])
		}
	})
	return &Peer{func(request [][]byte) ([][]byte, error) {
		if len(rest) == 0 {
			return nil, errors.New("the transcript has ended")
		}
		call := rest[0]
		if got, want := formatStrings(request), formatStrings(call.request); got != want {
			return nil, fmt.Errorf("the request differs from the recorded one:\n%s\n%s", got, want)
		}
		rest = rest[1:]
		return call.reply, nil
	}}
}

// MarshalText implements encoding.TextMarshaler.
func (t *Transcript) MarshalText() ([]byte, error) {
	var b bytes.Buffer
	for _, c := range t.calls {
		fmt.Fprintf(&b, "> %s\n< %s\n", formatStrings(c.request), formatStrings(c.reply))
	}
	return b.Bytes(), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Transcript) UnmarshalText(text []byte) error {
	t.calls = nil
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 2*maxLength+len("hex:"))
	for n := 1; lines.Scan(); n++ {
		mark, rest, _ := strings.Cut(lines.Text(), " ")
		list, err := parseStrings(rest)
		if err != nil {
			return fmt.Errorf("transcript line %d: %w", n, err)
		}
		odd := n%2 == 1
		switch {
		case odd && mark == ">":
			t.calls = append(t.calls, exchange{request: list})
		case !odd && mark == "<":
			t.calls[len(t.calls)-1].reply = list
		default:
			return fmt.Errorf("transcript line %d: %q where requests and replies alternate", n, mark)
		}
	}
	if k := len(t.calls); k > 0 && t.calls[k-1].reply == nil {
		return errors.New("transcript: the last request has no reply")
	}
	return lines.Err()
}

func cloneStrings(list [][]byte) [][]byte {
	clone := make([][]byte, len(list))
	for i, s := range list {
		clone[i] = bytes.Clone(s)
	}
	return clone
}

func formatStrings(list [][]byte) string {
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = formatString(s)
	}
	return strings.Join(words, " ")
}

func formatString(s []byte) string {
	printable := len(s) > 0 && !bytes.HasPrefix(s, []byte("hex:"))
	for _, c := range s {
		printable = printable && '!' <= c && c <= '~'
	}
	if printable {
		return string(s)
	}
	return "hex:" + hex.EncodeToString(s)
}

func parseStrings(line string) ([][]byte, error) {
	words := strings.Split(line, " ")
	list := make([][]byte, len(words))
	for i, word := range words {
		digits, isHex := strings.CutPrefix(word, "hex:")
		if !isHex {
			if list[i] = []byte(word); word == "" {
				return nil, errors.New("an empty word: the empty string is written hex: with nothing behind")
			}
			continue
		}
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, err
		}
		list[i] = b
	}
	return list, nil
}

package peers

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func list(words ...string) [][]byte {
	var b [][]byte
	for _, w := range words {
		b = append(b, []byte(w))
	}
	return b
}

// echo is a peer that gives each request's arguments back.
func echo() *Peer {
	return &Peer{func(request [][]byte) ([][]byte, error) {
		return append(list("ok"), request[1:]...), nil
	}}
}

// brokenTB takes note of failures instead of failing.
type brokenTB struct {
	testing.TB
	failures []string
	cleanup  []func()
}

func (b *brokenTB) Cleanup(f func()) { b.cleanup = append(b.cleanup, f) }
func (b *brokenTB) Failed() bool     { return false }
func (b *brokenTB) Errorf(format string, args ...any) {
	b.failures = append(b.failures, fmt.Sprintf(format, args...))
}

func TestRecordAndReplay(t *testing.T) {
	peer := echo()
	transcript := peer.Record()
	token := []byte("\x60\x00token")
	if _, err := peer.call(1, "mic", token); err != nil {
		t.Fatal(err)
	}
	token[0] = 0 // what was recorded stays
	if _, err := peer.call(2, "names", nil, []byte("hex:00")); err != nil {
		t.Fatal(err)
	}
	text, err := transcript.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	const want = "> mic hex:6000746f6b656e\n< ok hex:6000746f6b656e\n> names hex: hex:6865783a3030\n< ok hex: hex:6865783a3030\n"
	if string(text) != want {
		t.Errorf("recorded:\n%s", text)
	}

	replayed := func(f func(*Peer)) []string {
		var again Transcript
		if err := again.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
		tb := &brokenTB{TB: t}
		f(Replay(tb, &again))
		tb.cleanup[0]()
		return tb.failures
	}
	if f := replayed(func(p *Peer) {
		if r, err := p.call(1, "mic", []byte("\x60\x00token")); err != nil || string(r[0]) != "\x60\x00token" {
			t.Errorf("%q, %v", r, err)
		}
		if _, err := p.call(2, "names", nil, []byte("hex:00")); err != nil {
			t.Error(err)
		}
		if _, err := p.call(0, "more"); err == nil {
			t.Error("more than was recorded")
		}
	}); len(f) != 0 {
		t.Error(f)
	}
	if f := replayed(func(p *Peer) {
		if _, err := p.call(1, "mic", []byte("\x60\x00taken")); err == nil || !strings.Contains(err.Error(), "differs") {
			t.Errorf("another request: %v", err)
		}
	}); len(f) != 1 || !strings.Contains(f[0], "2 recorded calls were not made, the first being mic") {
		t.Errorf("%q", f)
	}
}

func TestMalformedTranscripts(t *testing.T) {
	for _, text := range []string{
		"> init\n", "< ok\n", "> init\n> init\n", "> init\n< ok\n< ok\n", "> init  krb5\n< ok\n", "> hex:6\n< ok\n", "init\n< ok\n", ">\n<\n",
	} {
		var transcript Transcript
		if err := transcript.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func FuzzTranscript(f *testing.F) {
	f.Add([]byte("> init krb5 host@localhost 62\n< ok\n> step hex:\n< ok continue hex:60820000\n"))
	f.Add([]byte("> step hex:00\n< error 851968 hex:6e6f20 hex:\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var transcript, again Transcript
		if transcript.UnmarshalText(text) != nil {
			return
		}
		out, err := transcript.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalText(out); err != nil || len(again.calls) != len(transcript.calls) {
			t.Fatalf("%q reads back as %d of %d calls, %v", out, len(again.calls), len(transcript.calls), err)
		}
		if out2, _ := again.MarshalText(); !bytes.Equal(out, out2) {
			t.Fatalf("%q then %q", out, out2)
		}
	})
}

func TestStrings(t *testing.T) {
	var b bytes.Buffer
	want := list("ok", "", "\x00\xff")
	if err := writeStrings(&b, want); err != nil {
		t.Fatal(err)
	}
	good := bytes.Clone(b.Bytes())
	got, err := readStrings(&b)
	if err != nil || formatStrings(got) != formatStrings(want) || b.Len() != 0 {
		t.Errorf("%q, %v", got, err)
	}
	for n := range good {
		if got, err := readStrings(bytes.NewReader(good[:n])); err == nil {
			t.Errorf("the first %d octets read as %q", n, got)
		}
	}
	for _, bad := range []string{"\x00\x00\x00\x00", "\x00\x00\x00\x09", "\x00\x00\x00\x01\xff\xff\xff\xff"} {
		if got, err := readStrings(strings.NewReader(bad)); err == nil {
			t.Errorf("%x reads as %q", bad, got)
		}
	}
}

func FuzzStrings(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02\x00\x00\x00\x02ok\x00\x00\x00\x01x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		got, err := readStrings(r)
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := writeStrings(&b, got); err != nil || !bytes.Equal(b.Bytes(), data[:len(data)-r.Len()]) {
			t.Fatalf("%x is written back as %x, %v", data, b.Bytes(), err)
		}
	})
}

package pushwire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/token"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A fakeContext seals by a prefix that says whether it did.
type fakeContext struct{}

func (fakeContext) Wrap(dst, msg []byte, seal bool) ([]byte, error) {
	if seal {
		return append(append(dst, 'S'), msg...), nil
	}
	return append(append(dst, 'P'), msg...), nil
}

func (fakeContext) Unwrap(dst, token []byte) ([]byte, bool, error) {
	if len(token) == 0 || token[0] != 'S' && token[0] != 'P' {
		return nil, false, errors.New("bad token")
	}
	return append(dst, token[1:]...), token[0] == 'S', nil
}

func wireOver(rw io.ReadWriter, budget *token.Budget) (*token.Conn, *pushwire.Conn) {
	frames := token.NewConn(rw)
	return frames, pushwire.NewConn(frames, fakeContext{}, budget)
}

func TestConn(t *testing.T) {
	var wire bytes.Buffer
	_, w := wireOver(&wire, nil)
	for _, parts := range [][][]byte{{[]byte("one, "), []byte("two")}, {[]byte("three")}, {make([]byte, pushwire.MaxToken)}} {
		if err := w.Write(parts...); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(make([]byte, pushwire.MaxToken), []byte{0}); err == nil {
		t.Error("more than a token holds was written")
	}
	_, r := wireOver(&wire, nil)
	for _, want := range []string{"one, two", "three", strings.Repeat("\x00", pushwire.MaxToken)} {
		if got, err := r.Read(); err != nil || string(got) != want {
			t.Errorf("read %.20q, %v; want %.20q", got, err, want)
		}
	}
	if _, err := r.Read(); err != io.ErrUnexpectedEOF {
		t.Errorf("the end without a word reads as %v", err)
	}
}

// Whatever is not the next token, sealed and in its frame, ends the connection.
func TestConnRefuses(t *testing.T) {
	const sealed = token.Data | token.Wrapped | token.Encrypted
	numbered := func(kind byte, number uint64) []byte {
		return append(binary.BigEndian.AppendUint64([]byte{kind}, number), "message"...)
	}
	for name, tt := range map[string]struct {
		flags token.Flags
		data  []byte
		want  string
	}{
		"frame without a token": {token.NOOP, nil, "NOOP"},
		"MIC asked for":         {sealed | token.SendMIC, numbered('S', 0), "SEND_MIC"},
		"not encrypted":         {sealed, numbered('P', 0), "not encrypted"},
		"a token was lost":      {sealed, numbered('S', 1), "token 1 came where token 0"},
		"no number":             {sealed, []byte("S1234567"), "without a number"},
		"no token":              {sealed, []byte("x"), "bad token"},
	} {
		var wire bytes.Buffer
		frames, _ := wireOver(&wire, nil)
		if err := frames.WriteFrame(tt.flags, tt.data); err != nil {
			t.Fatal(err)
		}
		_, r := wireOver(&wire, nil)
		if msg, err := r.Read(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: read %q, %v; want an error with %q", name, msg, err, tt.want)
		}
	}
}

// A token repeated has a number that was there already, whatever the context says.
func TestConnRepeated(t *testing.T) {
	var wire bytes.Buffer
	_, w := wireOver(&wire, nil)
	if err := w.Write([]byte("once")); err != nil {
		t.Fatal(err)
	}
	wire.Write(bytes.Clone(wire.Bytes()))
	_, r := wireOver(&wire, nil)
	if _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	if msg, err := r.Read(); err == nil {
		t.Errorf("repeated token read as %q", msg)
	}
}

// What is being read counts, and no longer than it is held.
func TestConnBudget(t *testing.T) {
	var wire bytes.Buffer
	_, w := wireOver(&wire, nil)
	for range 2 {
		if err := w.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	budget := token.NewBudget(1500)
	_, r := wireOver(&wire, budget)
	if _, err := r.Read(); err != nil || budget.Used() < 1000 {
		t.Fatalf("%v, with %d octets counted", err, budget.Used())
	}
	if err := budget.Take(400); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(); err != nil {
		t.Fatalf("the memory of the message before was not given back: %v", err)
	}
	r.Release()
	if budget.Used() != 400 {
		t.Errorf("%d octets are still counted", budget.Used()-400)
	}
	if err := budget.Take(1000); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	var over *token.BudgetError
	if _, err := r.Read(); !errors.As(err, &over) {
		t.Errorf("read beyond the budget: %v", err)
	}
}

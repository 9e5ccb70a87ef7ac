package token_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/countersign-go/countersign/token"
)

// What Conns hold for long frames is taken from the budget and given back: by the next read, by Release, and when reading
// fails.
func TestBudget(t *testing.T) {
	const whole, part = 3 << 20, 1 << 20
	budget := token.NewBudget(whole)
	open := func(b *token.Budget, said []byte) *token.Conn {
		t.Helper()
		c, err := token.Config{Budget: b}.NewConn(peerSays(said))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	read := func(c *token.Conn, size int) {
		t.Helper()
		if frame, err := c.ReadFrame(); err != nil || len(frame.Data) != size {
			t.Fatalf("%d bytes, %v, want %d", len(frame.Data), err, size)
		}
	}
	used := func(least, most int64) {
		t.Helper()
		if n := budget.Used(); n < least || n > most {
			t.Errorf("%d bytes of the budget are used, want %d to %d", n, least, most)
		}
	}
	small, big := v2(token.Data, pattern(1000)), v2(token.Data, pattern(1<<20))

	one := open(budget, append(bytes.Clone(big), small...))
	read(one, 1<<20)
	used(1<<20, 1<<20+8)
	if n := one.Buffered(); n != 0 && n != len(small) {
		t.Errorf("%d bytes buffered of a frame of %d", n, len(small))
	}
	read(one, 1000)
	used(0, 0)

	two := open(budget, big)
	read(two, 1<<20)
	// 256 KiB and 1 MiB are held while a buffer grows: the third finds no room.
	three := open(budget, big)
	read(three, 1<<20)
	refused := open(budget, big)
	_, err := refused.ReadFrame()
	if want, ok := errors.AsType[*token.BudgetError](err); !ok || want.Size != whole {
		t.Errorf("beyond the budget: %v", err)
	}
	if _, again := refused.ReadFrame(); again != err {
		t.Errorf("read again: %v", again)
	}
	used(2<<20, 2<<20+16)
	read(open(budget, small), 1000) // small frames take nothing
	two.Release()
	three.Release()
	three.Release()
	used(0, 0)

	// A part does not use up the whole, which counts what the part has.
	p := budget.Part(part)
	_, err = open(p, big).ReadFrame()
	if want, ok := errors.AsType[*token.BudgetError](err); !ok || want.Size != part {
		t.Errorf("beyond the part: %v", err)
	}
	used(0, 0)
	four := open(p, v2(token.Data, pattern(60<<10)))
	read(four, 60<<10)
	used(64<<10, 65<<10)
	four.SetBudget(budget)
	four.Release() // goes back to where it came from
	used(0, 0)
	if err := p.Take(part); err != nil {
		t.Errorf("the part was not given back: %v", err)
	}

	// A stream that ends inside a frame gives back as well.
	used(part, part)
	if _, err := open(budget, big[:500000]).ReadFrame(); !errors.Is(err, token.ErrTruncated) {
		t.Error(err)
	}
	used(part, part)
}

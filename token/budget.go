package token

import (
	"fmt"
	"sync/atomic"
)

// A Budget bounds the memory that many Conns hold at once for frames longer than the read-ahead. Its methods are safe for
// concurrent use; a nil Budget has no bound.
type Budget struct {
	whole *Budget // which this one is a part of; may be nil
	size  int64
	used  atomic.Int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(size int64) *Budget { return &Budget{size: size} }

// Part returns a budget of at most size bytes, which are the whole's, too: who has a part cannot use the whole up.
func (b *Budget) Part(size int64) *Budget { return &Budget{whole: b, size: size} }

// Take takes n bytes, all of them or, with a [*BudgetError], none.
func (b *Budget) Take(n int) error {
	if b == nil {
		return nil
	}
	if b.used.Add(int64(n)) > b.size {
		b.used.Add(-int64(n))
		return &BudgetError{Wanted: int64(n), Size: b.size}
	}
	if err := b.whole.Take(n); err != nil {
		b.used.Add(-int64(n))
		return err
	}
	return nil
}

// Give gives n bytes back that were taken.
func (b *Budget) Give(n int) {
	for ; b != nil; b = b.whole {
		b.used.Add(-int64(n))
	}
}

// Used is the number of bytes taken and not given back.
func (b *Budget) Used() int64 { return b.used.Load() }

// A BudgetError says that the memory for a frame is not to be had, as the frames of all Conns together hold it already.
type BudgetError struct {
	Wanted int64 // bytes
	Size   int64 // bytes of the whole budget
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("token: no room for %d bytes more: the frames of all connections together may hold %d", e.Wanted, e.Size)
}

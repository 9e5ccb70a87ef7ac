package krb5

import "github.com/countersign-go/countersign/gss"

// seqWindow finds duplicate, old, out of order and missing per-message tokens
// (RFC 2743, section 1.2.3). It remembers the last windowSize sequence numbers.
//
// Numbers are kept relative to base, the peer's initial one, so that nothing
// special happens where they wrap. next is the relative number expected next;
// bit i of seen tells whether next-1-i was received.
type seqWindow struct {
	replay, sequence bool // what the context negotiated

	base uint64
	next uint64
	seen uint64
}

// windowSize is how far back a token may come and still be told from a
// duplicate: the bits of seqWindow.seen, as in the C libraries.
const windowSize = 64

func newSeqWindow(initial uint64, flags gss.Flags) seqWindow {
	return seqWindow{
		base:     initial,
		replay:   flags&gss.ReplayDetection != 0,
		sequence: flags&gss.Sequencing != 0,
	}
}

// watches reports whether the order of numbers matters at all. It never changes.
func (w *seqWindow) watches() bool { return w.replay || w.sequence }

// check records a number whose token was found authentic and gives its
// supplementary status, zero for one that is as expected.
//
// A number before the window is ErrOldToken wherever duplicates are to be
// detected, as it may be one; MIT's library reports it as out of sequence, and
// gives its message out, when sequencing was negotiated too.
func (w *seqWindow) check(seq uint64) gss.Major {
	if !w.watches() {
		return 0
	}
	rel := seq - w.base
	if ahead := int64(rel - w.next); ahead >= 0 {
		if ahead < windowSize-1 {
			w.seen = w.seen<<(ahead+1) | 1
		} else {
			w.seen = 1
		}
		w.next = rel + 1
		if ahead > 0 && w.sequence {
			return gss.ErrGapToken
		}
		return 0
	}
	behind := w.next - rel // 1 for the newest
	if behind > windowSize {
		if w.replay {
			return gss.ErrOldToken
		}
		return gss.ErrUnseqToken
	}
	bit := uint64(1) << (behind - 1)
	if w.replay && w.seen&bit != 0 {
		return gss.ErrDuplicateToken
	}
	w.seen |= bit
	if w.sequence {
		return gss.ErrUnseqToken
	}
	return 0
}

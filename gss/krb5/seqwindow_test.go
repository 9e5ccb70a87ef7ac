package krb5

import (
	"math"
	"testing"

	"github.com/countersign-go/countersign/gss"
)

func TestSeqWindow(t *testing.T) {
	const (
		ok  = gss.Major(0)
		gap = gss.ErrGapToken
		uns = gss.ErrUnseqToken
		dup = gss.ErrDuplicateToken
		old = gss.ErrOldToken
	)
	const none, replay, sequence, both = gss.Flags(0), gss.ReplayDetection, gss.Sequencing, gss.ReplayDetection | gss.Sequencing
	type step struct {
		rel  int64 // relative to the initial number
		want gss.Major
	}
	tests := []struct {
		name  string
		mode  gss.Flags
		steps []step
	}{
		{"in order", both, []step{{0, ok}, {1, ok}, {2, ok}, {3, ok}}},
		{"in order, replay only", replay, []step{{0, ok}, {1, ok}, {2, ok}}},
		{"duplicate", both, []step{{0, ok}, {0, dup}, {1, ok}, {0, dup}, {1, dup}, {2, ok}}},
		{"duplicate, replay only", replay, []step{{0, ok}, {1, ok}, {0, dup}, {1, dup}}},
		{"duplicate, sequence only", sequence, []step{{0, ok}, {1, ok}, {0, uns}, {1, uns}, {2, ok}}},
		{"nothing negotiated", none, []step{{0, ok}, {0, ok}, {9, ok}, {2, ok}}},
		{"gap, then the missing one", both, []step{{0, ok}, {2, gap}, {1, uns}, {1, dup}, {3, ok}}},
		{"gap, replay only", replay, []step{{0, ok}, {2, ok}, {1, ok}, {1, dup}, {2, dup}}},
		{"gap at the start", both, []step{{5, gap}, {0, uns}, {4, uns}, {4, dup}, {6, ok}}},
		{"window's far edge", both, []step{{0, ok}, {64, gap}, {1, uns}, {0, old}, {1, dup}}},
		{"window's far edge, replay only", replay, []step{{0, ok}, {64, ok}, {1, ok}, {0, old}, {1, dup}}},
		{"window's far edge, sequence only", sequence, []step{{0, ok}, {64, gap}, {1, uns}, {0, uns}}},
		{"gap of 62", both, []step{{0, ok}, {63, gap}, {0, dup}, {1, uns}}},
		{"gap of 63", both, []step{{0, ok}, {64, gap}, {64, dup}, {63, uns}}},
		{"jump past the window", both, []step{{0, ok}, {1000, gap}, {1000, dup}, {0, old}, {937, uns}, {936, old}, {1001, ok}}},
		{"before the first", both, []step{{0, ok}, {-1, uns}, {-1, dup}, {-70, old}, {1, ok}}},
		{"before the first, nothing received", both, []step{{-100, old}, {0, ok}, {0, dup}}},
		{"very far ahead and back", both, []step{{0, ok}, {math.MaxInt64, gap}, {0, old}, {math.MaxInt64, dup}}},
	}
	initials := []uint64{0, 1, 1<<32 - 2, 1 << 32, 1<<63 - 1, math.MaxUint64 - 1, math.MaxUint64}
	for _, tt := range tests {
		for _, initial := range initials {
			w := newSeqWindow(initial, tt.mode)
			for i, s := range tt.steps {
				if got := w.check(initial + uint64(s.rel)); got != s.want {
					t.Errorf("%s, from %d: step %d (%+d): got %v, want %v", tt.name, initial, i, s.rel, uint32(got), uint32(s.want))
				}
			}
		}
	}
}

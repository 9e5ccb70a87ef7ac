package token_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/countersign-go/countersign/token"
)

// In steady state neither reading nor writing allocates, whatever the size. (A garbage collection in between empties the
// pools, which costs some allocations then.)
func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for _, n := range []int{0, 64, 1 << 10, 2044, 5000, 64 << 10, 1 << 20, 16 << 20} {
		data := pattern(n)
		l := &loop{}
		c := conn(t, token.V2, 0, l)
		if err := c.WriteFrame(token.Greeting, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReadFrame(); err != nil {
			t.Fatal(err)
		}
		for name, write := range map[string]func() error{
			"WriteFrame": func() error { return c.WriteFrame(token.Data, data) },
			"WriteFrameFunc": func() error {
				return c.WriteFrameFunc(token.Data, func(dst []byte) ([]byte, error) { return append(dst, data...), nil })
			},
			"WriteToken": func() error { return c.WriteToken(data) },
		} {
			runs := 100
			if n > 64<<10 {
				runs = 5
			}
			var err error
			allocs := testing.AllocsPerRun(runs, func() {
				if e := write(); e != nil {
					err = e
				}
				if frame, e := c.ReadFrame(); e != nil || len(frame.Data) != n {
					err = errors.Join(errors.New("not what was written"), e)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if allocs != 0 {
				t.Errorf("%s and ReadFrame of %d bytes: %v allocations, want none", name, n, allocs)
			}
		}
	}
}

// allocated is how many bytes f allocates, with no buffers left over from others.
func allocated(f func()) uint64 {
	runtime.GC()
	runtime.GC() // the second empties the pools
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A length is believed as far as data has come.
func TestHostileLength(t *testing.T) {
	for _, test := range []struct{ claim, sent, most int }{
		{16 << 20, 0, 16 << 10},
		{16 << 20, 10, 16 << 10},
		{16 << 20, 10_000, 40 << 10},
		{16 << 20, 100_000, 600 << 10},
		{1 << 30, 10, 16 << 10},
	} {
		header := []byte{0x02, byte(test.claim >> 24), byte(test.claim >> 16), byte(test.claim >> 8), byte(test.claim)}
		c := conn(t, token.V2, test.claim, peerSays(append(header, pattern(test.sent)...)))
		var err error
		n := allocated(func() { _, err = c.ReadFrame() })
		if !errors.Is(err, token.ErrTruncated) {
			t.Errorf("%d of %d bytes: %v", test.sent, test.claim, err)
		}
		if n > uint64(test.most) {
			t.Errorf("%d of %d bytes: %d bytes allocated, want at most %d", test.sent, test.claim, n, test.most)
		}
	}
	c := token.NewConn(peerSays([]byte("\x02\xff\xff\xff\xff")))
	if n := allocated(func() { c.ReadFrame() }); n > 16<<10 {
		t.Errorf("4 GiB: %d bytes allocated", n)
	}
}

// A Conn that waits for a frame has forgotten how large the last was.
func TestIdleMemory(t *testing.T) {
	const count = 1000
	const each = 3 << 10 // the read-ahead, the Conn itself, the loop below it
	big := pattern(100 << 10)
	said := v2(token.Data, big)
	conns := make([]*token.Conn, count)
	inUse := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := inUse()
	for i := range conns {
		wire := &swap{r: bytes.NewReader(said)}
		c := conn(t, token.V2, 0, wire)
		if frame, err := c.ReadFrame(); err != nil || len(frame.Data) != len(big) {
			t.Fatal(err)
		}
		if err := c.WriteFrame(token.Data, big); err != nil {
			t.Fatal(err)
		}
		wire.r = nil
		if _, err := c.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		conns[i] = c
	}
	if n := (inUse() - before) / count; n > each {
		t.Errorf("an idle Conn holds %d bytes, want at most %d", n, each)
	}
	runtime.KeepAlive(conns)
}

// swap reads what it is given, then waits; what is written is dropped.
type swap struct{ r io.Reader }

func (s *swap) Read(p []byte) (int, error) {
	if s.r == nil {
		return 0, os.ErrDeadlineExceeded
	}
	return s.r.Read(p)
}

func (s *swap) Write(p []byte) (int, error) { return len(p), nil }

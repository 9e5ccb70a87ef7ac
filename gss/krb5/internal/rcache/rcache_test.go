package rcache

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a clock that moves when it is told to.
type clock struct{ now atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.now.Store(1_800_000_000e9)
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.now.Load()) }
func (c *clock) advance(d time.Duration) { c.now.Add(int64(d)) }
func (c *clock) config() Config          { return Config{Skew: 300 * time.Second, Now: c.Now} }

func tag(n int) []byte {
	return binary.BigEndian.AppendUint64([]byte("mac."), uint64(n)*0x9e3779b97f4a7c15+1)
}

func want(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// Both caches keep the same promises.
func TestStore(t *testing.T) {
	caches := map[string]func(Config) Cache{
		"memory": func(c Config) Cache { return NewMemory(0, c) },
		"file2": func(c Config) Cache {
			f, err := OpenFile2(filepath.Join(t.TempDir(), "rc"), c)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			return f
		},
	}
	for kind, make := range caches {
		t.Run(kind, func(t *testing.T) {
			clk := newClock()
			c := make(clk.config())
			now := clk.Now()
			want(t, "first", c.Store(tag(1), now), nil)
			want(t, "second", c.Store(tag(1), now), ErrReplay)
			want(t, "another", c.Store(tag(2), now), nil)
			long := append(tag(3), tag(4)...)
			want(t, "24 bytes", c.Store(long, now), nil)
			want(t, "24 bytes again", c.Store(long, now), ErrReplay)
			want(t, "as early as may be", c.Store(tag(5), now.Add(-300*time.Second)), nil)
			want(t, "as early again", c.Store(tag(5), now.Add(-300*time.Second)), ErrReplay)
			ahead := now.Add(300 * time.Second)
			want(t, "as late as may be", c.Store(tag(6), ahead), nil)
			clk.advance(599 * time.Second) // it would still be accepted
			want(t, "as late again", c.Store(tag(6), ahead), ErrReplay)
			for what, err := range map[string]error{
				"no tag": c.Store(nil, clk.Now()), "a tag of 25 bytes": c.Store(append(long, 0), clk.Now()),
				"too far ahead": c.Store(tag(7), clk.Now().Add(301*time.Second)),
			} {
				if err == nil || errors.Is(err, ErrReplay) {
					t.Errorf("%s: %v", what, err)
				}
			}
			// Of many at once exactly one wins.
			var wins atomic.Int32
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for i := range 200 {
						switch err := c.Store(tag(1000+i), clk.Now()); {
						case err == nil:
							wins.Add(1)
						case !errors.Is(err, ErrReplay):
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			if wins.Load() != 200 {
				t.Errorf("%d of 200 tags were stored", wins.Load())
			}
		})
	}
}

func TestMemoryForgets(t *testing.T) {
	clk := newClock()
	m := NewMemory(2, clk.config())
	now := clk.Now()
	want(t, "first", m.Store(tag(1), now), nil)
	want(t, "second", m.Store(tag(2), now.Add(100*time.Second)), nil)
	want(t, "third", m.Store(tag(3), now), ErrFull)
	want(t, "a replay when full", m.Store(tag(1), now), ErrReplay)
	if got := m.Stats(); got != (Stats{Entries: 2, Replays: 1, Refused: 1}) {
		t.Errorf("%+v", got)
	}
	clk.advance(300 * time.Second) // not passed yet
	want(t, "at the skew's end", m.Store(tag(3), clk.Now()), ErrFull)
	clk.advance(time.Second)
	want(t, "after it", m.Store(tag(3), clk.Now()), nil)
	want(t, "the second one still", m.Store(tag(2), clk.Now()), ErrReplay)
	// Set back, the clock frees nothing early.
	clk.advance(-200 * time.Second)
	want(t, "clock set back", m.Store(tag(3), clk.Now()), ErrReplay)
	want(t, "clock set back, full", m.Store(tag(4), clk.Now()), ErrFull)
	// Years later all is gone at once.
	clk.advance(50_000 * time.Hour)
	want(t, "years later", m.Store(tag(4), clk.Now()), nil)
	if got := m.Stats().Entries; got != 1 {
		t.Errorf("%d entries", got)
	}
	if len(m.expiry) != 1 {
		t.Errorf("%d seconds are kept", len(m.expiry))
	}
}

// A tag is not taken for a longer one that starts with it.
func TestMemoryWholeTag(t *testing.T) {
	m := NewMemory(0, newClock().config())
	now := m.config.Now()
	want(t, "12 bytes", m.Store(make([]byte, 12), now), nil)
	want(t, "16 bytes", m.Store(make([]byte, 16), now), nil)
	want(t, "24 bytes", m.Store(append(make([]byte, 23), 1), now), nil)
	want(t, "24 bytes, differing in the last", m.Store(append(make([]byte, 23), 2), now), nil)
}

func TestNames(t *testing.T) {
	c, err := Open("none:", Config{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "none:", errors.Join(c.Store(tag(1), time.Now()), c.Store(tag(1), time.Now())), nil)
	for _, bad := range []string{"", "dfl", "file2:", "/var/tmp/rc", "mem:x"} {
		if _, err := Open(bad, Config{}); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	path := filepath.Join(t.TempDir(), "rc")
	c, err = Open("file2:"+path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	f := c.(*File2)
	if f.Path() != path || f.config.Skew != 5*time.Minute {
		t.Errorf("%s, skew %v", f.Path(), f.config.Skew)
	}
	f.Close()
	for _, test := range [][4]string{{"none:", "dfl", "file2:/x", "none:"}, {"", "none", "file2:/x", "none:"}, {"", "", "file2:/x", "file2:/x"}, {"", "", "", "dfl:"}} {
		if got := DefaultName(test[0], test[1], test[2]); got != test[3] {
			t.Errorf("DefaultName(%q): %q", test[:3], got)
		}
	}
	for dir, want := range map[string]string{"KRB5RCACHEDIR": "/a", "TMPDIR": "/b", "": "/var/tmp"} {
		env := map[string]string{"TMPDIR": "/b", "KRB5RCACHEDIR": "/a"}
		if dir != "KRB5RCACHEDIR" {
			delete(env, "KRB5RCACHEDIR")
		}
		if dir == "" {
			delete(env, "TMPDIR")
		}
		if got := DefaultPath(func(k string) string { return env[k] }); filepath.ToSlash(filepath.Dir(got)) != want && runtime.GOOS != "windows" {
			t.Errorf("%s in %s", got, want)
		}
	}
}

func BenchmarkMemory(b *testing.B) {
	clk := newClock()
	m := NewMemory(0, clk.config())
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := int(n.Add(1))
			if i%3000 == 0 {
				clk.advance(time.Second)
			}
			if err := m.Store(tag(i), clk.Now()); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportAllocs()
}

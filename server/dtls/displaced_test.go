package dtls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/dtls/v3"
	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server"
)

// Places are given and taken as the rule has it, which is followed here the long
// way, through all handshakes.
func TestPlaces(t *testing.T) {
	const most, perPrefix = 20, 5
	rng := rand.New(rand.NewPCG(5, 6))
	h := handshakes{max: most, maxPerPrefix: perPrefix}
	type entry struct {
		*place
		prefix int
	}
	var all []entry // the oldest first
	count := func(prefix int) (n int) {
		for _, e := range all {
			if e.prefix == prefix {
				n++
			}
		}
		return n
	}
	displaced := 0
	for range 20_000 {
		if rng.IntN(3) == 0 && len(all) > 0 {
			i := rng.IntN(len(all))
			h.end(all[i].place)
			all = slices.Delete(all, i, i+1)
			continue
		}
		e := entry{new(place), rng.IntN(1 + rng.IntN(12))} // some prefixes more often than others
		own, top := count(e.prefix), 0
		for p := range 12 {
			top = max(top, count(p))
		}
		gone, limit := h.begin(netip.AddrFrom4([4]byte{192, 0, byte(e.prefix), byte(rng.IntN(256))}), e.place)
		wantLimit := 0
		switch {
		case own == perPrefix:
			wantLimit = perPrefix
		case len(all) == most:
			wantLimit = most
		}
		if limit != wantLimit || (gone != nil) != (wantLimit > 0) {
			t.Fatalf("own %d, in all %d: limit %d, want %d", own, len(all), limit, wantLimit)
		}
		if gone != nil {
			displaced++
			i := slices.IndexFunc(all, func(e entry) bool { return e.place == gone })
			if i < 0 {
				t.Fatal("a place was taken that is free")
			}
			from := all[i].prefix
			if oldest := slices.IndexFunc(all, func(e entry) bool { return e.prefix == from }); oldest != i {
				t.Fatalf("number %d gave way, %d is older", i, oldest)
			}
			if fair := from == e.prefix && (own == perPrefix || own == top) || limit == most && count(from) == top && top > own; !fair {
				t.Fatalf("a prefix with %d of %d gave way to one with %d", count(from), top, own)
			}
			h.end(gone) // its handshake ends later: that frees nothing
			all = slices.Delete(all, i, i+1)
		}
		all = append(all, e)
		if h.total != len(all) {
			t.Fatalf("%d are counted, there are %d", h.total, len(all))
		}
	}
	if displaced < 1000 {
		t.Errorf("only %d places were taken", displaced)
	}
	for _, e := range all {
		h.end(e.place)
	}
	if h.total != 0 || h.most != 0 || len(h.byPrefix) != 0 {
		t.Errorf("left: %d handshakes, rank %d, %d prefixes", h.total, h.most, len(h.byPrefix))
	}
}

// dialFake makes a handshake from an address of the fake network.
func dialFake(t *testing.T, f *fakeSocket, from string) (*pion.Conn, error) {
	t.Helper()
	c, err := pion.ClientWithOptions(f.client(from), f.LocalAddr(),
		pion.WithPSK(func([]byte) ([]byte, error) { return testKey, nil }),
		pion.WithPSKIdentityHint([]byte("alice")),
		pion.WithCipherSuites(pion.TLS_PSK_WITH_AES_128_GCM_SHA256),
		pion.WithLoggerFactory(silent))
	if err != nil {
		t.Fatal(err)
	}
	within, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return c, c.HandshakeContext(within)
}

// Prefixes that show cookies and then are silent keep nobody out, and their
// handshakes are told of together.
func TestSilentPrefixesMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := logrus.New()
		log.SetOutput(&out)
		f, s, es := startFake(t, Config{Log: log}, withEngine(server.Config{Log: log}))
		begun := time.Now()
		for i := range DefaultMaxPerPrefix {
			for prefix := range 16 {
				f.silentHello(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(prefix), byte(i)}), 5684))
			}
		}
		if n, prefixes := s.underWay(); n != DefaultMaxHandshakes || prefixes != 16 {
			t.Errorf("%d handshakes of %d prefixes", n, prefixes)
		}
		for i := range 10 {
			c, err := dialFake(t, f, fmt.Sprintf("192.0.2.%d:5684", i))
			if err != nil {
				t.Fatalf("client %d: %v", i, err)
			}
			if got := call(t, c, "hello"); got != "hello" {
				t.Errorf("client %d got %q back", i, got)
			}
			_ = c.Close()
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("ten clients took %v", took)
		}
		if n, _ := s.underWay(); n > DefaultMaxHandshakes || n < DefaultMaxHandshakes-10 {
			t.Errorf("%d handshakes under way", n)
		}
		es.await(t, Warning, "too many handshakes, closed the oldest of 203.0.")
		all, _ := es.snapshot()
		for _, e := range all {
			if e.Kind == Error || e.Kind == Warning && e.Text[:9] != "too many " {
				t.Errorf("%v %v: %s", e.Kind, e.Peer, e.Text)
			}
		}
		_ = s.Stop()
		for line := range bytes.Lines(out.Bytes()) {
			if bytes.Contains(line, []byte("session failed")) {
				t.Errorf("logged: %s", line)
			}
		}
		if n := bytes.Count(out.Bytes(), []byte("too many handshakes, closed the oldest")); n != 1 {
			t.Errorf("%d records of displaced handshakes within a second, want 1", n)
		}
	})
}

// Handshakes that gave way leave nothing behind, however many they are.
func TestDisplacedLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 20
		f, s, _ := startFake(t, Config{MaxHandshakes: most})
		knock := func(n int) {
			for i := range n {
				f.silentHello(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 5684))
			}
		}
		knock(most)
		goroutines := runtime.NumGoroutine()
		knock(1000)
		if n := runtime.NumGoroutine(); n > goroutines+most {
			t.Errorf("%d goroutines after 1,000 handshakes that gave way, %d before", n, goroutines)
		}
		r := s.current()
		r.mu.Lock()
		peers, open := len(r.peers), r.open
		r.mu.Unlock()
		if n, prefixes := s.underWay(); n != most || prefixes != most || peers != most || open != most {
			t.Errorf("%d handshakes of %d prefixes, %d peers, %d open, want %d of each", n, prefixes, peers, open, most)
		}
		_ = s.Stop()
	})
}

// In a server that is full, a handshake gives way to a connection of whatever
// kind, as any session does that is not established.
func TestHandshakesGiveWayInTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := logrus.New()
		log.SetOutput(&out)
		f, s, es := startFake(t, Config{}, withEngine(server.Config{MaxConnections: 2, Log: log}))
		for i := range 5 {
			f.silentHello(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 5684))
		}
		if n, _ := s.underWay(); n != 2 {
			t.Errorf("%d handshakes under way, want 2", n)
		}
		var conns []*pion.Conn
		for i := range 2 {
			c, err := dialFake(t, f, fmt.Sprintf("192.0.2.%d:5684", i))
			if err != nil {
				t.Fatalf("client %d: %v", i, err)
			}
			call(t, c, "hello")
			conns = append(conns, c)
		}
		f.silentHello(t, netip.MustParseAddrPort("203.0.113.9:5684"))
		for _, c := range conns {
			if got := call(t, c, "still"); got != "still" {
				t.Errorf("got %q back", got)
			}
			_ = c.Close()
		}
		es.awaitCount(t, 2, Info, "the peer closed")
		_ = s.Stop()
		for _, want := range []string{"too many connections, closed the oldest that was not established", "too many connections, refused"} {
			if n := bytes.Count(out.Bytes(), []byte(want)); n != 1 {
				t.Errorf("%q is logged %d times, want once", want, n)
			}
		}
		if bytes.Contains(out.Bytes(), []byte("session failed")) {
			t.Errorf("logged:\n%s", &out)
		}
	})
}

// Who loses the place is told, and forgotten, whether somebody has accepted the
// connection or not. One that begins anew from the same port hears nothing of it.
func TestDisplacedIsTold(t *testing.T) {
	closeNotify := []byte{typeAlert, 254, 253, 0, 0}
	isEnd := func(d []byte) bool { return bytes.HasPrefix(d, closeNotify) && d[recordHeader+1] == 0 }
	for name, accepted := range map[string]bool{"accepted": true, "waiting": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, c, _ := setUp(t, Config{MaxHandshakes: 1}, nil)
				f := newFakeSocket()
				if err := l.serve("fake", f); err != nil {
					t.Fatal(err)
				}
				s := &testServer{Listener: l}
				if accepted {
					s = run(t, l, c)
				}
				first := f.client("192.0.2.1:5684")
				f.silentHello(t, first.addr)
				f.silentHello(t, netip.MustParseAddrPort("198.51.100.1:5684"))
				if n, _ := s.underWay(); n != 1 || len(s.current().known()) != 1 {
					t.Errorf("%d handshakes, %d peers", n, len(s.current().known()))
				}
				ends := 0
				for buf := make([]byte, maxDatagram); ; {
					_ = first.SetReadDeadline(time.Now().Add(time.Millisecond))
					n, _, err := first.ReadFrom(buf)
					if err != nil {
						break
					}
					if isEnd(buf[:n]) {
						ends++
					}
				}
				if ends != 1 {
					t.Errorf("it was told of the end %d times", ends)
				}
				if !accepted {
					gone, err := l.Accept()
					if err != nil {
						t.Fatal(err)
					}
					if _, err := gone.Read(make([]byte, 1)); !errors.Is(err, server.ErrDisplaced) {
						t.Errorf("what is accepted reads: %v", err)
					}
					_ = gone.Close()
				}

				again := f.client("198.51.100.1:5684")
				hello := clientHello{version: version12, random: slices.Repeat([]byte{8}, randomLength), compression: []byte{0}}
				f.in <- fakeDatagram{data: hello.record(2, 0, nil, 0x00a8), from: again.addr}
				synctest.Wait()
				f.in <- fakeDatagram{data: hello.record(3, 1, cookieIn(t, f.last()), 0x00a8), from: again.addr}
				synctest.Wait()
				for buf := make([]byte, maxDatagram); ; {
					_ = again.SetReadDeadline(time.Now().Add(time.Millisecond))
					n, _, err := again.ReadFrom(buf)
					if err != nil {
						break
					}
					if isEnd(buf[:n]) {
						t.Error("who began anew was told of the end")
					}
				}
				if n, _ := s.underWay(); n != 1 || len(s.current().known()) != 1 {
					t.Errorf("after it began anew: %d handshakes, %d peers", n, len(s.current().known()))
				}
				if accepted {
					_ = s.Stop()
				} else {
					_ = l.Close()
				}
			})
		})
	}
}

// BenchmarkPlaces is what a place costs when there are many, and all are taken.
func BenchmarkPlaces(b *testing.B) {
	for _, most := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("most=%d", most), func(b *testing.B) {
			h := handshakes{max: most, maxPerPrefix: 64}
			n := uint32(0)
			begin := func() {
				n++
				h.begin(netip.AddrFrom4([4]byte{10, byte(n >> 4), byte(n), 1}), new(place))
			}
			for range most {
				begin()
			}
			b.ReportAllocs()
			for b.Loop() {
				begin()
			}
		})
	}
}

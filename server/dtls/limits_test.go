package dtls

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/dtls/v3"
)

// underWay gives how many handshakes the transport counts, and of how many
// prefixes.
func (s *testServer) underWay() (handshakes, prefixes int) {
	p := &s.transport.pending
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total, len(p.byPrefix)
}

// Who shows a cookie and says no more is forgotten after five seconds: nothing
// is left of it, and its place is free.
func TestEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, es := startFake(t, Config{MaxHandshakes: 3})
		begun := time.Now()
		for i := range 3 {
			f.silentHello(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i), 1}), 5684))
		}
		time.Sleep(time.Until(begun.Add(DefaultHandshakeTimeout - 1)))
		synctest.Wait()
		if n, prefixes := s.underWay(); n != 3 || prefixes != 3 || len(s.current().known()) != 3 {
			t.Errorf("before the time limit: %d handshakes of %d prefixes, %d peers", n, prefixes, len(s.current().known()))
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		r := s.current()
		r.mu.Lock()
		peers, open := len(r.peers), r.open
		r.mu.Unlock()
		if n, prefixes := s.underWay(); n != 0 || prefixes != 0 || peers != 0 || open != 0 {
			t.Errorf("after the time limit: %d handshakes of %d prefixes, %d peers, %d open", n, prefixes, peers, open)
		}
		es.awaitCount(t, 3, Error, "handshake failed: handshake not finished within 5s")

		f.silentHello(t, netip.MustParseAddrPort("198.51.100.1:5684"))
		if n, _ := s.underWay(); n != 1 {
			t.Errorf("the place is not free: %d handshakes", n)
		}
		_ = s.Stop()
	})
}

// So is who is not even accepted.
func TestEvictionFromBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, _ := setUp(t, Config{}, nil)
		f := newFakeSocket()
		if err := l.serve("fake", f); err != nil {
			t.Fatal(err)
		}
		s := &testServer{Listener: l}
		f.silentHello(t, netip.MustParseAddrPort("192.0.2.1:5684"))
		if n, _ := s.underWay(); n != 1 {
			t.Errorf("%d handshakes under way", n)
		}
		time.Sleep(DefaultHandshakeTimeout)
		synctest.Wait()
		if n, _ := s.underWay(); n != 0 || len(s.current().known()) != 0 {
			t.Errorf("after the time limit: %d handshakes, %d peers", n, len(s.current().known()))
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("it reads: %v", err)
		}
		_ = c.Close()
		_ = l.Close()
	})
}

// Who has shown a cookie cannot be pushed out by those who have not, or by who
// has many addresses of one prefix.
func TestGoodClientUnderFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, es := startFake(t, Config{})
		// One prefix has all the handshakes under way that it may.
		for i := range DefaultMaxPerPrefix + 6 {
			f.silentHello(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 5684))
		}
		if n, prefixes := s.underWay(); n != DefaultMaxPerPrefix || prefixes != 1 {
			t.Errorf("%d handshakes of %d prefixes", n, prefixes)
		}

		// And 10,000 hellos a second come, each of an address of its own.
		ctx, stop := context.WithCancel(t.Context())
		sent, flooded := 0, make(chan struct{})
		go func() {
			defer close(flooded)
			hello := testHello(0, 0, nil)
			for tick := time.NewTicker(time.Second / 10_000); ; {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				var a [4]byte
				binary.BigEndian.PutUint32(a[:], 0x0a000000|uint32(sent))
				f.in <- fakeDatagram{data: hello, from: netip.AddrPortFrom(netip.AddrFrom4(a), 5684)}
				sent++
			}
		}()
		for i := range 10 {
			time.Sleep(10 * time.Millisecond)
			c, err := pion.ClientWithOptions(f.client(fmt.Sprintf("192.0.2.%d:5684", i)), f.LocalAddr(),
				pion.WithPSK(func([]byte) ([]byte, error) { return testKey, nil }),
				pion.WithPSKIdentityHint([]byte("alice")),
				pion.WithCipherSuites(pion.TLS_PSK_WITH_AES_128_GCM_SHA256),
				pion.WithLoggerFactory(silent))
			if err != nil {
				t.Fatal(err)
			}
			within, cancel := context.WithTimeout(t.Context(), time.Second)
			err = c.HandshakeContext(within)
			cancel()
			if err != nil {
				t.Fatalf("client %d: %v", i, err)
			}
			if got := call(t, c, "hello"); got != "hello" {
				t.Errorf("client %d got %q back", i, got)
			}
			_ = c.Close()
		}
		stop()
		<-flooded
		es.awaitCount(t, 10, Info, "the peer closed")
		if n, _ := s.underWay(); sent < 900 || n > DefaultMaxPerPrefix {
			t.Errorf("%d hellos sent, %d handshakes under way", sent, n)
		}
		_ = s.Stop()
	})
}

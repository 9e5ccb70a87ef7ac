package dtls

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// Spoofed hellos leave nothing behind, and what is sent for them is less than
// what came.
func TestSpoofedHellos(t *testing.T) {
	f, s, es := startFake(t, Config{})
	hello := testHello(0, 0, nil)
	withCookie := testHello(1, 1, slices.Repeat([]byte{9}, cookieLength))
	spoof := func(n uint32) fakeDatagram {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x0a000000|n)
		from := netip.AddrPortFrom(netip.AddrFrom4(a), uint16(1024+n%60000))
		switch n % 8 {
		case 6:
			return fakeDatagram{data: withCookie, from: from}
		case 7:
			return fakeDatagram{data: hello[:20+n%40], from: from} // mutilated
		}
		return fakeDatagram{data: hello, from: from}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const hellos = 50_000
	f.in <- spoof(0)
	before, goroutines := heap(), runtime.NumGoroutine()
	received := len(hello)
	for n := range uint32(hellos) {
		d := spoof(n)
		received += len(d.data)
		f.in <- d
	}
	f.in <- fakeDatagram{data: []byte("x"), from: netip.MustParseAddrPort("192.0.2.1:1")} // all before have been routed
	if after := heap(); after > before+256<<10 {
		t.Errorf("%d hellos left %d bytes", hellos, after-before)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines more", n-goroutines)
	}
	r := s.current()
	r.mu.Lock()
	peers := len(r.peers)
	r.mu.Unlock()
	if all, _ := es.snapshot(); peers != 0 || len(all) != 0 {
		t.Errorf("%d peers, events %v", peers, all)
	}
	datagrams, sent := f.count()
	if sent == 0 || sent >= received {
		t.Errorf("%d bytes sent for %d", sent, received)
	}
	t.Logf("%d bytes in, %d datagrams of %d bytes out: %.2f", received, datagrams, sent, float64(sent)/float64(received))
}

// BenchmarkRouteHello is what one spoofed hello costs, but for the system's
// part.
func BenchmarkRouteHello(b *testing.B) {
	r := bareRouter(b)
	hello := unhex(b, gnutlsHello)
	from := netip.MustParseAddrPort("192.0.2.1:5684")
	b.ReportAllocs()
	for b.Loop() {
		r.route(hello, path{remote: from})
	}
}

// BenchmarkHandshakeUnderFlood is a good client's handshake and first echo
// while others, each from an address of its own, send hellos and never answer.
func BenchmarkHandshakeUnderFlood(b *testing.B) {
	for _, rate := range []int{0, 10_000, 30_000} {
		b.Run(fmt.Sprintf("hellos=%d", rate), func(b *testing.B) {
			s, _ := start(b, Config{})
			stop := make(chan struct{})
			var flood sync.WaitGroup
			sent := 0
			begun := time.Now()
			if rate > 0 {
				flood.Go(func() { sent = floodHellos(b, s.Addr(), rate, stop) })
			}
			var took []time.Duration
			for b.Loop() {
				t := time.Now()
				c, err := dialFrom(b, newSocket(b), s.Addr(), "alice", testKey)
				if err != nil {
					b.Fatal(err)
				}
				call(b, c, "hello")
				took = append(took, time.Since(t))
				_ = c.Close()
			}
			close(stop)
			flood.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(sent)/time.Since(begun).Seconds(), "hellos/s")
			b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
			b.ReportMetric(took[len(took)-1].Seconds()*1e3, "max-ms")
		})
	}
}

// floodHellos sends hellos from 250 loopback addresses, so many a second.
func floodHellos(b *testing.B, to net.Addr, rate int, stop chan struct{}) (sent int) {
	var socks []*net.UDPConn
	for i := range 250 {
		sock, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, byte(i+1), 1)})
		if err != nil {
			b.Error(err)
			return 0
		}
		defer sock.Close()
		socks = append(socks, sock)
	}
	hello := unhex(b, opensslHello)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for {
		select {
		case <-stop:
			return sent
		case now := <-tick.C:
			for due := int(now.Sub(begun).Seconds() * float64(rate)); sent < due; sent++ {
				_, _ = socks[sent%len(socks)].WriteTo(hello, to)
			}
		}
	}
}

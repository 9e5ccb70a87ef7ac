package dtls

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pion "github.com/pion/dtls/v3"
)

// A relay between one client and a server that loses, repeats and reorders
// datagrams, the same for the same seed and traffic.
type relay struct {
	front, back *net.UDPConn
	server      net.Addr
	loss, twice float64
	late        float64

	mu      sync.Mutex
	rng     *rand.Rand
	client  net.Addr
	held    [2][]byte // one datagram each way waits for the next
	passed  [2]int
	lose    func(way, n int) bool // instead of chance
	dropped int
	doubled int
	swapped int
}

func startRelay(t testing.TB, server net.Addr, seed uint64) *relay {
	t.Helper()
	r := &relay{front: newSocket(t), back: newSocket(t), server: server, loss: 0.05, twice: 0.05, late: 0.05, rng: rand.New(rand.NewPCG(seed, 0))}
	var loops sync.WaitGroup
	loops.Go(func() {
		r.pump(r.front, 0, func(from net.Addr) { r.client = from }, func(d []byte) { _, _ = r.back.WriteTo(d, r.server) })
	})
	loops.Go(func() {
		r.pump(r.back, 1, nil, func(d []byte) { _, _ = r.front.WriteTo(d, r.client) })
	})
	t.Cleanup(func() {
		_ = r.front.Close()
		_ = r.back.Close()
		loops.Wait()
	})
	return r
}

func (r *relay) pump(from *net.UDPConn, way int, seen func(net.Addr), send func([]byte)) {
	buf := make([]byte, maxDatagram)
	for {
		n, addr, err := from.ReadFrom(buf)
		if err != nil {
			return
		}
		d := slices.Clone(buf[:n])
		r.mu.Lock()
		if seen != nil {
			seen(addr)
		}
		r.passed[way]++
		switch x := r.rng.Float64(); {
		case r.lose != nil:
			if !r.lose(way, r.passed[way]) {
				send(d)
			}
		case x < r.loss:
			r.dropped++
		case x < r.loss+r.twice:
			r.doubled++
			send(d)
			send(d)
		case x < r.loss+r.twice+r.late && r.held[way] == nil:
			r.swapped++
			r.held[way] = d
			d = nil
		default:
			send(d)
		}
		if d != nil && r.held[way] != nil {
			send(r.held[way])
			r.held[way] = nil
		}
		r.mu.Unlock()
	}
}

// Handshakes and messages get through a way that loses, repeats and reorders.
func TestLossyWay(t *testing.T) {
	s, es := start(t, Config{HandshakeTimeout: patience})
	var dropped, doubled, swapped int
	const rounds = 12
	for seed := range uint64(rounds) {
		r := startRelay(t, s.Addr(), seed)
		c, err := dialFrom(t, newSocket(t), r.front.LocalAddr(), "alice", testKey)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i := range 20 {
			msg := fmt.Sprintf("message %d of %d", i, seed)
			if err := sendUntilBack(c, msg); err != nil {
				t.Fatalf("seed %d, message %d: %v", seed, i, err)
			}
		}
		_ = c.Close()
		r.mu.Lock()
		dropped, doubled, swapped = dropped+r.dropped, doubled+r.doubled, swapped+r.swapped
		r.mu.Unlock()
	}
	if dropped < rounds || doubled < rounds || swapped < rounds {
		t.Errorf("the way was too good: %d lost, %d doubled, %d swapped", dropped, doubled, swapped)
	}
	all, _ := es.snapshot()
	for _, e := range all {
		if e.Kind == Error && !strings.Contains(e.Text, errReplaced.Error()) { // from a relay's port that was used before
			t.Errorf("%v", e)
		}
	}
	t.Logf("%d lost, %d doubled, %d swapped", dropped, doubled, swapped)
}

// sendUntilBack sends a message until it comes back.
func sendUntilBack(c *pion.Conn, msg string) error {
	buf := make([]byte, maxRecord)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := c.Write([]byte(msg)); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return err
		}
		for {
			n, err := c.Read(buf)
			if err != nil {
				break
			}
			if string(buf[:n]) == msg {
				return nil
			}
		}
	}
	return fmt.Errorf("%q did not come back", msg)
}

// A repeated datagram is read once.
func TestRepeatedDatagram(t *testing.T) {
	s, es := start(t, Config{})
	r := startRelay(t, s.Addr(), 0)
	r.mu.Lock()
	r.loss, r.late, r.twice = 0, 0, 1
	r.mu.Unlock()
	c, err := dialFrom(t, newSocket(t), r.front.LocalAddr(), "alice", testKey)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 10 {
		msg := fmt.Sprintf("message %d", i)
		if got := call(t, c, msg); got != msg {
			t.Fatalf("got %q back, want %q", got, msg)
		}
	}
	es.await(t, Datagram, "message 9")
	all, _ := es.snapshot()
	seen := make(map[string]int)
	for _, e := range all {
		if e.Kind == Datagram {
			seen[e.Text]++
		}
	}
	for msg, n := range seen {
		if n != 1 {
			t.Errorf("%q was read %d times", msg, n)
		}
	}
}

// Whichever datagram is lost, OpenSSL gets through: what it is sent again it
// must not take for a repetition of what it has.
func TestOpenSSLClientLosesOne(t *testing.T) {
	for name, lost := range map[string][2]int{
		"hello":         {0, 1},
		"request":       {1, 1},
		"second hello":  {0, 2},
		"server's":      {1, 2},
		"client's":      {0, 3},
		"server's last": {1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, es := start(t, Config{})
			r := startRelay(t, s.Addr(), 0)
			r.mu.Lock()
			r.lose = func(way, n int) bool { return way == lost[0] && n == lost[1] }
			r.mu.Unlock()
			p := runProgram(t, "openssl", opensslArgs(r.front.LocalAddr(), "alice", testKey)...)
			p.await("Cipher is")
			p.send("hello")
			es.await(t, Datagram, "hello\n")
			p.await("\nhello\n")
			p.send("Q")
			p.wait()
		})
	}
}

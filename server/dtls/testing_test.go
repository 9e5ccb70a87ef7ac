package dtls

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pion "github.com/pion/dtls/v3"
)

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

var testKey = []byte("0123456789abcdef")

func keyOf(identity string) ([]byte, bool) { return testKey, identity == "alice" }

// events records events, and lets a test wait for one.
type events struct {
	mu   sync.Mutex
	all  []Event
	more chan struct{}
}

func newEvents() *events { return &events{more: make(chan struct{})} }

func (es *events) add(e Event) {
	es.mu.Lock()
	defer es.mu.Unlock()
	es.all = append(es.all, e)
	close(es.more)
	es.more = make(chan struct{})
}

func (es *events) snapshot() ([]Event, chan struct{}) {
	es.mu.Lock()
	defer es.mu.Unlock()
	return slices.Clone(es.all), es.more
}

// await gives the first event of the kind whose text contains the words.
func (es *events) await(t testing.TB, kind Kind, words string) Event {
	t.Helper()
	return es.awaitCount(t, 1, kind, words)
}

// awaitCount gives the nth such event.
func (es *events) awaitCount(t testing.TB, nth int, kind Kind, words string) Event {
	t.Helper()
	timeout := time.After(patience)
	for {
		all, more := es.snapshot()
		n := 0
		for _, e := range all {
			if e.Kind == kind && strings.Contains(e.Text, words) {
				if n++; n == nth {
					return e
				}
			}
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("no %v %q, number %d, in %+v", kind, words, nth, all)
		}
	}
}

// start makes a server that listens on a free port of 127.0.0.1 and records
// events. Its Key is keyOf, if the config has none.
func start(t testing.TB, cfg Config) (*Server, *events) {
	t.Helper()
	es := newEvents()
	if cfg.Key == nil {
		cfg.Key = keyOf
	}
	cfg.Event = es.add
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, es
}

// dialFrom makes a handshake from a socket of the test's, which it does not
// close by itself.
func dialFrom(t testing.TB, sock net.PacketConn, to net.Addr, identity string, key []byte) (*pion.Conn, error) {
	t.Helper()
	c, err := pion.ClientWithOptions(sock, to,
		pion.WithPSK(func([]byte) ([]byte, error) { return key, nil }),
		pion.WithPSKIdentityHint([]byte(identity)),
		pion.WithCipherSuites(pion.TLS_PSK_WITH_AES_128_GCM_SHA256),
		pion.WithFlightInterval(100*time.Millisecond),
		pion.WithLoggerFactory(silent))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func newSocket(t testing.TB) *net.UDPConn {
	t.Helper()
	sock, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sock.Close() })
	return sock
}

// dial makes a handshake as alice.
func dial(t testing.TB, to net.Addr) *pion.Conn {
	t.Helper()
	c, err := dialFrom(t, newSocket(t), to, "alice", testKey)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// call sends a message and gives the answer.
func call(t testing.TB, c *pion.Conn, msg string) string {
	t.Helper()
	if _, err := c.Write([]byte(msg)); err != nil {
		t.Fatal(err)
	}
	return receive(t, c)
}

func receive(t testing.TB, c *pion.Conn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxRecord)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// fakeSocket is a socket whose datagrams a test makes and counts.
type fakeSocket struct {
	in     chan fakeDatagram
	closed chan struct{}
	once   sync.Once

	mu        sync.Mutex
	sent      [][]byte // the last few
	sentBytes int
	sentCount int
}

type fakeDatagram struct {
	data []byte
	from netip.AddrPort
	err  error
}

func newFakeSocket() *fakeSocket {
	return &fakeSocket{in: make(chan fakeDatagram), closed: make(chan struct{})}
}

func (f *fakeSocket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-f.in:
		return copy(b, d.data), d.from, d.err
	case <-f.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (f *fakeSocket) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sentBytes += len(b)
	f.sentCount++
	if f.sent = append(f.sent, slices.Clone(b)); len(f.sent) > 8 {
		f.sent = f.sent[1:]
	}
	return len(b), nil
}

// last gives the last datagram that was sent.
func (f *fakeSocket) last() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.sent) == 0 {
		return nil
	}
	return f.sent[len(f.sent)-1]
}

func (f *fakeSocket) count() (datagrams, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sentCount, f.sentBytes
}

func (f *fakeSocket) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4447}
}

func (f *fakeSocket) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// startFake makes a server on a socket of the test's making.
func startFake(t testing.TB, cfg Config) (*fakeSocket, *Server, *events) {
	t.Helper()
	es := newEvents()
	if cfg.Key == nil {
		cfg.Key = keyOf
	}
	cfg.Event = es.add
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := newFakeSocket()
	if err := s.serve("fake", f); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return f, s, es
}

// testHello is a hello as small devices send it, and the same with a cookie.
func testHello(recordSeq uint64, messageSeq uint16, cookie []byte) []byte {
	h := clientHello{version: version12, random: slices.Repeat([]byte{7}, randomLength), compression: []byte{0}}
	return h.record(recordSeq, messageSeq, cookie, 0x00a8)
}

// cookieIn gives the cookie of a HelloVerifyRequest.
func cookieIn(t testing.TB, datagram []byte) []byte {
	t.Helper()
	cookie, ok := verifyRequest(datagram)
	if !ok {
		t.Fatalf("not a HelloVerifyRequest: %x", datagram)
	}
	return slices.Clone(cookie)
}

var errFailedRead = errors.New("the network is down")

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
	"testing/synctest"
	"time"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/transport/v5/packetio"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/echo"
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

// A testServer is an engine with one listener of a transport.
type testServer struct {
	*Listener
	stop   context.CancelFunc
	ended  chan struct{}
	result error
}

// A setup is what a test server is made of.
type setup struct {
	Config
	engine  server.Config
	service server.Service
	once    bool
}

func withACK(c *setup)  { c.service = echo.New(echo.Config{Ack: true}) }
func withOnce(c *setup) { c.once = true }
func withEngine(cfg server.Config) func(*setup) {
	return func(c *setup) { c.engine = cfg }
}

// start makes a server that echoes on a free port of 127.0.0.1 and records
// events. Its Key is keyOf, if the config has none.
func start(t testing.TB, cfg Config, more ...func(*setup)) (*testServer, *events) {
	t.Helper()
	l, c, es := setUp(t, cfg, more)
	if err := l.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return run(t, l, c), es
}

func setUp(t testing.TB, cfg Config, more []func(*setup)) (*Listener, setup, *events) {
	t.Helper()
	es := newEvents()
	c := setup{Config: cfg, service: echo.New(echo.Config{})}
	for _, change := range more {
		change(&c)
	}
	if c.Key == nil {
		c.Key = keyOf
	}
	c.Event = es.add
	transport, err := New(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	return transport.newListener(), c, es
}

// run serves until the test ends, or Stop is called.
func run(t testing.TB, l *Listener, c setup) *testServer {
	t.Helper()
	engine, err := server.New(c.engine)
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{Listener: l, ended: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	serve := engine.Run
	if c.once {
		serve = engine.RunOnce
	}
	go func() {
		defer close(s.ended)
		s.result = serve(ctx, &server.Listener{Listener: l, Service: c.service})
	}()
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

// Stop stops the engine and gives what it returned.
func (s *testServer) Stop() error {
	s.stop()
	return s.wait()
}

func (s *testServer) wait() error {
	<-s.ended
	return s.result
}

// current gives the router of a listener that listens.
func (s *testServer) current() *router {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.router
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
	clients   map[path]*packetio.Buffer // get what is sent to them
	sent      []sentDatagram            // the last few
	sentBytes int
	sentCount int
}

type fakeDatagram struct {
	data []byte
	from netip.AddrPort
	to   netip.Addr // may be invalid
	err  error
}

type sentDatagram struct {
	data []byte
	to   netip.AddrPort
}

func newFakeSocket() *fakeSocket {
	return &fakeSocket{in: make(chan fakeDatagram), closed: make(chan struct{})}
}

func (f *fakeSocket) receive(b []byte) (int, path, error) {
	select {
	case d := <-f.in:
		return copy(b, d.data), path{remote: d.from, local: d.to}, d.err
	case <-f.closed:
		return 0, path{}, net.ErrClosed
	}
}

func (f *fakeSocket) send(b []byte, way path) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.clients[way]; c != nil {
		_, _ = c.Write(b, nil)
	}
	f.sentBytes += len(b)
	f.sentCount++
	if f.sent = append(f.sent, sentDatagram{slices.Clone(b), way.remote}); len(f.sent) > 8 {
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
	return f.sent[len(f.sent)-1].data
}

// lastTo gives the last datagram that was sent to a client.
func (f *fakeSocket) lastTo(client netip.AddrPort) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range slices.Backward(f.sent) {
		if d.to == client {
			return d.data
		}
	}
	return nil
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

// A fakeClient is a client's socket on the network of a fake one.
type fakeClient struct {
	net  *fakeSocket
	addr netip.AddrPort
	to   netip.Addr
	in   *packetio.Buffer
}

func (f *fakeSocket) client(addr string) *fakeClient { return f.clientTo(addr, netip.Addr{}) }

// clientTo is a client that writes to one of several addresses, and hears nothing
// from others.
func (f *fakeSocket) clientTo(addr string, to netip.Addr) *fakeClient {
	c := &fakeClient{net: f, addr: netip.MustParseAddrPort(addr), to: to, in: packetio.NewBuffer()}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.clients == nil {
		f.clients = make(map[path]*packetio.Buffer)
	}
	f.clients[path{remote: c.addr, local: to}] = c.in
	return c
}

func (c *fakeClient) ReadFrom(b []byte) (int, net.Addr, error) {
	n, _, err := c.in.Read(b, nil)
	return n, c.net.LocalAddr(), err
}

func (c *fakeClient) WriteTo(b []byte, _ net.Addr) (int, error) {
	select {
	case c.net.in <- fakeDatagram{data: slices.Clone(b), from: c.addr, to: c.to}:
		return len(b), nil
	case <-c.net.closed:
		return 0, net.ErrClosed
	}
}

func (c *fakeClient) Close() error                       { return c.in.Close() }
func (c *fakeClient) LocalAddr() net.Addr                { return net.UDPAddrFromAddrPort(c.addr) }
func (c *fakeClient) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *fakeClient) SetReadDeadline(t time.Time) error  { return c.in.SetReadDeadline(t) }
func (c *fakeClient) SetWriteDeadline(t time.Time) error { return nil }

// silentHello sends a hello with a good cookie, and no more.
func (f *fakeSocket) silentHello(t testing.TB, from netip.AddrPort) {
	t.Helper()
	f.in <- fakeDatagram{data: testHello(0, 0, nil), from: from}
	synctest.Wait()
	f.in <- fakeDatagram{data: testHello(1, 1, cookieIn(t, f.lastTo(from))), from: from}
	synctest.Wait()
}

// startFake makes a server on a socket of the test's making.
func startFake(t testing.TB, cfg Config, more ...func(*setup)) (*fakeSocket, *testServer, *events) {
	t.Helper()
	l, c, es := setUp(t, cfg, more)
	f := newFakeSocket()
	if err := l.serve("fake", f); err != nil {
		t.Fatal(err)
	}
	return f, run(t, l, c), es
}

// bareRouter is a router that nobody accepts from.
func bareRouter(t testing.TB) *router {
	t.Helper()
	transport, err := New(Config{Key: keyOf})
	if err != nil {
		t.Fatal(err)
	}
	return newRouter(transport.newListener(), newFakeSocket())
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

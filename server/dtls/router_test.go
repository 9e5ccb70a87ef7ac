package dtls

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/server"
)

func TestHandshakeTimeout(t *testing.T) {
	s, es := start(t, Config{HandshakeTimeout: 50 * time.Millisecond, MaxHandshakes: 1})
	sock := newSocket(t)
	silentHello(t, sock, s.Addr())
	es.await(t, Error, "handshake failed")
	// There is room again.
	c := dial(t, s.Addr())
	if got := call(t, c, "next"); got != "next" {
		t.Errorf("got %q back", got)
	}
}

// silentHello sends a hello with a good cookie, and no more.
func silentHello(t testing.TB, sock *net.UDPConn, to net.Addr) {
	t.Helper()
	if _, err := sock.WriteTo(testHello(0, 0, nil), to); err != nil {
		t.Fatal(err)
	}
	if err := sock.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxDatagram)
	n, _, err := sock.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sock.WriteTo(testHello(1, 1, cookieIn(t, buf[:n])), to); err != nil {
		t.Fatal(err)
	}
}

// A handshake that does not go on holds up nobody else, and of those there is
// a limit in all and by prefix, at which a newcomer takes the oldest one's place.
func TestHandshakeLimits(t *testing.T) {
	for name, cfg := range map[string]Config{
		"all":    {MaxHandshakes: 3},
		"prefix": {MaxPerPrefix: 3},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.HandshakeTimeout = time.Minute
			s, es := start(t, cfg)
			for range 2 {
				silentHello(t, newSocket(t), s.Addr())
			}
			es.awaitCount(t, 2, Info, "verified")
			if got := call(t, dial(t, s.Addr()), "third"); got != "third" {
				t.Errorf("got %q back", got)
			}
			es.awaitCount(t, 3, Info, "verified")
			silentHello(t, newSocket(t), s.Addr())
			es.awaitCount(t, 4, Info, "verified")
			if got := call(t, dial(t, s.Addr()), "fifth"); got != "fifth" {
				t.Errorf("got %q back", got)
			}
			es.await(t, Warning, "too many handshakes, closed the oldest of 127.0.0.0/24: 1, limit 3")
			if name != "prefix" {
				return
			}
			// Another prefix has its own.
			elsewhere, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 1, 1)})
			if err != nil {
				t.Skip("127.0.1.1 is not ours here:", err)
			}
			defer elsewhere.Close()
			c, err := dialFrom(t, elsewhere, s.Addr(), "alice", testKey)
			if err != nil {
				t.Fatal(err)
			}
			if got := call(t, c, "elsewhere"); got != "elsewhere" {
				t.Errorf("got %q back", got)
			}
			_ = c.Close()
		})
	}
}

// A client that finds no room to wait in is told nothing, so that it tries again,
// and gets in when there is.
func TestBacklogFull(t *testing.T) {
	l, _, _ := setUp(t, Config{}, nil)
	sock := newFakeSocket()
	r := newRouter(l, sock)
	knock := func(n int) {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}), 5684)
		r.route(testHello(0, 0, nil), path{remote: from})
		r.route(testHello(1, 1, cookieIn(t, sock.last())), path{remote: from})
	}
	for n := range acceptBacklog {
		knock(n)
	}
	cookieIn(t, sock.last())
	knock(acceptBacklog)
	cookieIn(t, sock.last()) // nothing came after it
	r.pending.mu.Lock()
	total := r.pending.total
	r.pending.mu.Unlock()
	if known := len(r.known()); known != acceptBacklog || total != acceptBacklog {
		t.Errorf("%d peers are known, %d handshakes under way", known, total)
	}
	accepted := <-l.accepted
	knock(acceptBacklog)
	if known := len(r.known()); known != acceptBacklog+1 {
		t.Errorf("%d peers are known when there is room again", known)
	}
	_ = accepted.Close()
	r.abandon()
}

// Who is one too many is told at once, and a place that gets free is free.
func TestMaxConnections(t *testing.T) {
	s, es := start(t, Config{}, withEngine(server.Config{MaxConnections: 1}))
	c := dial(t, s.Addr())
	call(t, c, "first")
	if _, err := dialFrom(t, newSocket(t), s.Addr(), "alice", testKey); err == nil || !strings.Contains(err.Error(), "CloseNotify") {
		t.Errorf("the second got %v, want an alert", err)
	}
	_ = c.Close()
	es.await(t, Info, "the peer closed")
	for deadline := time.Now().Add(patience); ; {
		c, err := dialFrom(t, newSocket(t), s.Addr(), "alice", testKey)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the place did not get free: %v", err)
		}
	}
}

func TestRefusesHellos(t *testing.T) {
	f, _, es := startFake(t, Config{})
	from := netip.MustParseAddrPort("192.0.2.1:5684")
	send := func(d []byte) { f.in <- fakeDatagram{data: d, from: from} }
	sync := func() { send([]byte{1}) } // the one before has been routed when this is taken

	for name, tt := range map[string]struct {
		hello clientHello
		seq   uint16
		alert byte
		why   string
	}{
		"version": {clientHello{version: version10}, 1, 70, "the client does not speak DTLS 1.2"},
		"late":    {clientHello{version: version12}, 2, 40, "the cookie came too late"},
		"suites":  {clientHello{version: version12}, 1, 40, "the client offers no suite with a pre-shared key and authenticated encryption"},
	} {
		t.Run(name, func(t *testing.T) {
			h := tt.hello
			h.random, h.compression = slices.Repeat([]byte{tt.alert}, randomLength), []byte{0}
			suite := uint16(0x00a8)
			if name == "suites" {
				suite = 0x00ae // PSK with CBC
			}
			send(h.record(4, tt.seq, nil, suite))
			sync()
			cookie := cookieIn(t, f.last())
			send(h.record(5, tt.seq, cookie, suite))
			es.await(t, Error, tt.why)
			sync()
			if want := plainAlert(5, 2, tt.alert); !bytes.Equal(f.last(), want) {
				t.Errorf("sent %x, want the alert %x", f.last(), want)
			}
		})
	}
}

// The server's hello has the record number of the client's, above all that the
// verifier used (RFC 6347, section 4.2.1), and is message 1.
func TestServerHelloIsNumberedOn(t *testing.T) {
	f, _, es := startFake(t, Config{})
	from := netip.MustParseAddrPort("192.0.2.1:5684")
	for seq := range uint64(5) {
		f.in <- fakeDatagram{data: testHello(seq, 0, nil), from: from}
	}
	f.in <- fakeDatagram{data: []byte("x"), from: from} // those before have been answered
	request := f.last()
	if !bytes.Equal(request[5:11], []byte{0, 0, 0, 0, 0, 4}) {
		t.Errorf("the request is record %x, want that of the hello", request[5:11])
	}
	f.in <- fakeDatagram{data: testHello(5, 1, cookieIn(t, request)), from: from}
	es.await(t, Info, "verified")
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		d := f.last()
		if d[recordHeader] == 2 { // ServerHello
			if !bytes.Equal(d[5:11], []byte{0, 0, 0, 0, 0, 5}) || !bytes.Equal(d[17:19], []byte{0, 1}) {
				t.Errorf("the server's hello is record %x, message %x; want 5 and 1", d[5:11], d[17:19])
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no server's hello")
		}
	}
}

// What is odd is a warning and harms nobody.
func TestOddities(t *testing.T) {
	f, s, es := startFake(t, Config{})
	from := netip.MustParseAddrPort("192.0.2.1:5684")
	f.in <- fakeDatagram{from: from}
	if e := es.await(t, Warning, "0 byte datagram, could be a re-connect attempt?"); e.Peer != from {
		t.Errorf("it is of %v, want %v", e.Peer, from)
	}
	f.in <- fakeDatagram{err: errFailedRead}
	es.await(t, Warning, "failed to read a datagram: the network is down")

	f2, _, es2 := startFake(t, Config{})
	f2.in <- fakeDatagram{data: []byte("x")}
	es2.await(t, Warning, "failed to extract peer info (address, port)")
	f2.in <- fakeDatagram{data: []byte("x"), from: netip.MustParseAddrPort("192.0.2.1:0")}
	f2.in <- fakeDatagram{data: []byte("x"), from: from} // nobody's: ignored
	f2.in <- fakeDatagram{data: testHello(0, 0, nil), from: from}
	f2.in <- fakeDatagram{data: []byte("x"), from: from}
	cookieIn(t, f2.last())
	if !s.Listening() {
		t.Error("it listens no more")
	}
}

// Who is not the peer can neither end the session nor fill its memory.
func TestForgedRecords(t *testing.T) {
	s, es := start(t, Config{})
	sock := newSocket(t)
	c, err := dialFrom(t, sock, s.Addr(), "alice", testKey)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	call(t, c, "hello")
	sealed := es.await(t, Datagram, "hello").Ciphertext
	forged := slices.Clone(sealed)
	forged[10]++ // another number: not the record that was read
	alertSealed := slices.Clone(forged)
	alertSealed[0] = typeAlert
	for _, d := range [][]byte{
		plainAlert(99, 2, 40),
		plainAlert(98, 1, 0),
		forged,
		sealed, // replayed
		alertSealed,
		{typeApplication, 1, 2},
		appendMessage(nil, version12, 97, 16, 3, make([]byte, 1000)),
		testHello(96, 0, nil),
	} {
		// As it is from the peer's address, the cookie goes there, too, and is
		// passed over.
		if _, err := sock.WriteTo(d, s.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	if got := call(t, c, "still"); got != "still" {
		t.Errorf("got %q back", got)
	}
	all, _ := es.snapshot()
	n := 0
	for _, e := range all {
		if e.Kind == Datagram && e.Text == "hello" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the message was read %d times", n)
	}
}

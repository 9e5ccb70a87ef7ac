package dtls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server"
)

func TestEcho(t *testing.T) {
	s, es := start(t, Config{Hint: "who is it"})
	c := dial(t, s.Addr())
	if got := call(t, c, "hello\x1b[31m"); got != "hello\x1b[31m" {
		t.Errorf("got %q back", got)
	}
	peer := c.LocalAddr().String()
	e := es.await(t, Datagram, "hello")
	if e.Peer.String() != peer {
		t.Errorf("the datagram is of %v, want %s", e.Peer, peer)
	}
	if len(e.Ciphertext) <= recordHeader+len(e.Text) || e.Ciphertext[0] != typeApplication || bytes.Contains(e.Ciphertext, []byte("hello")) {
		t.Errorf("the ciphertext is %x", e.Ciphertext)
	}
	for _, words := range []string{"verified", "in progress", "encrypted with PSK-AES128-GCM-SHA256", `PSK identity received: "alice"`} {
		if e := es.await(t, Info, words); e.Peer.String() != peer {
			t.Errorf("%q is of %v, want %s", words, e.Peer, peer)
		}
	}
}

func TestReplyACK(t *testing.T) {
	s, _ := start(t, Config{Reply: ACK})
	for range 2 {
		c := dial(t, s.Addr())
		want := fmt.Sprintf("to %v: ACK", c.LocalAddr())
		if got := call(t, c, "hello"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestWrongKeyOrIdentity(t *testing.T) {
	s, es := start(t, Config{})
	for _, tt := range []struct {
		identity, key, why string
	}{
		{"alice", "fedcba9876543210", `identity "alice": the pre-shared key is wrong`},
		{"mallory", string(testKey), `identity "mallory": the pre-shared key is wrong`},
	} {
		c, err := dialFrom(t, newSocket(t), s.Addr(), tt.identity, []byte(tt.key))
		if err == nil {
			_ = c.Close()
			t.Fatalf("%s with %s was let in", tt.identity, tt.key)
		}
		// The same alert for both: it does not tell who is known.
		if !strings.Contains(err.Error(), "DecryptError") {
			t.Errorf("the client got %v, want an alert", err)
		}
		es.await(t, Error, tt.why)
	}
	es.await(t, Warning, `unknown identity "mallory"`)
	if got := call(t, dial(t, s.Addr()), "still here"); got != "still here" {
		t.Errorf("got %q back", got)
	}
}

func TestWeakKeys(t *testing.T) {
	weak := []byte{0x1a, 0x2b, 0x3c, 0x4d, 0x5e, 0x6f}
	key := func(string) ([]byte, bool) { return weak, true }
	s, es := start(t, Config{Key: key})
	if _, err := dialFrom(t, newSocket(t), s.Addr(), "alice", weak); err == nil {
		t.Error("a key of 6 bytes was accepted")
	}
	es.await(t, Warning, `the key of "alice" has 6 bytes, fewer than 16`)
	s, _ = start(t, Config{Key: key, WeakKeys: true})
	c, err := dialFrom(t, newSocket(t), s.Addr(), "alice", weak)
	if err != nil {
		t.Fatal(err)
	}
	if got := call(t, c, "weak"); got != "weak" {
		t.Errorf("got %q back", got)
	}
	_ = c.Close()
}

func TestListen(t *testing.T) {
	s, es := start(t, Config{})
	first := s.Addr().String()
	if !s.Listening() {
		t.Error("it says that it does not listen")
	}
	c := dial(t, s.Addr())

	// The same address: nothing happens.
	for _, same := range []string{"127.0.0.1:0", first} {
		if err := s.Listen(same); err != nil {
			t.Fatal(err)
		}
		if s.Addr().String() != first || call(t, c, "same") != "same" {
			t.Fatalf("listening on %s again was not nothing", same)
		}
	}

	// Another: shutdown first.
	if err := s.Listen("127.0.0.2:0"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer of the first address was not told: %v", err)
	}
	if s.Addr().String() == first || !s.Listening() {
		t.Errorf("it listens on %v", s.Addr())
	}
	if got := call(t, dial(t, s.Addr()), "there"); got != "there" {
		t.Errorf("got %q back", got)
	}
	es.await(t, Info, "closed by shutdown")
	again, err := net.ListenPacket("udp", first)
	if err != nil {
		t.Errorf("the first address is not free: %v", err)
	} else {
		_ = again.Close()
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s.Listening() || s.Addr() != nil {
		t.Error("it says that it listens")
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if got := call(t, dial(t, s.Addr()), "back"); got != "back" {
		t.Errorf("got %q back", got)
	}
	if err := s.Listen("nowhere"); err == nil {
		t.Error("it listens nowhere")
	}
	if s.Listening() {
		t.Error("it says that it listens where it cannot")
	}
}

func TestServe(t *testing.T) {
	es := newEvents()
	var log bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&log)
	s, err := New(Config{Key: keyOf, Event: es.add, Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context()); !errors.Is(err, ErrNotListening) {
		t.Errorf("got %v, want ErrNotListening", err)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.Serve(ctx) }()
	if err := s.Listen("127.0.0.2:0"); err != nil { // Serve goes along
		t.Fatal(err)
	}
	c := dial(t, s.Addr())
	call(t, c, "hello")
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer was not told: %v", err)
	}
	for _, words := range []string{"identity received", "encrypted with", "session closed by shutdown", "messages=1", "peer=\"" + c.LocalAddr().String()} {
		if !strings.Contains(log.String(), words) {
			t.Errorf("%q is not in the log:\n%s", words, &log)
		}
	}
}

func TestOnce(t *testing.T) {
	for _, good := range []bool{true, false} {
		s, _ := start(t, Config{Once: true})
		served := make(chan error)
		go func() { served <- s.Serve(t.Context()) }()
		if good {
			c := dial(t, s.Addr())
			call(t, c, "once")
			_ = c.Close()
		} else if _, err := dialFrom(t, newSocket(t), s.Addr(), "alice", []byte("not her key, this")); err == nil {
			t.Error("a wrong key was let in")
		}
		if err := <-served; (err == nil) != good {
			t.Errorf("good %v: got %v", good, err)
		}
		if s.Listening() {
			t.Error("it still listens")
		}
	}
}

// peerOf gives what the server knows by an address.
func peerOf(s *Server, addr net.Addr) *peer {
	s.mu.Lock()
	r := s.current.router
	s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[addrPort(addr)]
}

// The server's shutdown is told to every peer; a peer's close removes it.
func TestCloseIsTold(t *testing.T) {
	s, es := start(t, Config{})
	c := dial(t, s.Addr())
	call(t, c, "one")
	if peerOf(s, c.LocalAddr()) == nil {
		t.Error("the peer is not known")
	}
	_ = c.Close()
	es.await(t, Info, "the peer closed")
	for deadline := time.Now().Add(patience); peerOf(s, c.LocalAddr()) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the peer is still known")
		}
	}

	peers := []interface{ Read([]byte) (int, error) }{dial(t, s.Addr()), dial(t, s.Addr()), dial(t, s.Addr())}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, p := range peers {
		if _, err := p.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("peer %d was not told: %v", i, err)
		}
	}
}

// A client that crashed comes back from the same port (RFC 6347, section 4.2.8).
func TestSamePortAgain(t *testing.T) {
	s, es := start(t, Config{})
	sock := newSocket(t)
	addr := sock.LocalAddr().(*net.UDPAddr)
	c, err := dialFrom(t, sock, s.Addr(), "alice", testKey)
	if err != nil {
		t.Fatal(err)
	}
	if got := call(t, c, "before"); got != "before" {
		t.Fatalf("got %q back", got)
	}
	// It is gone without a word, and nothing is known of it but its port.
	if err := sock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := net.ListenUDP("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()

	// A hello without the cookie ends nothing: anybody could have sent it.
	if _, err := again.WriteTo(testHello(0, 0, nil), s.Addr()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxDatagram)
	if err := again.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, _, err := again.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	cookieIn(t, buf[:n])
	if p := peerOf(s, addr); p == nil || !p.established.Load() || p.muted.Load() {
		t.Fatal("the session was ended by a hello without a cookie")
	}
	if err := again.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}

	begun := time.Now()
	c, err = dialFrom(t, again, s.Addr(), "alice", testKey)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := call(t, c, "after"); got != "after" {
		t.Errorf("got %q back", got)
	}
	if d := time.Since(begun); d > server.DefaultIdleTimeout/10 {
		t.Errorf("it took %v", d)
	}
	es.await(t, Error, "the client came back from the same address and began anew")
}

// However sessions ended, a server that was closed has left no goroutine.
func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	s, es := start(t, Config{Grace: time.Millisecond})
	addr := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	for range 3 { // each replaces the one before
		sock, err := net.ListenUDP("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		addr = sock.LocalAddr().(*net.UDPAddr)
		c, err := dialFrom(t, sock, s.Addr(), "alice", testKey)
		if err != nil {
			t.Fatal(err)
		}
		call(t, c, "hello")
		_ = sock.Close() // without a word to the server
		_ = c.Close()
	}
	if _, err := dialFrom(t, newSocket(t), s.Addr(), "alice", []byte("not alice's key!")); err == nil {
		t.Error("a wrong key was let in")
	}
	c := dial(t, s.Addr())
	call(t, c, "hello")
	_ = c.Close()
	es.await(t, Info, "the peer closed")
	silentHello(t, newSocket(t), s.Addr())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
	}
}

func TestIdleTimeout(t *testing.T) {
	s, es := start(t, Config{IdleTimeout: 50 * time.Millisecond})
	c := dial(t, s.Addr())
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer was not told: %v", err)
	}
	if e := es.await(t, Error, "no message for 50ms"); e.Peer.String() != c.LocalAddr().String() {
		t.Errorf("it is of %v", e.Peer)
	}
}

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
// a limit in all and by prefix.
func TestHandshakeLimits(t *testing.T) {
	for name, cfg := range map[string]Config{
		"all":    {MaxHandshakes: 3},
		"prefix": {MaxPerPrefix: 3},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.HandshakeTimeout = time.Minute
			cfg.Grace = 10 * time.Millisecond
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
			sock := newSocket(t)
			silentHello(t, sock, s.Addr())
			es.await(t, Warning, "too many handshakes, refused: 1, limit 3")
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

// Who is one too many is told at once, and a place that gets free is free.
func TestMaxConnections(t *testing.T) {
	s, es := start(t, Config{MaxConnections: 1})
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
	f, _, es := startFake(t, Config{Grace: time.Millisecond})
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

// Nothing that a read gives ends the server.
func TestFailingSocket(t *testing.T) {
	f, s, es := startFake(t, Config{})
	for range freeFailures + 3 {
		f.in <- fakeDatagram{err: errFailedRead}
	}
	es.await(t, Warning, "failed to read a datagram")
	f.in <- fakeDatagram{data: testHello(0, 0, nil), from: netip.MustParseAddrPort("192.0.2.1:5684")}
	f.in <- fakeDatagram{err: errFailedRead}
	cookieIn(t, f.last())
	if !s.Listening() {
		t.Error("it listens no more")
	}
}

// A peer whose handshake is under way is told of the shutdown, too.
func TestCloseDuringHandshake(t *testing.T) {
	s, es := start(t, Config{Grace: 10 * time.Millisecond})
	sock := newSocket(t)
	silentHello(t, sock, s.Addr())
	es.await(t, Info, "handshake in progress")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxDatagram)
	for {
		n, _, err := sock.ReadFrom(buf)
		if err != nil {
			t.Fatal("no alert came:", err)
		}
		if buf[0] == typeAlert {
			if want := []byte{1, 0}; !bytes.Equal(buf[recordHeader:n], want) {
				t.Errorf("the alert is %x, want %x", buf[recordHeader:n], want)
			}
			return
		}
	}
}

// Over IPv6, and over IPv4 to a socket of every interface.
func TestAddressFamilies(t *testing.T) {
	for address, to := range map[string]net.IP{"[::1]:0": net.IPv6loopback, ":0": net.IPv4(127, 0, 0, 1)} {
		es := newEvents()
		s, err := New(Config{Key: keyOf, Event: es.add})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Listen(address); err != nil {
			t.Logf("%s: %v", address, err) // no IPv6 here
			continue
		}
		sock, err := net.ListenUDP("udp", &net.UDPAddr{IP: to})
		if err != nil {
			t.Fatal(err)
		}
		c, err := dialFrom(t, sock, &net.UDPAddr{IP: to, Port: s.Addr().(*net.UDPAddr).Port}, "alice", testKey)
		if err != nil {
			t.Fatal(err)
		}
		if got := call(t, c, "hello"); got != "hello" {
			t.Errorf("%s: got %q back", address, got)
		}
		if e := es.await(t, Datagram, "hello"); !net.IP(e.Peer.Addr().AsSlice()).Equal(to) || e.Peer.Addr().Is4In6() {
			t.Errorf("%s: it came from %v", address, e.Peer)
		}
		_ = c.Close()
		_ = s.Close()
	}
}

func TestEmptyMessageIsAWarning(t *testing.T) {
	s, es := start(t, Config{})
	c := dial(t, s.Addr())
	if _, err := c.Write(nil); err != nil {
		t.Fatal(err)
	}
	if e := es.await(t, Warning, "0 byte datagram, could be a re-connect attempt?"); e.Peer.String() != c.LocalAddr().String() {
		t.Errorf("it is of %v", e.Peer)
	}
	if got := call(t, c, "on"); got != "on" {
		t.Errorf("got %q back", got)
	}
}

// The longest message that can be carried is carried; a longer one is not lost
// without a word.
func TestLongMessages(t *testing.T) {
	s, es := start(t, Config{})
	c := dial(t, s.Addr())
	long := strings.Repeat("m", MaxMessage)
	if got := call(t, c, long); got != long {
		t.Errorf("got %d bytes back", len(got))
	}
	for _, n := range []int{MaxMessage + 1, 9000, 16384} {
		if _, err := c.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	es.await(t, Warning, "a record of 8193 bytes dropped: more than 8192 cannot be read")
	if got := call(t, c, "on"); got != "on" {
		t.Errorf("got %q back", got)
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

func TestPrinter(t *testing.T) {
	from := netip.MustParseAddrPort("192.0.2.1:5684")
	var out bytes.Buffer
	show := newPrinter(&out, false)
	show(Event{Kind: Datagram, Peer: from, Text: "a\x1bb\n", Ciphertext: []byte{0x17, 0xfe}})
	show(Event{Kind: Error, Text: "bad"})
	if got, want := out.String(), "datagram: 192.0.2.1:5684: \n\tciphertext: 17fe\n\ttext: \"a\\x1bb\\n\"\nerror: bad\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	seen := make(map[string]bool)
	for _, k := range []Kind{Error, Warning, Info, Datagram} {
		out.Reset()
		newPrinter(&out, true)(Event{Kind: k, Peer: from, Text: "x"})
		colour, _, _ := strings.Cut(out.String(), "m")
		if seen[colour] || !strings.HasPrefix(colour, "\x1b[") || !strings.HasSuffix(out.String(), "\x1b[0m\n") {
			t.Errorf("%v is printed as %q", k, out.String())
		}
		seen[colour] = true
	}
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if isTerminal(file) || isTerminal(&out) {
		t.Error("a file is a terminal")
	}
}

func TestConfigRefused(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no key function": {},
		"reply":           {Key: keyOf, Reply: 7},
		"handshakes":      {Key: keyOf, MaxHandshakes: -1},
		"prefix":          {Key: keyOf, MaxPerPrefix: -1},
		"connections":     {Key: keyOf, MaxConnections: -1},
		"timeout":         {Key: keyOf, HandshakeTimeout: -1},
		"idle":            {Key: keyOf, IdleTimeout: -1},
		"hint":            {Key: keyOf, Hint: strings.Repeat("h", 129)},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

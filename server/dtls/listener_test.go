package dtls

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	pion "github.com/pion/dtls/v3"
	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server"
)

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

	s.Shutdown()
	if s.Listening() {
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

// The engine goes along when its listener moves, and its log has who it was.
func TestEngineGoesAlong(t *testing.T) {
	var log bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&log)
	s, _ := start(t, Config{}, withEngine(server.Config{Log: logger}))
	if err := s.Listen("127.0.0.2:0"); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s.Addr())
	call(t, c, "hello")
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer was not told: %v", err)
	}
	if err := s.Listen("127.0.0.1:0"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it listens after the engine has closed it: %v", err)
	}
	for _, words := range []string{"identity=alice", "cipher=PSK-AES128-GCM-SHA256", "session closed by shutdown", "messages=1", "peer=\"" + c.LocalAddr().String()} {
		if !strings.Contains(log.String(), words) {
			t.Errorf("%q is not in the log:\n%s", words, &log)
		}
	}
}

func TestOnce(t *testing.T) {
	for _, good := range []bool{true, false} {
		s, _ := start(t, Config{}, withOnce)
		if good {
			c := dial(t, s.Addr())
			call(t, c, "once")
			_ = c.Close()
		} else if _, err := dialFrom(t, newSocket(t), s.Addr(), "alice", []byte("not her key, this")); err == nil {
			t.Error("a wrong key was let in")
		}
		if err := s.wait(); (err == nil) != good {
			t.Errorf("good %v: got %v", good, err)
		}
		if s.Listening() {
			t.Error("it still listens")
		}
	}
}

// addrPort is a UDP address as the router has it.
func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// peerOf gives what the server knows by an address.
func peerOf(s *testServer, addr net.Addr) *conn {
	r := s.current()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[path{remote: addrPort(addr)}]
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

	// The last of them has just got the server's Finished.
	peers := []*pion.Conn{dial(t, s.Addr()), dial(t, s.Addr()), dial(t, s.Addr())}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for i, p := range peers {
		if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("peer %d was not told: %v", i, err)
		}
	}
}

// However sessions ended, a server that was closed has left no goroutine.
func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	s, es := start(t, Config{})
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
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
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
	s, es := start(t, Config{})
	sock := newSocket(t)
	silentHello(t, sock, s.Addr())
	es.await(t, Info, "handshake in progress")
	if err := s.Stop(); err != nil {
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
		l, set, es := setUp(t, Config{}, nil)
		if err := l.Listen(address); err != nil {
			t.Logf("%s: %v", address, err) // no IPv6 here
			continue
		}
		s := run(t, l, set)
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
		_ = s.Stop()
	}
}

func TestPrinter(t *testing.T) {
	from := netip.MustParseAddrPort("192.0.2.1:5684")
	var out bytes.Buffer
	show := newPrinter(&out, false)
	show(Event{Kind: Datagram, Peer: from, Text: "a\x1bb\n", Ciphertext: []byte{0x17, 0xfe}})
	show(Event{Kind: Datagram, Peer: from, Text: "b"})
	show(Event{Kind: Error, Text: "bad"})
	if got, want := out.String(), "datagram: 192.0.2.1:5684: \n\tciphertext: 17fe\n\ttext: \"a\\x1bb\\n\"\ndatagram: 192.0.2.1:5684: \n\ttext: \"b\"\nerror: bad\n"; got != want {
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
		"handshakes":      {Key: keyOf, MaxHandshakes: -1},
		"prefix":          {Key: keyOf, MaxPerPrefix: -1},
		"timeout":         {Key: keyOf, HandshakeTimeout: -1},
		"grace":           {Key: keyOf, Grace: -1},
		"hint":            {Key: keyOf, Hint: strings.Repeat("h", 129)},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

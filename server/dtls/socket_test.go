package dtls

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	pion "github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
)

// dialConnected makes a handshake as alice from a socket that hears the address
// it writes to and no other.
func dialConnected(t *testing.T, from, to *net.UDPAddr) (*pion.Conn, error) {
	t.Helper()
	sock, err := net.DialUDP("udp", from, to)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = sock.Close() })
	return dialFrom(t, dtlsnet.PacketConnFromConn(sock), to, "alice", testKey)
}

// canBind says whether the machine has an address.
func canBind(ip net.IP) bool {
	sock, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip})
	if err != nil {
		return false
	}
	_ = sock.Close()
	return true
}

// A listener on every interface answers from the address that was written to,
// also where the system would choose another.
func TestAnswersFromWhereItWasAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the system chooses the address here")
	}
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0"} {
		l, set, _ := setUp(t, Config{}, nil)
		if err := l.Listen(address); err != nil {
			t.Logf("%s: %v", address, err) // no IPv6 here
			continue
		}
		s := run(t, l, set)
		for _, to := range []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 5), net.IPv6loopback} {
			bound := s.Addr().(*net.UDPAddr)
			if !canBind(to) || to.To4() == nil && bound.IP.To4() != nil {
				t.Logf("%s: no %v here", address, to)
				continue
			}
			c, err := dialConnected(t, nil, &net.UDPAddr{IP: to, Port: bound.Port})
			if err != nil {
				t.Errorf("%s, asked at %v: %v", address, to, err)
				continue
			}
			if got := call(t, c, "hello"); got != "hello" {
				t.Errorf("%s, asked at %v: got %q back", address, to, got)
			}
			for _, known := range s.current().known() {
				if known.RemoteAddr().String() == c.LocalAddr().String() && !known.LocalAddr().(*net.UDPAddr).IP.Equal(to) {
					t.Errorf("%s, asked at %v: it calls itself %v", address, to, known.LocalAddr())
				}
			}
			_ = c.Close()
		}
		_ = s.Stop()
	}
}

// One port of a client can have a session at each address of the server.
func TestPeersAreKnownByBothAddresses(t *testing.T) {
	f, s, es := startFake(t, Config{})
	const from = "192.0.2.1:5684"
	var conns []*pion.Conn
	for _, to := range []string{"198.51.100.1", "198.51.100.2"} {
		local := netip.MustParseAddr(to)
		c, err := dialFrom(t, f.clientTo(from, local), f.LocalAddr(), "alice", testKey)
		if err != nil {
			t.Fatalf("at %s: %v", to, err)
		}
		conns = append(conns, c)
	}
	for i, c := range conns {
		text := []string{"one", "two"}[i]
		if got := call(t, c, text); got != text {
			t.Errorf("session %d got %q back", i, got)
		}
	}
	if n := len(s.current().known()); n != 2 {
		t.Errorf("%d peers are known, want 2", n)
	}
	_ = conns[0].Close()
	es.await(t, Info, "the peer closed")
	if got := call(t, conns[1], "still"); got != "still" {
		t.Errorf("got %q back", got)
	}
	_ = conns[1].Close()
	es.awaitCount(t, 2, Info, "the peer closed")
}

// Control messages that are cut short or none of those that are asked for are no
// address, and no panic.
func TestDestinationOfRubbish(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("nothing is read here")
	}
	for _, way := range []path{
		{local: netip.MustParseAddr("127.0.0.5")},
		{local: netip.MustParseAddr("2001:db8::1")},
		{local: netip.MustParseAddr("fe80::1"), iface: 7},
	} {
		message := sourceOf(way)
		if way.local.Is6() {
			if local, iface := destination(message); local != way.local || iface != way.iface {
				t.Errorf("%v is read as %v, interface %d", way, local, iface)
			}
		}
		for n := range message {
			_, _ = destination(message[:n:n])
		}
	}
	if local, _ := destination(make([]byte, 64)); local.IsValid() {
		t.Errorf("nothing is read as %v", local)
	}
}

// A socket of one address asks for nothing more, and gives no local address.
func TestSocketOfOneAddress(t *testing.T) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := newUDPSocket(conn)
	client := newSocket(t)
	if _, err := client.WriteTo([]byte("hello"), conn.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, way, err := s.receive(buf)
	if err != nil || string(buf[:n]) != "hello" || way != (path{remote: addrPort(client.LocalAddr())}) {
		t.Fatalf("got %q from %v, %v", buf[:n], way, err)
	}
	if _, err := s.send([]byte("and you"), way); err != nil {
		t.Fatal(err)
	}
	if err := client.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := client.ReadFrom(buf); err != nil || string(buf[:n]) != "and you" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	_ = s.Close()
	if _, _, err := s.receive(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed, it reads: %v", err)
	}
}

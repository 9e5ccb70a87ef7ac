package dtls

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

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
	s, _ := start(t, Config{}, withACK)
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
		{"mallory", string(testKey), `unknown identity "mallory"`},
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
	// And one true thing of each to us.
	all, _ := es.snapshot()
	for _, e := range all {
		if strings.Contains(e.Text, "mallory") && strings.Contains(e.Text, "is wrong") || e.Kind == Warning {
			t.Errorf("told of %v %q, too", e.Kind, e.Text)
		}
	}
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
	es.await(t, Error, `the key of "alice" has 6 bytes, fewer than 16`)
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

func TestIdleTimeout(t *testing.T) {
	s, es := start(t, Config{}, withEngine(server.Config{IdleTimeout: 50 * time.Millisecond}))
	c := dial(t, s.Addr())
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer was not told: %v", err)
	}
	if e := es.await(t, Error, "no message for 50ms"); e.Peer.String() != c.LocalAddr().String() {
		t.Errorf("it is of %v", e.Peer)
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

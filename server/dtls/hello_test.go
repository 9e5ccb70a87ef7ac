package dtls

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// First hellos as they were on the wire, of
//
//	openssl s_client -dtls1_2 -connect 127.0.0.1:PORT -psk_identity alice -psk KEY                                        (OpenSSL 3.0.22)
//	gnutls-cli --udp --pskusername alice --pskkey KEY --priority NORMAL:-KX-ALL:+ECDHE-PSK:+PSK -p PORT 127.0.0.1  (GnuTLS 3.7.9)
const (
	opensslHello = "16feff000000000000000000f4010000e800000000000000e8fefd9d2bf733bb5007bef99c4db3798f07484d236dddc784d80ffd87e370a0102c1e0000006cc02cc030009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c009c013003300ad00abccaeccadccac009d00a9ccab00ac00aa009c00a8003d003cc038c03600b700b300950091003500af008dc037c03500b600b200940090002f00ae008c00ff01000052000b000403000102000a000c000a001d0017001e00190018002300000016000000170000000d002a0028040305030603080708080809080a080b080408050806040105010601030303010302040205020602"
	gnutlsHello  = "16feff000000000000000000b0010000a400000000000000a4fefdb4d6db17775d2f3363fd507d51370ff135cc8b6f7356bde1e8490b48af4f48ce00000014ccacc036c03500a9ccabc0a5008d00a8c0a4008c01000066000500050100000000000a00160014001700180019001d001e01000101010201030104000b00020100000d00220020040108090804040308070501080a0805050308080601080b0806060302010203001600000017000000230000ff01000100001c00024000"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReadHello(t *testing.T) {
	for name, tt := range map[string]struct {
		hello  string
		suites int
		groups int
		choice string
	}{
		"openssl": {opensslHello, 54, 5, "ECDHE-PSK-CHACHA20-POLY1305"},
		"gnutls":  {gnutlsHello, 10, 10, "ECDHE-PSK-CHACHA20-POLY1305"},
		"ours":    {hex.EncodeToString(testHello(0, 0, nil)), 1, 0, "PSK-AES128-GCM-SHA256"},
	} {
		t.Run(name, func(t *testing.T) {
			datagram := unhex(t, tt.hello)
			h, err := readHello(datagram)
			if err != nil {
				t.Fatal(err)
			}
			if len(h.suites) != 2*tt.suites || len(h.groups) != 2*tt.groups || h.version != version12 || len(h.random) != randomLength {
				t.Errorf("read wrongly: %d suites, %d groups, version %x", len(h.suites)/2, len(h.groups)/2, h.version)
			}
			if !bytes.Equal(h.message, datagram[recordHeader:]) {
				t.Error("the message is not what came")
			}
			if s := chooseSuite(&h); s == nil || s.name != tt.choice {
				t.Errorf("chose %+v, want %s", s, tt.choice)
			}
		})
	}
}

func TestReadHelloRefusesPrefixes(t *testing.T) {
	for _, s := range []string{opensslHello, gnutlsHello} {
		datagram := unhex(t, s)
		for n := range datagram {
			// The lengths around the cut are put right, so that it is what is inside that is refused.
			cut := slices.Clone(datagram[:n])
			if _, err := readHello(cut); err == nil {
				t.Fatalf("accepted %d of %d bytes", n, len(datagram))
			}
			if n > recordHeader+messageHeader && n < len(datagram) {
				body := n - recordHeader - messageHeader
				cut[11], cut[12] = byte((n-recordHeader)>>8), byte(n-recordHeader)
				cut[14], cut[15], cut[16] = 0, byte(body>>8), byte(body)
				cut[22], cut[23], cut[24] = 0, byte(body>>8), byte(body)
				h, err := readHello(cut)
				if err == nil && len(h.extensions) > 0 {
					t.Fatalf("accepted %d of %d bytes with their length", n, len(datagram))
				}
			}
		}
		if _, err := readHello(append(datagram, 0)); err == nil {
			t.Error("accepted a trailing byte")
		}
	}
}

func TestReadHelloRefuses(t *testing.T) {
	for name, change := range map[string]func(d []byte) []byte{
		"another content type": func(d []byte) []byte { d[0] = 23; return d },
		"an encrypted record":  func(d []byte) []byte { d[4] = 1; return d },
		"another message":      func(d []byte) []byte { d[13] = 2; return d },
		"a fragment":           func(d []byte) []byte { d[24]--; return d },
		"a later fragment":     func(d []byte) []byte { d[21] = 1; return d },
		"too long":             func(d []byte) []byte { return append(d, make([]byte, maxHello)...) },
		"odd suites":           func(d []byte) []byte { d[61]++; return d },
	} {
		if _, err := readHello(change(testHello(0, 0, nil))); err == nil {
			t.Errorf("accepted %s", name)
		}
	}
}

// A spoofed hello must not make the server send more than it cost.
func TestVerifyRequestIsShorterThanAnyHello(t *testing.T) {
	shortest := testHello(0, 0, nil)
	h, err := readHello(shortest)
	if err != nil {
		t.Fatal(err)
	}
	request := helloVerifyRequest(nil, &h, make([]byte, cookieLength))
	if len(request) >= len(shortest) {
		t.Errorf("%d bytes answered by %d", len(shortest), len(request))
	}
}

func TestCookie(t *testing.T) {
	now := time.Unix(1e9, 0)
	from := netip.MustParseAddrPort("192.0.2.1:5684")
	jar := newCookieJar(now)
	h, err := readHello(unhex(t, gnutlsHello))
	if err != nil {
		t.Fatal(err)
	}
	h.cookie = slices.Clone(jar.cookie(now, from, &h))
	if !jar.valid(now, from, &h) {
		t.Fatal("refused its own cookie")
	}
	for name, from := range map[string]netip.AddrPort{
		"another port":    netip.MustParseAddrPort("192.0.2.1:5685"),
		"another address": netip.MustParseAddrPort("192.0.2.2:5684"),
		"a zone":          netip.MustParseAddrPort("[fe80::1%eth0]:5684"),
	} {
		if jar.valid(now, from, &h) {
			t.Errorf("accepted from %s", name)
		}
	}
	for name, change := range map[string]func(h *clientHello){
		"version":     func(h *clientHello) { h.version = version10 },
		"random":      func(h *clientHello) { h.random = make([]byte, randomLength) },
		"session":     func(h *clientHello) { h.sessionID = []byte{1} },
		"suites":      func(h *clientHello) { h.suites = h.suites[2:] },
		"compression": func(h *clientHello) { h.compression = []byte{1} },
		"boundary":    func(h *clientHello) { h.suites, h.compression = h.suites[:2], append(slices.Clone(h.suites[2:]), 0) },
		"cut":         func(h *clientHello) { h.cookie = h.cookie[:19] },
		"no cookie":   func(h *clientHello) { h.cookie = nil },
	} {
		other := h
		change(&other)
		if jar.valid(now, from, &other) {
			t.Errorf("accepted with another %s", name)
		}
	}
	if other := newCookieJar(now); other.valid(now, from, &h) {
		t.Error("another server accepted it")
	}
	for _, tt := range []struct {
		after time.Duration
		valid bool
	}{{cookieLife - 1, true}, {cookieLife, true}, {2*cookieLife - 1, true}, {2 * cookieLife, false}} {
		// Looked at in between, as it is under traffic, and not.
		for _, busy := range []bool{false, true} {
			jar := newCookieJar(now)
			h.cookie = slices.Clone(jar.cookie(now, from, &h))
			for d := time.Duration(0); busy && d < tt.after; d += cookieLife / 4 {
				jar.rotate(now.Add(d))
			}
			if got := jar.valid(now.Add(tt.after), from, &h); got != tt.valid && !(busy && !tt.valid) {
				t.Errorf("after %v, busy %v: valid is %v", tt.after, busy, got)
			}
		}
	}
}

func TestPrefixOf(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.77":                "192.0.2.0/24",
		"2001:db8:1:2ff::1":         "2001:db8:1::/48",
		"fe80::1%eth0":              "fe80::/48",
		"2001:db8:1:2ff:ffff::ffff": "2001:db8:1::/48",
	} {
		if got := prefixOf(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s is in %v, want %s", addr, got, want)
		}
	}
}

// What is given to pion/dtls for a hello says the same, and the hash of the
// handshake is that of the hello that came.
func FuzzClientHello(f *testing.F) {
	f.Add(unhex(f, opensslHello))
	f.Add(unhex(f, gnutlsHello))
	f.Add(testHello(1, 1, bytes.Repeat([]byte{1}, cookieLength)))
	jar := newCookieJar(time.Unix(1e9, 0))
	from := netip.MustParseAddrPort("[2001:db8::1]:5684")
	f.Fuzz(func(t *testing.T, datagram []byte) {
		h, err := readHello(datagram)
		if err != nil {
			return
		}
		cookie := slices.Clone(jar.cookie(time.Unix(1e9, 0), from, &h))
		if jar.valid(time.Unix(1e9, 0), from, &h) {
			t.Fatal("accepted a cookie that was not made") // 1 in 2^160
		}
		request := helloVerifyRequest(nil, &h, cookie)
		if len(request) >= len(datagram) {
			t.Fatalf("%d bytes answered by %d", len(datagram), len(request))
		}
		if got, ok := verifyRequest(request); !ok || !bytes.Equal(got, cookie) {
			t.Fatal("the request does not hold the cookie")
		}
		again, err := readHello(h.record(h.recordSeq, 1, cookie, standIn))
		if err != nil {
			t.Fatalf("what was made of it is no hello: %v", err)
		}
		if !jar.valid(time.Unix(1e9, 0), from, &clientHello{version: again.version, random: again.random, sessionID: again.sessionID, suites: h.suites, compression: again.compression, cookie: again.cookie}) ||
			!bytes.Equal(again.extensions, h.extensions) || !offers(again.suites, standIn) || offers(again.suites, renegotiationSCSV) != offers(h.suites, renegotiationSCSV) {
			t.Fatalf("what was made of it says something else:\n%+v\n%+v", h, again)
		}
		s := chooseSuite(&h)
		if s != nil && !offers(h.suites, s.id) {
			t.Fatalf("chose %s, which was not offered", s.name)
		}
		hash := (&association{suite: suites[0], transcript: &transcript{given: again.message, sent: h.message}}).HashFunc()()
		hash.Write(append(slices.Clone(again.message), "rest"...))
		want := suites[0].hash()
		want.Write(append(slices.Clone(h.message), "rest"...))
		if !bytes.Equal(hash.Sum(nil), want.Sum(nil)) {
			t.Fatal("the hash is not of what the client sent")
		}
	})
}

// Whatever a peer sends, what pion/dtls gets are whole records that it can
// read, and before the handshake is over no more than it may keep.
func FuzzPeerDatagram(f *testing.F) {
	f.Add(testHello(2, 1, nil), []byte{typeAlert, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40}, false)
	f.Add(append(appendMessage(nil, version12, 3, 16, 2, []byte("key exchange")), 20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 1), []byte{22, 254, 253, 0, 1}, true)
	f.Add([]byte{typeApplication, 254, 253, 0, 1, 0, 0, 0, 0, 0, 1, 0x20, 0}, []byte{}, true)
	f.Add(append([]byte{typeHandshake, 254, 253, 0, 1, 0, 0, 0, 0, 0, 1, 4, 0}, make([]byte, 1024)...), []byte{}, true)
	hello, err := readHello(testHello(1, 1, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, one, two []byte, established bool) {
		r := bareRouter(t)
		p := r.newPeer(path{remote: netip.MustParseAddrPort("192.0.2.1:5684")}, &hello, suites[0])
		p.established.Store(established)
		for range 40 {
			p.receive(one)
			p.receive(two)
		}
		_ = p.queue.Close() // what is in it can still be read
		buf := make([]byte, maxRecord)
		n, _, err := p.ReadFrom(buf) // the hello
		if err != nil || !isHello(buf[:n]) {
			t.Fatalf("no hello: %v", err)
		}
		total, handshake := 0, 0
		for {
			n, _, err := p.ReadFrom(buf)
			if err != nil {
				break
			}
			record, rest, ok := nextRecord(buf[:n])
			if !ok || len(rest) != 0 || established && recordEpoch(record) == 0 {
				t.Fatalf("not one record of the peer's: %x", buf[:n])
			}
			total += n
			if !established || record[0] == typeHandshake {
				handshake += n
			}
		}
		if total > maxQueued || handshake > maxHandshakeBytes {
			t.Fatalf("%d bytes are kept, %d of a handshake", total, handshake)
		}
	})
}

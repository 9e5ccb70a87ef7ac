package kdc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/krb5conf"
)

// answer is a message that looks like a reply from outside.
func answer(text string) []byte { return append([]byte{byte(tagASRep), byte(len(text))}, text...) }

// behaviour is what a fake KDC does with a connection.
type behaviour func(conn net.Conn, network string)

func silent(conn net.Conn, _ string) { io.Copy(io.Discard, conn) }

func says(text string, after time.Duration) behaviour {
	return func(conn net.Conn, network string) {
		buf := make([]byte, 4096)
		if _, err := conn.Read(buf); err != nil {
			return
		}
		time.Sleep(after) // the bubble's clock, not the wall's
		msg := answer(text)
		if network == "tcp" {
			msg = append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...)
		}
		conn.Write(msg)
		io.Copy(io.Discard, conn)
	}
}

// drips sends a byte of a long reply every half second.
func drips(conn net.Conn, _ string) {
	go io.Copy(io.Discard, conn)
	for _, b := range binary.BigEndian.AppendUint32(nil, 1<<19) {
		conn.Write([]byte{b})
	}
	for {
		time.Sleep(500 * time.Millisecond)
		if _, err := conn.Write([]byte{0}); err != nil {
			return
		}
	}
}

// network is a set of fake KDCs by "network host"; what is absent refuses.
type network map[string]behaviour

func (n network) dial(_ context.Context, nw, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	b, ok := n[nw+" "+host]
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: nw, Err: syscall.ECONNREFUSED}
	}
	ours, theirs := net.Pipe()
	go func() { defer theirs.Close(); b(theirs, nw) }()
	return ours, nil
}

// bubble runs f on a clock of its own, and then lets what f left behind end: a
// goroutine that does not is an error.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t)
		time.Sleep(time.Minute)
	})
}

const twoKDCs = "[realms]\nR = {\nkdc = 192.0.2.1\nkdc = 192.0.2.2\n}\n"

func TestExchangeOrder(t *testing.T) {
	for _, c := range []struct {
		name string
		net  network
		conf string
		size int
		want string
		took time.Duration
	}{
		{"first answers", network{"udp 192.0.2.1": says("one", 0), "udp 192.0.2.2": says("two", 0)}, "", 9, "one", 0},
		{"first is dead", network{"udp 192.0.2.1": silent, "udp 192.0.2.2": says("two", 0)}, "", 9, "two", time.Second},
		{"first refuses", network{"udp 192.0.2.2": says("two", 0)}, "", 9, "two", 0},
		{"first is slow, second dead", network{"udp 192.0.2.1": says("one", 1500*time.Millisecond), "udp 192.0.2.2": silent}, "", 9, "one", 1500 * time.Millisecond},
		{"second refuses while the first is silent", network{"udp 192.0.2.1": silent, "tcp 192.0.2.1": says("tcp", 0)}, "", 9, "tcp", time.Second},
		{"no UDP at all", network{"udp 192.0.2.1": silent, "udp 192.0.2.2": silent, "tcp 192.0.2.2": says("tcp", 0)}, "", 9, "tcp", 2 * time.Second},
		{"long request", network{"udp 192.0.2.1": says("udp", 0), "tcp 192.0.2.2": says("tcp", 0)}, "", 1466, "tcp", 0},
		{"longest over UDP", network{"udp 192.0.2.1": says("udp", 0), "tcp 192.0.2.1": says("tcp", 0)}, "", 1465, "udp", 0},
		{"long request, no TCP", network{"udp 192.0.2.2": says("udp", 0)}, "", 1466, "udp", 0},
		{"limit of one", network{"udp 192.0.2.1": says("udp", 0), "tcp 192.0.2.1": says("tcp", 0)}, "[libdefaults]\nudp_preference_limit = 1\n", 9, "tcp", 0},
		{"dripping first", network{"tcp 192.0.2.1": drips, "tcp 192.0.2.2": says("two", 0)}, "[libdefaults]\nudp_preference_limit = 1\n", 9, "two", time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				client := &Client{Profile: parseProfile(t, twoKDCs+c.conf), Dial: c.net.dial}
				begin := time.Now()
				reply, err := client.Exchange(t.Context(), "R", make([]byte, c.size))
				if err != nil || string(reply) != string(answer(c.want)) {
					t.Errorf("reply %q, %v; want %q", reply, err, c.want)
				}
				if took := time.Since(begin); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
			})
		})
	}
}

func TestExchangeGivesUp(t *testing.T) {
	dead := network{"udp 192.0.2.1": silent, "udp 192.0.2.2": silent, "tcp 192.0.2.1": drips}
	for conf, want := range map[string]time.Duration{"": giveUp, "[libdefaults]\nkdc_timeout = 3\n": 3 * time.Second} {
		bubble(t, func(t *testing.T) {
			c := &Client{Profile: parseProfile(t, twoKDCs+conf), Dial: dead.dial}
			begin := time.Now()
			_, err := c.Exchange(t.Context(), "R", []byte("request"))
			wantError(t, err, "Cannot contact any KDC for realm 'R'", -1765328228)
			if took := time.Since(begin); took != want {
				t.Errorf("gave up after %v, want %v", took, want)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v does not wrap the deadline", err)
			}
		})
	}
	bubble(t, func(t *testing.T) {
		c := &Client{Profile: parseProfile(t, twoKDCs), Dial: dead.dial}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(700*time.Millisecond, cancel)
		begin := time.Now()
		_, err := c.Exchange(ctx, "R", []byte("request"))
		if !errors.Is(err, context.Canceled) || time.Since(begin) != 700*time.Millisecond {
			t.Errorf("cancelled exchange ended after %v with %v", time.Since(begin), err)
		}
	})
	bubble(t, func(t *testing.T) {
		c := &Client{Profile: parseProfile(t, twoKDCs), Dial: network{}.dial}
		_, err := c.Exchange(t.Context(), "R", []byte("request"))
		var u *UnreachableError
		if !errors.As(err, &u) || len(u.Causes) != 4 || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("all refuse: %v", err)
		}
	})
}

func TestRetransmission(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var at []time.Duration
		begin := time.Now()
		lossy := func(conn net.Conn, _ string) {
			buf := make([]byte, 4096)
			for range 3 { // the third arrives
				if _, err := conn.Read(buf); err != nil {
					return
				}
				at = append(at, time.Since(begin))
			}
			conn.Write(answer("late"))
		}
		one := "[realms]\nR = {\nkdc = 192.0.2.1\n}\n"
		c := &Client{Profile: parseProfile(t, one), Dial: network{"udp 192.0.2.1": lossy, "tcp 192.0.2.1": silent}.dial}
		reply, err := c.Exchange(t.Context(), "R", []byte("request"))
		if err != nil || string(reply) != string(answer("late")) {
			t.Errorf("reply %q, %v", reply, err)
		}
		if want := []time.Duration{0, 2 * time.Second, 6 * time.Second}; !reflect.DeepEqual(at, want) {
			t.Errorf("sent at %v, want %v", at, want)
		}
	})
}

// hostileKDC serves TCP connections on loopback with f.
func hostileKDC(t *testing.T, f func(net.Conn)) *krb5conf.Profile {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); f(conn) }()
		}
	}()
	return parseProfile(t, "[libdefaults]\nudp_preference_limit = 1\n[realms]\nR = {\nkdc = "+l.Addr().String()+"\n}\n")
}

func TestHostileReplies(t *testing.T) {
	frame := func(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	good := frame(answer("good"))
	sent := map[string][]byte{
		"4 GiB":            {0xff, 0xff, 0xff, 0xff, 0},
		"one past maximum": binary.BigEndian.AppendUint32(nil, maxReply+1),
		"zero length":      {0, 0, 0, 0},
		"garbage":          frame([]byte("HTTP/1.1 400 Bad Request")),
		"trailing bytes":   frame(append(answer("x"), 0)),
		"request's tag":    frame([]byte{0x6a, 0}),
		"length of more":   frame([]byte{byte(tagASRep), 0x84, 0xff, 0xff, 0xff, 0xff}),
	}
	for i := range good {
		sent["prefix "+strings.Repeat("i", i)] = good[:i]
	}
	for name, b := range sent {
		c := &Client{Profile: hostileKDC(t, func(conn net.Conn) {
			conn.Read(make([]byte, 4096))
			conn.Write(b)
		})}
		reply, err := c.Exchange(t.Context(), "R", []byte("request"))
		if err == nil {
			t.Errorf("%s: reply %q", name, reply)
			continue
		}
		wantError(t, err, "Cannot contact any KDC for realm 'R'", -1765328228)
	}
	c := &Client{Profile: hostileKDC(t, func(conn net.Conn) {
		conn.Read(make([]byte, 4096))
		conn.Write(frame(append([]byte{byte(tagASRep), 0x83, byte((maxReply - 5) >> 16), byte((maxReply - 5) >> 8 & 0xff), byte((maxReply - 5) & 0xff)}, make([]byte, maxReply-5)...)))
	})}
	if reply, err := c.Exchange(t.Context(), "R", []byte("request")); err != nil || len(reply) != maxReply {
		t.Errorf("longest reply: %d bytes, %v", len(reply), err)
	}
}

// srv answers like DNS with these records, by "proto name".
type srv map[string][]*net.SRV

func (s srv) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if rs, ok := s[proto+" "+name]; ok && service == "kerberos" {
		return "", rs, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (s srv) LookupHost(_ context.Context, host string) ([]string, error) {
	if host == "two.example" {
		return []string{"192.0.2.2", "192.0.2.3"}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func TestLocate(t *testing.T) {
	records := srv{
		"udp R.":    {{Target: "one.example.", Port: 88}, {Target: "two.example.", Port: 89}},
		"tcp R.":    {{Target: "three.example.", Port: 90}},
		"udp NONE.": {{Target: ".", Port: 0}},
		"tcp T.":    {{Target: "two.example.", Port: 88}},
	}
	c := &Client{Profile: parseProfile(t, `[realms]
FILE = {
 kdc = b
 kdc = a
}
HEIMDAL = {
 kdc = tcp/b:89
 kdc = a
 kdc = udp/c
}
UDP = {
 kdc = udp/c
}
ONELINE = { kdc = x kdc = tcp/y:89 }
STRING = { kdc }
PROXY = {
 kdc = https://x/y
}
WRONG = {
 kdc = http/x
}
`), Resolver: records}
	s, err := c.Profile.Settings()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		realm string
		size  int
		want  string
	}{
		{"FILE", 1, "udp b:88, udp a:88, tcp b:88, tcp a:88"},
		{"FILE", 2000, "tcp b:88, tcp a:88, udp b:88, udp a:88"},
		{"FILE", 40000, "tcp b:88, tcp a:88"},
		{"HEIMDAL", 1, "tcp b:89, udp a:88, udp c:88, tcp a:88"},
		{"HEIMDAL", 2000, "tcp b:89, tcp a:88, udp c:88, udp a:88"},
		{"HEIMDAL", 40000, "tcp b:89, tcp a:88"},
		{"ONELINE", 1, "udp x:88, tcp y:89, tcp x:88"},
		{"R", 1, "udp one.example:88, udp two.example:89, tcp three.example:90"},
		{"R", 2000, "tcp three.example:90, udp one.example:88, udp two.example:89"},
		{"R", 40000, "tcp three.example:90"},
		{"T", 1, "tcp two.example:88"},
	} {
		var got []string
		servers, err := c.locate(t.Context(), tt.realm, s, tt.size, false)
		for _, srv := range servers {
			got = append(got, srv.String())
		}
		if err != nil || strings.Join(got, ", ") != tt.want {
			t.Errorf("%s, %d bytes: %v, %v; want %s", tt.realm, tt.size, got, err, tt.want)
		}
	}
	_, err = c.locate(t.Context(), "UDP", s, 40000, false)
	wantError(t, err, "Cannot find KDC for realm ", -1765328230)
	for realm, cause := range map[string]string{"NONE": "", "ABSENT": "no such host", "STRING": "is a string", "PROXY": `"https://x/y" is a proxy`, "WRONG": `"http/x" is not written as`, "": "", "A B": "", "A\n": ""} {
		_, err := c.locate(t.Context(), realm, s, 1, false)
		wantError(t, err, "Cannot find KDC for realm ", -1765328230)
		if !strings.Contains(err.Error(), cause) {
			t.Errorf("%q: %v does not say %q", realm, err, cause)
		}
	}
	s.DNSLookupKDC = false
	if _, err := c.locate(t.Context(), "R", s, 1, false); err == nil {
		t.Error("DNS was asked in spite of dns_lookup_kdc = false")
	}

	bubble(t, func(t *testing.T) {
		// A name's second address is asked when its first is dead.
		c := &Client{Resolver: records, Dial: network{"tcp 192.0.2.2": silent, "tcp 192.0.2.3": says("other", 0)}.dial}
		begin := time.Now()
		reply, err := c.Exchange(t.Context(), "T", []byte("request"))
		if err != nil || string(reply) != string(answer("other")) || time.Since(begin) != time.Second {
			t.Errorf("reply %q after %v, %v", reply, time.Since(begin), err)
		}
	})
}

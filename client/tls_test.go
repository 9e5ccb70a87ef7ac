package client_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/testdata/pki"
)

// echoTLS echoes over TLS with that key, one connection after the other, and
// counts the bytes of messages that came.
func echoTLS(t *testing.T, certs *pki.PKI, key string) (addr string, received func() int64) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certs.Path(key+".crt"), certs.Path(key+".key"))
	check(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	check(t, err)
	counts := make(chan int64)
	go func() {
		defer close(counts)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n, _ := io.Copy(conn, conn)
			conn.Close()
			counts <- n
		}
	}()
	t.Cleanup(func() { l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	check(t, err)
	return "localhost:" + port, func() int64 { return <-counts }
}

func roots(certs *pki.PKI) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(certs.Certificate("ca"))
	return pool
}

// The callback sees certificate, session and verdict before the server has
// received anything; it can refuse a good server, and cannot accept a bad one.
func TestCheck(t *testing.T) {
	certs, err := pki.New(t.TempDir())
	check(t, err)
	refusal := errors.New("not today")
	for _, tt := range []struct {
		key     string
		verdict client.Verdict
		refuse  error
	}{
		{"server", client.Trusted, nil},
		{"server", client.Trusted, refusal},
		{"rogue-server", client.Untrusted, nil},
		{"server-misnamed", client.WrongName, nil},
		{"server-misnamed", client.WrongName, refusal},
		{"server-expired", client.Expired, nil},
	} {
		addr, received := echoTLS(t, certs, tt.key)
		calls := 0
		conn, err := client.Connect(t.Context(), client.Config{Addr: addr, TLS: &client.TLS{
			Roots: roots(certs),
			Check: func(s client.Server) error {
				calls++
				if !s.Certificates[0].Equal(certs.Certificate(tt.key)) || s.Verdict != tt.verdict || (s.Err == nil) != (tt.verdict == client.Trusted) ||
					s.Session.Version != tls.VersionTLS13 || s.Session.CipherSuite == 0 {
					t.Errorf("%s: the callback saw %+v", tt.key, s)
				}
				return tt.refuse
			},
		}})
		if good := tt.verdict == client.Trusted && tt.refuse == nil; good != (err == nil) {
			t.Errorf("%s: %v", tt.key, err)
		} else if good {
			answer, err := client.Echo(conn, []byte("hello"), client.DefaultTimeout)
			if string(answer) != "hello" || err != nil {
				t.Errorf("echo: %q, %v", answer, err)
			}
			conn.Close()
			if n := received(); n != 5 {
				t.Errorf("the server received %d bytes", n)
			}
		} else {
			e, ok := errors.AsType[*client.CertificateError](err)
			step, _ := errors.AsType[*client.Error](err)
			if !ok || e.Verdict != tt.verdict || step.Step != client.Securing || tt.verdict == client.Trusted && !errors.Is(err, refusal) {
				t.Errorf("%s: %v", tt.key, err)
			}
			if n := received(); n != 0 {
				t.Errorf("%s: the server received %d bytes", tt.key, n)
			}
		}
		if calls != 1 {
			t.Errorf("%s: %d calls", tt.key, calls)
		}
	}
}

// A server that is refused learns nothing of the client's certificate, either.
func TestCheckBeforeCertificate(t *testing.T) {
	certs, err := pki.New(t.TempDir())
	check(t, err)
	pair, err := tls.LoadX509KeyPair(certs.Path("server.crt"), certs.Path("server.key"))
	check(t, err)
	alice, err := tls.LoadX509KeyPair(certs.Path("alice.crt"), certs.Path("alice.key"))
	check(t, err)
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		for _, refuse := range []error{nil, errors.New("not today")} {
			shown := 0 // certificates, as the server sees it
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
				Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: version,
				VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
					shown = len(raw)
					return nil
				},
			})
			check(t, err)
			done := make(chan error, 1)
			go func() {
				conn, err := l.Accept()
				if err == nil {
					err = conn.(*tls.Conn).Handshake()
					conn.Close()
				}
				done <- err
			}()
			conn, err := client.Connect(t.Context(), client.Config{Addr: l.Addr().String(), TLS: &client.TLS{
				Roots: roots(certs), ServerName: "localhost", Certificate: &alice, MinVersion: version,
				Check: func(client.Server) error { return refuse },
			}})
			serr := <-done
			if err == nil {
				conn.Close()
			}
			l.Close()
			if !errors.Is(err, refuse) || (serr == nil) != (refuse == nil) || (shown > 0) != (refuse == nil) {
				t.Errorf("%s, refused by %v: %v; the server saw %d certificates and %v", tls.VersionName(version), refuse, err, shown, serr)
			}
		}
	}
}

// Several faults at once: the gravest is told.
func TestGravestFault(t *testing.T) {
	certs, err := pki.New(t.TempDir())
	check(t, err)
	for _, tt := range []struct {
		key, name string
		roots     *x509.CertPool
		want      client.Verdict
	}{
		{"server-expired", "", x509.NewCertPool(), client.Untrusted},
		{"server-misnamed", "", x509.NewCertPool(), client.Untrusted},
		{"server-expired", "elsewhere.test", roots(certs), client.WrongName},
		{"server-misnamed", "other.test", roots(certs), client.Trusted},
		{"server", "::1%lo", roots(certs), client.Trusted}, // where ::1 is, is no part of its name
	} {
		addr, received := echoTLS(t, certs, tt.key)
		conn, err := client.Connect(t.Context(), client.Config{Addr: addr, TLS: &client.TLS{Roots: tt.roots, ServerName: tt.name}})
		if err == nil {
			conn.Close()
		}
		received()
		e, ok := errors.AsType[*client.CertificateError](err)
		if ok != (tt.want != client.Trusted) || ok && e.Verdict != tt.want {
			t.Errorf("%s as %q: %v, want %v", tt.key, tt.name, err, tt.want)
		}
	}
}

// A peer that speaks no TLS, one that speaks only old TLS, and settings that make
// no sense.
func TestTLSRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(conn, "220 ready\r\n")
		conn.Close()
	}()
	_, err = client.Connect(t.Context(), client.Config{Addr: l.Addr().String(), TLS: &client.TLS{}})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Step != client.Securing || !strings.Contains(err.Error(), "does not look like a TLS handshake") {
		t.Errorf("without TLS: %v", err)
	}

	certs, err := pki.New(t.TempDir())
	check(t, err)
	pair, err := tls.LoadX509KeyPair(certs.Path("server.crt"), certs.Path("server.key"))
	check(t, err)
	ours, theirs := net.Pipe()
	go func() {
		server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12})
		server.Handshake()
		server.Close()
	}()
	_, err = client.New(t.Context(), ours, client.Config{Addr: "localhost:1", Unauthenticated: true, TLS: &client.TLS{Roots: roots(certs)}})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Step != client.Securing || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("with TLS 1.2: %v", err)
	}

	for _, settings := range []client.TLS{{MinVersion: tls.VersionTLS11}, {MinVersion: 0x300}, {Bind: 3}, {Bind: -1}} {
		if _, err := client.Connect(t.Context(), client.Config{Addr: l.Addr().String(), TLS: &settings}); err == nil || !strings.HasPrefix(err.Error(), "client: ") {
			t.Errorf("%+v: %v", settings, err)
		}
	}
	unbound := client.Config{Addr: "localhost:1", Unauthenticated: true, TLS: &client.TLS{Bind: client.BindRequire}}
	if err := unbound.Validate(); err == nil || !strings.Contains(err.Error(), "no context to bind") {
		t.Errorf("nothing to bind: %v", err)
	}
}

// refusedBy has a session over TLS whose server says something in place of its
// answer, with a pause after each byte, and gives the session's error.
func refusedBy(t *testing.T, says string, pause time.Duration) error {
	t.Helper()
	certs, err := pki.New(t.TempDir())
	check(t, err)
	pair, err := tls.LoadX509KeyPair(certs.Path("server.crt"), certs.Path("server.key"))
	check(t, err)
	ours, theirs := net.Pipe()
	var peer sync.WaitGroup
	defer peer.Wait()
	defer ours.Close()
	peer.Go(func() {
		defer theirs.Close()
		server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{pair}})
		if _, err := server.Read(make([]byte, 5)); err != nil { // the greeting
			return
		}
		peer.Go(func() { io.Copy(io.Discard, server) })
		for i := range says {
			if _, err := io.WriteString(server, says[i:i+1]); err != nil {
				return
			}
			time.Sleep(pause)
		}
	})
	session, err := client.New(t.Context(), ours, client.Config{Addr: "[::1%lo]:1", Unauthenticated: true, TLS: &client.TLS{Roots: roots(certs)}})
	check(t, err)
	defer session.Close()
	_, err = session.Sign([]byte("hello"))
	return err
}

// A server that refuses the client tells why in a line, for which it has a
// second, however it divides it.
func TestRefusalTime(t *testing.T) {
	const line = "CRL: the certificate was revoked."
	for _, tt := range []struct {
		name   string
		says   string
		pause  time.Duration
		told   bool
		within time.Duration
	}{
		{"at once", line + "\n", 0, true, 0},
		{"slowly", line + "\n", time.Millisecond, true, time.Second},
		{"too slowly", line + "\n", 900 * time.Millisecond, false, 6 * time.Second},
		{"without end", "CRL: " + strings.Repeat("x", 1000), 0, false, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			err := refusedBy(t, tt.says, tt.pause)
			e, told := errors.AsType[*client.RefusedError](err)
			if told != tt.told || told && e.Line != line {
				t.Errorf("%s: %v", tt.name, err)
			}
			if took := time.Since(began); took > tt.within {
				t.Errorf("%s: it took %v", tt.name, took)
			}
		})
	}
}

// What comes back is compared to the last byte, whoever else reads and writes how
// slowly.
func TestEchoDiffers(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		buf := make([]byte, 8)
		io.ReadFull(theirs, buf)
		buf[7] ^= 1
		theirs.Write(buf)
	}()
	answer, err := client.Echo(ours, []byte("12345678"), client.DefaultTimeout)
	e, ok := errors.AsType[*client.EchoError](err)
	if !ok || !bytes.Equal(e.Received, answer) || !strings.HasSuffix(e.Error(), "from byte 8 of 8 on") {
		t.Errorf("%q, %v", answer, err)
	}
}

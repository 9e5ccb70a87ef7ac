//go:build unix

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/testdata/pki"
	"github.com/countersign-go/countersign/token"
)

func newPKI(t *testing.T) *pki.PKI {
	t.Helper()
	p, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// startTLS starts gss-server with listeners on free ports, as --listen has them,
// and a TLS key; it gives their addresses in the same order.
func startTLS(t *testing.T, env []string, certs *pki.PKI, listeners []string, args ...string) (*process, []string) {
	t.Helper()
	all := []string{"--log-format", "json", "--tls-cert", certs.Path("server.crt"), "--tls-key", certs.Path("server.key")}
	for _, l := range listeners {
		all = append(all, "--listen", l)
	}
	p := launch(t, env, append(all, args...)...)
	if !p.await(t, "starting...", 1) {
		t.Fatalf("gss-server ended: %v\n%s", p.err, p.errors())
	}
	var addresses []string
	for _, rec := range p.records(t, "listening") {
		addresses = append(addresses, rec["address"].(string))
	}
	if len(addresses) != len(listeners) {
		t.Fatalf("%d listeners, want %d:\n%s", len(addresses), len(listeners), p.errors())
	}
	return p, addresses
}

func roots(certs *pki.PKI) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(certs.Certificate("ca"))
	return pool
}

// The sign service over TLS, with an embedded KDC and with MIT's: whether a
// context is bound to its connection, and what each policy makes of that.
func TestSignOverTLS(t *testing.T) {
	certs := newPKI(t)
	t.Run("gsstest", func(t *testing.T) {
		realm := newRealm(t)
		testBindings(t, certs, realm.env(), realm.alice(t))
	})
	t.Run("MIT", func(t *testing.T) {
		realm := mitrealm.New(t, mitrealm.Config{})
		realm.Kinit("alice")
		testBindings(t, certs, realm.Env(), initiator(t, realm.ConfigFile, realm.CCacheFile))
	})
}

func testBindings(t *testing.T, certs *pki.PKI, env []string, alice gss.Initiator) {
	const bound = "GSS_C_CHANNEL_BOUND_FLAG"
	for _, policy := range []string{"off", "allow", "require"} {
		t.Run(policy, func(t *testing.T) {
			p, addrs := startTLS(t, env, certs, []string{"tls://127.0.0.1:0"}, "--tls-min", "1.2", "--bind", policy, "host@localhost")
			sessions := 0
			try := func(name string, addr string, tls *client.TLS, want string) {
				t.Helper()
				session, err := client.Dial(t.Context(), client.Config{Addr: addr, Initiator: alice, Target: gss.HostService("host@localhost"), TLS: tls})
				if err == nil {
					_, err = session.Sign([]byte("hello"))
					_ = session.Close()
				}
				sessions++
				p.await(t, `"msg":"session `, sessions)
				if want != "" {
					if e, ok := errors.AsType[*gss.Error](err); !ok || e.Major != gss.ErrBadBindings && e.Major != gss.ErrFailure || !strings.Contains(p.errors(), want) {
						t.Errorf("%s: %v; the server's log is to have %q:\n%s", name, err, want, p.errors())
					}
					return
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			own := func(bind client.BindPolicy, version uint16) *client.TLS {
				return &client.TLS{Roots: roots(certs), Bind: bind, MinVersion: version}
			}
			absent := ""
			if policy == "require" {
				absent = "the initiator sent no channel bindings"
			}
			wrong := "the initiator's channel bindings are those of another channel"
			if policy == "off" {
				wrong = ""
			}
			try("right", addrs[0], own(client.BindRequire, 0), "")
			if got := strings.Contains(p.errors(), bound); got != (policy != "off") {
				t.Errorf("the log has %s: %v\n%s", bound, got, p.errors())
			}
			try("absent", addrs[0], own(client.BindOff, 0), absent)
			try("wrong", tlsRelay(t, certs, addrs[0]), own(client.BindAllow, 0), wrong)
		})
	}
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		t.Run("moved/"+tls.VersionName(version), func(t *testing.T) {
			_, addrs := startTLS(t, env, certs, []string{"tls://127.0.0.1:0"}, "--tls-min", "1.2", "--bind", "require", "host@localhost")
			connect := func() *tls.Conn {
				conn, err := tls.Dial("tcp", addrs[0], &tls.Config{RootCAs: roots(certs), MaxVersion: version})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				return conn
			}
			endpoint, err := gss.TLSServerEndPointOf(certs.Certificate("server"))
			if err != nil {
				t.Fatal(err)
			}
			here, there := connect(), connect()
			exporter, err := gss.TLSExporter(here.ConnectionState())
			if err != nil {
				t.Fatal(err)
			}
			for _, tt := range []struct {
				name     string
				conn     net.Conn
				bindings *gss.ChannelBindings
				refused  bool
			}{
				{"tls-exporter, moved", there, exporter, true},
				{"tls-exporter, in place", here, exporter, false},
				{"tls-server-end-point, moved", connect(), endpoint, false},
			} {
				tok, err := token.Config{Version: token.V2}.NewConn(tt.conn)
				if err == nil {
					err = tok.WriteFrame(token.NOOP|token.ContextNext, nil)
				}
				if err != nil {
					t.Fatal(err)
				}
				sec, err := gss.Initiate(t.Context(), tok, alice, gss.Request{Target: gss.HostService("host@localhost"), Bindings: tt.bindings})
				if refused := err != nil; refused != tt.refused {
					t.Errorf("%s: %v", tt.name, err)
				}
				if sec != nil {
					sec.Delete()
				}
			}
		})
	}
}

// tlsRelay ends TLS with a certificate that the client trusts for the server's name,
// and opens it again: a CA's mistake, or a proxy of one's own. It takes one
// connection.
func tlsRelay(t *testing.T, certs *pki.PKI, to string) (addr string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certs.Path("server2.crt"), certs.Path("server2.key"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		in, err := l.Accept()
		if err != nil {
			return
		}
		defer in.Close()
		out, err := tls.Dial("tcp", to, &tls.Config{RootCAs: roots(certs)})
		if err != nil {
			return
		}
		defer out.Close()
		go func() {
			_, _ = io.Copy(out, in)
			_ = out.CloseWrite()
		}()
		_, _ = io.Copy(in, out)
	}()
	return l.Addr().String()
}

// Under -once every listener serves, and the exit code is the session's.
func TestOnceOnEveryListener(t *testing.T) {
	certs := newPKI(t)
	realm := newRealm(t)
	listeners := []string{"tcp://127.0.0.1:0", "tcp://127.0.0.1:0?service=echo", "tls://127.0.0.1:0", "tls://127.0.0.1:0?service=echo"}
	for i, listener := range listeners {
		for _, good := range []bool{true, false} {
			name := listener + " bad"
			if good {
				name = listener + " good"
			}
			t.Run(name, func(t *testing.T) {
				p, addrs := startTLS(t, realm.env(), certs, listeners, "-once", "host@localhost")
				var secured *client.TLS
				if strings.HasPrefix(listener, "tls") {
					secured = &client.TLS{Roots: roots(certs)}
				}
				switch {
				case !good:
					conn, err := net.Dial("tcp", addrs[i])
					if err != nil {
						t.Fatal(err)
					}
					_ = conn.(*net.TCPConn).SetLinger(0) // a reset, which even an echo does not take for an end
					if strings.HasSuffix(listener, "echo") {
						echoed := make([]byte, 2)
						if _, err := conn.Write([]byte("hi")); err == nil && secured == nil {
							_, err = io.ReadFull(conn, echoed)
							if err != nil {
								t.Error(err)
							}
						}
					}
					_ = conn.Close()
				case strings.HasSuffix(listener, "echo"):
					conn, err := client.Connect(t.Context(), client.Config{Addr: addrs[i], TLS: secured})
					if err != nil {
						t.Fatal(err)
					}
					if _, err := client.Echo(conn, []byte("hello"), patience); err != nil {
						t.Error(err)
					}
					_ = conn.Close()
				default:
					session, err := client.Dial(t.Context(), client.Config{Addr: addrs[i], Initiator: realm.alice(t), Target: gss.HostService("host@localhost"), TLS: secured})
					if err != nil {
						t.Fatal(err)
					}
					if _, err := session.Sign([]byte("hello")); err != nil {
						t.Error(err)
					}
					_ = session.Close()
				}
				want := exitOK
				if !good {
					want = exitFailure
				}
				if code := p.wait(t); code != want {
					t.Errorf("exit code %d, want %d\n%s", code, want, p.errors())
				}
			})
		}
	}
}

// A client that says nothing, and one that stops in the middle of the TLS
// handshake, hold up neither others nor the end.
func TestSilentTLSClients(t *testing.T) {
	certs := newPKI(t)
	p, addrs := startTLS(t, newRealm(t).env(), certs, []string{"tls://127.0.0.1:0?service=echo"}, "--grace", "20s")
	for _, said := range []string{"", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"} {
		conn := dial(t, addrs[0])
		if _, err := io.WriteString(conn, said); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := client.Connect(t.Context(), client.Config{Addr: addrs[0], TLS: &client.TLS{Roots: roots(certs)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Echo(conn, []byte("hello"), patience); err != nil {
		t.Error(err)
	}
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the idle session got %v, want a proper end of TLS", err)
	}
	if code := p.wait(t); code != exitOK || time.Since(began) > 15*time.Second {
		t.Errorf("exit code %d after %v\n%s", code, time.Since(began), p.errors())
	}
}

// A CRL that is replaced counts at once, and SIGHUP reads it, too; --tls-debug
// logs each step of a handshake.
func TestCRLWhileServing(t *testing.T) {
	certs := newPKI(t)
	p, addrs := startTLS(t, newRealm(t).env(), certs, []string{"tls://127.0.0.1:0?service=echo"},
		"--client-cert", "verify", "--client-ca", certs.Path("ca.crt"), "--crl", certs.Path("ca.crl"), "--tls-debug")
	alice, err := tls.LoadX509KeyPair(certs.Path("alice.crt"), certs.Path("alice.key"))
	if err != nil {
		t.Fatal(err)
	}
	visits := 0
	visit := func(want string) {
		t.Helper()
		conn, err := client.Connect(t.Context(), client.Config{Addr: addrs[0], TLS: &client.TLS{Roots: roots(certs), Certificate: &alice}})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Echo(conn, []byte("hello"), patience)
		_ = conn.Close()
		if got := fmt.Sprintf("%s, %v", answer, err); !strings.Contains(got, want) {
			t.Errorf("visit: %s, want %q", got, want)
		}
		visits++
		p.await(t, `"msg":"session `, visits)
	}
	revoke := func(serial int64) {
		t.Helper()
		if err := certs.WriteCRL("ca.crl", "ca", pki.List{Serials: []int64{serial}}); err != nil {
			t.Fatal(err)
		}
	}
	visit("hello, <nil>")
	revoke(pki.AliceSerial)
	visit("the server says: CRL: the certificate with serial number A11CE was revoked")
	revoke(pki.MallorySerial)
	p.signal(t, syscall.SIGHUP)
	if !p.await(t, "TLS: CRLs read again", 2) {
		t.Error("SIGHUP does not read the CRL")
	}
	visit("hello, <nil>")
	for step, want := range map[string]string{
		"client hello": "TLS 1.3", "certificate chosen": "serial 5E1 of CN=localhost", "client certificate verified": "CN=alice",
		"CRL checked": "serial A11CE of CN=Test CA", "handshake done": "TLS_",
	} {
		if recs := p.records(t, "TLS: "+step); len(recs) != visits || !strings.Contains(recs[0]["detail"].(string), want) || recs[0]["peer"] == nil {
			t.Errorf("%s: records %v", step, recs)
		}
	}
	ended := p.records(t, "session ended")
	if len(ended) != 2 || ended[0]["client_cert"] != "valid" || ended[0]["cert_serial"] != "A11CE" || ended[0]["cert_issuer"] != "CN=Test CA,O=Test" {
		t.Errorf("records %v", ended)
	}
}

// A listener without a host serves IPv4 and IPv6, and its address can be listened
// on again at once, though connections to it were closed a moment ago.
func TestAddresses(t *testing.T) {
	certs := newPKI(t)
	env := newRealm(t).env()
	p, addrs := startTLS(t, env, certs, []string{"tls://:0?service=echo"})
	_, port, err := net.SplitHostPort(addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, host := range []string{"127.0.0.1", "::1"} {
			if probe, err := net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
				continue // this machine has no such address
			} else {
				_ = probe.Close()
			}
			conn, err := client.Connect(t.Context(), client.Config{Addr: net.JoinHostPort(host, port), TLS: &client.TLS{Roots: roots(certs)}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Echo(conn, []byte("hello"), patience); err != nil {
				t.Errorf("%s: %v", host, err)
			}
			defer conn.Close() // the server closes first
		}
		p.signal(t, syscall.SIGTERM)
		if code := p.wait(t); code != exitOK {
			t.Fatalf("exit code %d\n%s", code, p.errors())
		}
		p, _ = startTLS(t, env, certs, []string{"tls://:" + port + "?service=echo"})
	}
}

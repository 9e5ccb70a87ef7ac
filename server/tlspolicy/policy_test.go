package tlspolicy_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/server/tlspolicy"
	"github.com/countersign-go/countersign/testdata/pki"
)

func newPKI(t testing.TB) *pki.PKI {
	t.Helper()
	p, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// config is a good one that asks for client certificates and has their CRL.
func config(p *pki.PKI, mode tlspolicy.Mode) tlspolicy.Config {
	cfg := tlspolicy.Config{CertFile: p.Path("server.crt"), KeyFile: p.Path("server.key"), ClientCert: mode, MinVersion: tls.VersionTLS12}
	if mode != tlspolicy.None {
		cfg.ClientCAFile = p.Path("ca.crt")
		cfg.CRLFiles = []string{p.Path("ca.crl"), p.Path("intermediate.crl")}
	}
	return cfg
}

func newPolicy(t testing.TB, cfg tlspolicy.Config) *tlspolicy.Policy {
	t.Helper()
	p, err := tlspolicy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A site accepts connections with a policy: one that stands gets the line
// "served" and has what it sends read until the end.
type site struct {
	listener net.Listener
	ended    chan served
}

// served is how a connection ended at the server.
type served struct {
	err     error
	verdict tlspolicy.Verdict
	fields  map[string]any
}

func newSite(t testing.TB, p *tlspolicy.Policy) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{listener: p.Listen(l), ended: make(chan served, 1)}
	t.Cleanup(func() { s.listener.Close() })
	go func() {
		for {
			accepted, err := s.listener.Accept()
			if err != nil {
				return
			}
			go func() {
				conn := accepted.(*tlspolicy.Conn)
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(20 * time.Second))
				_, err := io.WriteString(conn, "served\n") // which does the handshake
				if err == nil {
					io.Copy(io.Discard, conn)
				}
				s.ended <- served{err, conn.Verdict(), conn.LogFields()}
			}()
		}
	}()
	return s
}

// visit connects with the certificate of that name, "" for none, sends a message
// at once, and gives what the server said.
func (s *site) visit(t testing.TB, p *pki.PKI, name string, cfg *tls.Config) (said string, state tls.ConnectionState, err error) {
	t.Helper()
	cfg = cfg.Clone()
	cfg.ServerName = "localhost"
	cfg.RootCAs = x509.NewCertPool()
	cfg.RootCAs.AddCert(p.Certificate("ca"))
	if name != "" {
		pair, err := tls.LoadX509KeyPair(p.Path(name+".crt"), p.Path(name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	conn, err := tls.Dial("tcp", s.listener.Addr().String(), cfg)
	if err != nil {
		return "", state, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	state = conn.ConnectionState()
	io.WriteString(conn, strings.Repeat("unread ", 1000)) // must not cost the line that the server sends
	r := bufio.NewReader(conn)
	said, err = r.ReadString('\n')
	if err == nil && said != "served\n" {
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("after %q: %v, want the end of the stream", said, err)
		}
	}
	return said, state, err
}

// The table of the package's documentation, cell by cell.
func TestVerdicts(t *testing.T) {
	p := newPKI(t)
	states := []struct {
		name string // of the certificate
		want tlspolicy.State
		line string // what Verify says
	}{
		{"", tlspolicy.NoCertificate, "NoClientCertExists: this server wants a client certificate, and none was shown.\n"},
		{"rogue", tlspolicy.Untrusted, "ClientCertInvalid: the client certificate was not issued by a CA that this server trusts.\n"},
		{"expired", tlspolicy.Untrusted, "ClientCertInvalid: the client certificate has expired or is not valid yet.\n"},
		{"server", tlspolicy.Untrusted, "ClientCertInvalid: the certificate shown is not for clients.\n"},
		{"mallory", tlspolicy.Revoked, "CRL: the certificate with serial number BAD was revoked on "},
		{"bob", tlspolicy.Valid, ""}, // who has mallory's serial number, from another CA
		{"alice", tlspolicy.Valid, ""},
	}
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		for mode := tlspolicy.None; mode <= tlspolicy.Require; mode++ {
			site := newSite(t, newPolicy(t, config(p, mode)))
			for _, state := range states {
				t.Run(fmt.Sprintf("%s/%v/%s", tls.VersionName(version), mode, state.name), func(t *testing.T) {
					said, _, err := site.visit(t, p, state.name, &tls.Config{MaxVersion: version})
					end := <-site.ended
					good := state.want == tlspolicy.Valid || mode <= tlspolicy.Report
					switch {
					case good:
						if said != "served\n" || err != nil || end.err != nil {
							t.Errorf("said %q, %v; the server: %v", said, err, end.err)
						}
					case mode == tlspolicy.Verify:
						if !strings.HasPrefix(said, state.line) || err != nil {
							t.Errorf("said %q, %v; want %q", said, err, state.line)
						}
					default: // an alert, which under TLS 1.3 comes after the client's handshake
						if said != "" || err == nil || !strings.Contains(err.Error(), "remote error: tls: ") {
							t.Errorf("said %q, %v; want an alert", said, err)
						}
					}
					if refused, ok := errors.AsType[*tlspolicy.RefusedError](end.err); ok == good || ok && refused.Verdict.State != state.want {
						t.Errorf("the server's error: %v", end.err)
					}
					want := state.want
					if mode == tlspolicy.None {
						want = tlspolicy.NoCertificate
						if end.fields["client_cert"] != nil {
							t.Errorf("log fields %v", end.fields)
						}
					} else if end.fields["client_cert"] != want.String() {
						t.Errorf("log fields %v", end.fields)
					}
					if end.verdict.State != want || mode != tlspolicy.None && (end.verdict.Err == nil) != (want == tlspolicy.Valid) {
						t.Errorf("verdict %+v, want %v", end.verdict, want)
					}
					if mode != tlspolicy.None && state.name != "" {
						cert := p.Certificate(state.name)
						if end.fields["cert_serial"] != fmt.Sprintf("%X", cert.SerialNumber) || end.fields["cert_subject"] != cert.Subject.String() || end.fields["cert_issuer"] != cert.Issuer.String() {
							t.Errorf("log fields %v", end.fields)
						}
					}
				})
			}
		}
	}
}

// A certificate that is revoked while the server runs is refused in the next
// handshake, be it new or of a resumed session, and let in again when the list
// is taken back.
func TestCRLChanges(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			p := newPKI(t)
			site := newSite(t, newPolicy(t, config(p, tlspolicy.Verify)))
			client := &tls.Config{MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			visit := func(resumed bool, want string) {
				t.Helper()
				said, state, err := site.visit(t, p, "alice", client)
				<-site.ended
				if !strings.HasPrefix(said, want) || err != nil || state.DidResume != resumed {
					t.Errorf("said %q, %v, resumed %v; want %q, %v", said, err, state.DidResume, want, resumed)
				}
			}
			visit(false, "served\n")
			visit(true, "served\n")
			for range 3 { // at once, within the clock of any file system, and with the same size
				if err := p.WriteCRL("ca.crl", "ca", pki.List{Serials: []int64{pki.AliceSerial}}); err != nil {
					t.Fatal(err)
				}
				visit(true, "CRL: the certificate with serial number A11CE was revoked on ")
				if err := p.WriteCRL("ca.crl", "ca", pki.List{Serials: []int64{pki.MallorySerial}}); err != nil {
					t.Fatal(err)
				}
				visit(true, "served\n")
			}
		})
	}
}

// Under Require a resumed session of a certificate that was revoked since ends by
// an alert as well.
func TestResumedRequire(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			p := newPKI(t)
			site := newSite(t, newPolicy(t, config(p, tlspolicy.Require)))
			client := &tls.Config{MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			for _, resumed := range []bool{false, true} {
				said, state, err := site.visit(t, p, "alice", client)
				end := <-site.ended
				if said != "served\n" || err != nil || state.DidResume != resumed || end.fields["client_cert"] != "valid" || (end.fields["resumed"] != nil) != resumed {
					t.Errorf("said %q, %v, resumed %v; log fields %v", said, err, state.DidResume, end.fields)
				}
			}
			if err := p.WriteCRL("ca.crl", "ca", pki.List{Serials: []int64{pki.AliceSerial}}); err != nil {
				t.Fatal(err)
			}
			said, _, err := site.visit(t, p, "alice", client)
			end := <-site.ended
			if refused, ok := errors.AsType[*tlspolicy.RefusedError](end.err); !ok || refused.Verdict.State != tlspolicy.Revoked || said != "" ||
				err == nil || !strings.Contains(err.Error(), "remote error: tls: bad certificate") {
				t.Errorf("said %q, %v; the server: %v", said, err, end.err)
			}
		})
	}
}

// A key and certificate that are replaced count from the next handshake on; ones
// that do not fit leave those before in force, and are reported once.
func TestCertificateChanges(t *testing.T) {
	p := newPKI(t)
	for _, name := range []string{"live.crt", "live.key"} {
		copyFile(t, p, "server"+name[4:], name)
	}
	var mu sync.Mutex
	var events []string
	cfg := tlspolicy.Config{CertFile: p.Path("live.crt"), KeyFile: p.Path("live.key"), Trace: func(ev tlspolicy.Event) {
		if mu.Lock(); ev.Remote == nil {
			events = append(events, fmt.Sprint(ev.Step, ": ", ev.Err))
		}
		mu.Unlock()
	}}
	policy := newPolicy(t, cfg)
	site := newSite(t, policy)
	shown := func(want string) {
		t.Helper()
		_, state, err := site.visit(t, p, "", &tls.Config{InsecureSkipVerify: true})
		<-site.ended
		if err != nil || !state.PeerCertificates[0].Equal(p.Certificate(want)) {
			t.Errorf("the server showed %v, %v; want %s", state.PeerCertificates, err, want)
		}
	}
	shown("server")
	copyFile(t, p, "server-misnamed.crt", "live.crt")
	shown("server") // the key does not fit yet
	shown("server")
	copyFile(t, p, "server-misnamed.key", "live.key")
	shown("server-misnamed")
	copyFile(t, p, "server-expired.crt", "live.crt")
	copyFile(t, p, "server-expired.key", "live.key")
	shown("server-misnamed")
	if err := os.Remove(p.Path("live.crt")); err != nil {
		t.Fatal(err)
	}
	policy.Reload()
	shown("server-misnamed")
	mu.Lock()
	defer mu.Unlock()
	for i, want := range []string{"does not fit the certificate of CN=other.test", "TLS key read again: <nil>", "expired at", "no such file or directory"} {
		if i >= len(events) || !strings.Contains(events[i], want) {
			t.Errorf("event %d is none with %q: %q", i, want, events)
		}
	}
	if len(events) != 4 {
		t.Errorf("%d events: %q", len(events), events)
	}
}

func copyFile(t *testing.T, p *pki.PKI, from, to string) {
	t.Helper()
	content, err := os.ReadFile(p.Path(from))
	if err == nil {
		err = os.WriteFile(p.Path(to), content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A connection's own settings go before the policy's.
func TestSettings(t *testing.T) {
	p := newPKI(t)
	policy := newPolicy(t, config(p, tlspolicy.Require))
	report, none := tlspolicy.Report, tlspolicy.None
	for _, tt := range []struct {
		name  string
		set   tlspolicy.Settings
		proto string
		stand bool
	}{
		{"the policy's", tlspolicy.Settings{}, "", false},
		{"report", tlspolicy.Settings{ClientCert: &report}, "", true},
		{"none", tlspolicy.Settings{ClientCert: &none, NextProtos: []string{"countersign"}}, "countersign", true},
		{"1.3 only", tlspolicy.Settings{ClientCert: &none, MinVersion: tls.VersionTLS13}, "", false},
	} {
		ours, theirs := net.Pipe()
		conn, err := policy.Server(ours, tt.set)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			ended <- conn.Handshake()
			conn.Close()
		}()
		client := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, NextProtos: []string{"countersign"}})
		err = client.Handshake()
		if (err == nil) != tt.stand || client.ConnectionState().NegotiatedProtocol != tt.proto {
			t.Errorf("%s: %v, protocol %q", tt.name, err, client.ConnectionState().NegotiatedProtocol)
		}
		theirs.Close()
		if err := <-ended; (err == nil) != tt.stand {
			t.Errorf("%s: the server: %v", tt.name, err)
		}
	}
	old, bad := tlspolicy.Settings{MinVersion: tls.VersionTLS11}, tlspolicy.Mode(9)
	for _, set := range []tlspolicy.Settings{old, {ClientCert: &bad}} {
		if _, err := policy.Server(nil, set); err == nil {
			t.Errorf("%+v: no error", set)
		}
	}
	if _, err := newPolicy(t, config(p, tlspolicy.None)).Server(nil, tlspolicy.Settings{ClientCert: &report}); err == nil {
		t.Error("client certificates without any CA: no error")
	}
}

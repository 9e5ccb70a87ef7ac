package tlspolicy_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/server/tlspolicy"
)

// clientHello is what a client of crypto/tls says first.
func clientHello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake()
		theirs.Close()
	}()
	buf := make([]byte, 4096)
	n, err := ours.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	ours.Close()
	return buf[:n]
}

// Whoever comes with something else than TLS, or with part of it, gets an error
// and costs no more than their connection: the next client is served.
func TestHostilePeers(t *testing.T) {
	p := newPKI(t)
	site := newSite(t, newPolicy(t, config(p, tlspolicy.Verify)))
	hello := clientHello(t)
	says := map[string][]byte{
		"nothing":          {},
		"HTTP":             []byte("GET / HTTP/1.1\r\n\r\n"),
		"SSL 2":            []byte("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"),
		"an SSL 3 hello":   bytes.Replace(bytes.Clone(hello), []byte{3, 1}, []byte{3, 0}, 1),
		"a long record":    []byte("\x16\x03\x01\xff\xff" + strings.Repeat("x", 1000)),
		"an alert":         []byte("\x15\x03\x01\x00\x02\x02\x28"),
		"application data": []byte("\x17\x03\x03\x00\x05hello"),
		"hello twice":      append(bytes.Clone(hello), hello...),
		"4 MiB of zeros":   make([]byte, 4<<20),
	}
	for _, n := range []int{1, 4, 5, 6, 9, 43, len(hello) / 2, len(hello) - 1} {
		says[fmt.Sprintf("%d bytes of a hello", n)] = hello[:n]
	}
	for name, words := range says {
		conn, err := net.Dial("tcp", site.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		conn.Write(words) // the server may have closed before all was sent
		conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if bytes.Contains(answer, []byte("served")) {
			t.Errorf("%s: answered %q", name, answer)
		}
		end := <-site.ended
		if end.err == nil || !strings.HasPrefix(end.err.Error(), "TLS handshake: ") {
			t.Errorf("%s: the server's error: %v", name, end.err)
		}
		if len(end.fields) > 0 || end.verdict != (tlspolicy.Verdict{}) { // nobody got as far as a certificate
			t.Errorf("%s: log fields %v, verdict %+v", name, end.fields, end.verdict)
		}
	}
	if said, _, err := site.visit(t, p, "alice", &tls.Config{}); said != "served\n" {
		t.Errorf("afterwards: %q, %v", said, err)
	}
	<-site.ended
}

// A client that sends all it has before it reads is told all the same.
func TestToldWhileSending(t *testing.T) {
	p := newPKI(t)
	site := newSite(t, newPolicy(t, config(p, tlspolicy.Verify)))
	conn, err := tls.Dial("tcp", site.listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	for range 8 {
		if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
			t.Fatalf("sending: %v", err)
		}
	}
	said, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(said), "NoClientCertExists: ") {
		t.Errorf("said %q, %v", said, err)
	}
	conn.Close()
	if end := <-site.ended; end.verdict.State != tlspolicy.NoCertificate || end.verdict.Err == nil {
		t.Errorf("verdict %+v", end.verdict)
	}
}

// Names as long as a handshake has room for reach no log whole.
func TestLongNames(t *testing.T) {
	p := newPKI(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: strings.Repeat("long ", 10000)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, long, long, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var longest, steps int
	cfg := config(p, tlspolicy.Report)
	cfg.Trace = func(ev tlspolicy.Event) {
		mu.Lock()
		defer mu.Unlock()
		steps++
		longest = max(longest, len(ev.Step)+len(ev.Detail)+len(fmt.Sprint(ev.Err)))
	}
	site := newSite(t, newPolicy(t, cfg))
	conn, err := tls.Dial("tcp", site.listener.Addr().String(), &tls.Config{
		InsecureSkipVerify: true, ServerName: strings.Repeat("long.", 10000) + "example",
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	end := <-site.ended
	if end.verdict.State != tlspolicy.Untrusted || end.fields["cert_subject"] == nil {
		t.Errorf("verdict %+v, log fields %v", end.verdict, end.fields)
	}
	for name, value := range end.fields {
		if text, ok := value.(string); ok && len(text) > 2<<10 {
			t.Errorf("log field %s has %d bytes", name, len(text))
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if longest > 4<<10 || steps < 4 {
		t.Errorf("%d steps, the longest of %d bytes", steps, longest)
	}
}

// Old protocol versions and broken suites find no server.
func TestOldClients(t *testing.T) {
	p := newPKI(t)
	lenient := newSite(t, newPolicy(t, config(p, tlspolicy.None))) // which takes TLS 1.2, too
	strict := config(p, tlspolicy.None)
	strict.MinVersion = 0
	modern := newSite(t, newPolicy(t, strict))
	for _, tt := range []struct {
		name string
		site *site
		cfg  *tls.Config
		good bool
	}{
		{"TLS 1.1", lenient, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{"RC4", lenient, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}}, false},
		{"TLS 1.2", lenient, &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{"TLS 1.2, by default", modern, &tls.Config{MaxVersion: tls.VersionTLS12}, false},
		{"TLS 1.3, by default", modern, &tls.Config{}, true},
	} {
		tt.cfg.RootCAs, tt.cfg.ServerName = x509.NewCertPool(), "localhost"
		tt.cfg.RootCAs.AddCert(p.Certificate("ca"))
		conn, err := tls.Dial("tcp", tt.site.listener.Addr().String(), tt.cfg)
		if err == nil {
			conn.Close()
		}
		if (err == nil) != tt.good {
			t.Errorf("%s: %v", tt.name, err)
		}
		end := <-tt.site.ended
		if alert, ok := errors.AsType[*net.OpError](err); !tt.good && (!ok || alert.Op != "remote error" || end.err == nil) {
			t.Errorf("%s: %v; the server: %v", tt.name, err, end.err)
		}
	}
}

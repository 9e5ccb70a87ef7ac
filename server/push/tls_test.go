package push_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/server/tlspolicy"
	"github.com/countersign-go/countersign/testdata/pki"
	"github.com/countersign-go/countersign/token/pushwire"
)

// Over TLS the context is bound to the channel, and both directions are busy at
// the same time.
func TestTLS(t *testing.T) {
	certs, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	policy, err := tlspolicy.New(tlspolicy.Config{CertFile: certs.Path("server.crt"), KeyFile: certs.Path("server.key")})
	if err != nil {
		t.Fatal(err)
	}
	k := newKerberos(t)
	s := pushtest.NewServer(t, push.Config{Setup: groups, Acceptor: k.acceptor, Limits: push.Limits{Rate: 1e6}}, server.Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.ServeAll(t, policy.Listen(l))
	pool := x509.NewCertPool()
	pool.AddCert(certs.Certificate("ca"))
	alice := k.user(t, "alice")
	dial := func(bind func(tls.ConnectionState) (*gss.ChannelBindings, error)) (*pushtest.Client, error) {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		req := target
		if req.Bindings, err = bind(conn.ConnectionState()); err != nil {
			t.Fatal(err)
		}
		return pushtest.DialWith(t, conn, alice, req, pushwire.Hello{})
	}
	elsewhere := func(tls.ConnectionState) (*gss.ChannelBindings, error) {
		return &gss.ChannelBindings{ApplicationData: []byte("tls-exporter:" + strings.Repeat("x", 32))}, nil
	}
	if _, err := dial(elsewhere); err == nil {
		t.Error("a context that is bound to another channel is taken")
	}
	c, err := dial(gss.TLSExporter)
	if err != nil {
		t.Fatal(err)
	}
	c.Subscribe(1)
	const n = 2000
	data := []byte(strings.Repeat("x", 500))
	go func() {
		for range n {
			if _, err := s.Hub().Publish(t.Context(), data, 1); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range n {
		c.Write(pushwire.PublishRequest{ID: uint64(1000 + i), Groups: []uint32{2}, Data: data})
	}
	for i := range n {
		if r := c.Result(uint64(1000 + i)); r.Status != pushwire.Done {
			t.Fatalf("%+v", r)
		}
	}
	for came, lost := 0, 0; came+lost < n; {
		m, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case pushwire.Publication:
			came++
		case pushwire.Lost:
			lost += int(m.Count)
		default:
			t.Fatalf("got %#v", m)
		}
	}
}

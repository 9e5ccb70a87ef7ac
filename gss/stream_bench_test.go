package gss_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
)

// A krb5Realm is what both ends of a Kerberos stream need.
type krb5Realm struct {
	initiator *krb5.Initiator
	acceptor  *krb5.Acceptor
}

func newKrb5Realm(t testing.TB, enctype int32) krb5Realm {
	t.Helper()
	realm, err := gsstest.NewRealm(gsstest.Config{Enctypes: []int32{enctype}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(realm.Close)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(realm.AddUser("alice", "secret"))
	must(realm.AddService("host/localhost"))
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		must(os.WriteFile(path, content, 0o600))
		return path
	}
	profile, err := krb5.ReadProfile(write("krb5.conf", realm.Krb5Conf()))
	must(err)
	kt, err := realm.Keytab("host/localhost")
	must(err)
	keytab, err := krb5.ParseKeytab(kt)
	must(err)
	cc, err := realm.CCache("alice", "host/localhost")
	must(err)
	cache, err := krb5.OpenCache(write("ccache", cc))
	must(err)
	user, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: cache, Profile: profile})
	must(err)
	service, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: keytab, Profile: profile})
	must(err)
	var r krb5Realm
	r.initiator, err = krb5.NewInitiator(krb5.InitiatorConfig{Credential: user})
	must(err)
	r.acceptor, err = krb5.NewAcceptor(krb5.AcceptorConfig{Credential: service})
	must(err)
	return r
}

func (r krb5Realm) streams(t testing.TB, client, server net.Conn) (c, s *gss.Stream) {
	c = gss.Client(client, gss.ClientConfig{Mechanism: r.initiator, Target: gss.HostService("host@localhost")})
	s = gss.Server(server, gss.ServerConfig{Mechanism: r.acceptor})
	handshake(t, c, s)
	return c, s
}

// Neither direction allocates once it is going, whatever the buffers' sizes.
func TestStreamAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops what it is given under the race detector")
	}
	realm := newKrb5Realm(t, 18)
	a, b := net.Pipe()
	c, s := realm.streams(t, a, b)
	defer b.Close()
	defer a.Close()
	go func() { _, _ = io.Copy(s, s) }()
	for _, size := range []int{100, 10_000, 60_000} {
		out, in := make([]byte, size), make([]byte, size+100)
		for _, buf := range [][]byte{in, in[:size/2]} {
			allocs := testing.AllocsPerRun(50, func() {
				if _, err := c.Write(out); err != nil {
					t.Fatal(err)
				}
				for got := 0; got < size; {
					n, err := c.Read(buf)
					if err != nil {
						t.Fatal(err)
					}
					got += n
				}
			})
			if allocs >= 1 {
				t.Errorf("an echo of %d octets, read by %d, allocates %.1f times", size, len(buf), allocs)
			}
		}
	}
}

// BenchmarkStream sends one way over loopback TCP, beside crypto/tls and plain
// TCP, by io.Copy's 32 KiB and by 1 MiB.
func BenchmarkStream(b *testing.B) {
	for _, size := range []int{1 << 10, 32 << 10, 1 << 20} {
		for _, enctype := range []int32{18, 20} {
			b.Run(fmt.Sprintf("krb5/enctype=%d/size=%d", enctype, size), func(b *testing.B) {
				realm := newKrb5Realm(b, enctype)
				x, y := loopback(b)
				c, s := realm.streams(b, x, y)
				oneWay(b, c, s, size)
			})
		}
		b.Run(fmt.Sprintf("tls/size=%d", size), func(b *testing.B) {
			x, y := loopback(b)
			cert := selfSigned(b)
			c := tls.Client(x, &tls.Config{InsecureSkipVerify: true})
			s := tls.Server(y, &tls.Config{Certificates: []tls.Certificate{cert}})
			go func() { _ = s.Handshake() }()
			if err := c.Handshake(); err != nil {
				b.Fatal(err)
			}
			oneWay(b, c, s, size)
		})
		b.Run(fmt.Sprintf("tcp/size=%d", size), func(b *testing.B) {
			x, y := loopback(b)
			oneWay(b, x, y, size)
		})
	}
}

func oneWay(b *testing.B, c, s net.Conn, size int) {
	done := make(chan error)
	go func() {
		buf := make([]byte, max(size, 32<<10))
		left := int64(b.N) * int64(size)
		for left > 0 {
			n, err := s.Read(buf)
			if left -= int64(n); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	msg := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := c.Write(msg); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	s.Close()
	c.Close()
}

func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	cert, err := newSelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// newSelfSigned makes a certificate for server.example that is its own root.
func newSelfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"server.example"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

package push_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/server"
	serverpush "github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/testdata/pki"
)

// A kerberos is a realm with alice and bob, and a key for the push service.
type kerberos struct {
	realm    *gsstest.Realm
	profile  *krb5.Profile
	acceptor *krb5.Acceptor
}

func newKerberos(t testing.TB) *kerberos {
	t.Helper()
	t.Setenv("KRB5RCACHEDIR", t.TempDir())
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "R.TEST"})
	check(t, err)
	t.Cleanup(realm.Close)
	k := &kerberos{realm: realm}
	check(t, realm.AddService("push/localhost"))
	for _, user := range []string{"alice", "bob"} {
		check(t, realm.AddUser(user, "secret"))
	}
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	check(t, os.WriteFile(conf, realm.Krb5Conf(), 0o600))
	k.profile, err = krb5.ReadProfile(conf)
	check(t, err)
	keys, err := realm.Keytab("push/localhost")
	check(t, err)
	keytab, err := krb5.ParseKeytab(keys)
	check(t, err)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService("push@localhost"), Keytab: keytab, Profile: k.profile,
	})
	check(t, err)
	k.acceptor, err = krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred})
	check(t, err)
	return k
}

// serve starts the push service with groups 1 to 3 at a listener.
func (k *kerberos) serve(t testing.TB, l net.Listener, cfg serverpush.Config) *pushtest.Server {
	t.Helper()
	cfg.Limits.Rate = 1_000_000
	cfg.Acceptor, cfg.LocalName = k.acceptor, k.acceptor.LocalName
	cfg.Setup = func(h *serverpush.Hub) error {
		return h.SetGroups([]serverpush.Group{{Number: 1, Name: "R&D Department"}, {Number: 2, Name: "Sales"}, {Number: 3, Name: "Management"}})
	}
	s := pushtest.NewServer(t, cfg, server.Config{})
	s.ServeAll(t, l)
	return s
}

func (k *kerberos) config(t testing.TB, user, addr string) push.Config {
	t.Helper()
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
		Usage: gss.InitiateOnly, Name: gss.UserName(user), Password: "secret", Profile: k.profile,
	})
	check(t, err)
	initiator, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	check(t, err)
	return push.Config{Client: client.Config{Addr: addr, Initiator: initiator, Target: gss.HostService("push@localhost")}}
}

func tcp(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	return l
}

// A line is connections of a client that can be cut, and mended later.
type line struct {
	mu     sync.Mutex
	conn   net.Conn
	mended chan struct{} // nil while it is whole
}

func (l *line) open(ctx context.Context, addr string) (net.Conn, error) {
	l.mu.Lock()
	mended := l.mended
	l.mu.Unlock()
	if mended != nil {
		<-mended
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
	return conn, err
}

func (l *line) cut() (mend func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	mended := make(chan struct{})
	l.mended = mended
	l.conn.Close()
	return func() { close(mended) }
}

// The whole with our server and Kerberos: what the server's program does, what
// clients do, and what is missed while there is no connection.
func TestOurServer(t *testing.T) {
	k := newKerberos(t)
	l := tcp(t)
	s := k.serve(t, l, serverpush.Config{Hooks: serverpush.Hooks{
		Arrive: func(_ context.Context, m *serverpush.Member) error {
			if m.LocalName() == "bob" {
				return m.Subscribe(2)
			}
			return nil
		},
	}})
	ctx := t.Context()

	d := newDiary()
	var wire line
	cfg := k.config(t, "alice", l.Addr().String())
	cfg.Client.Open = wire.open
	cfg.Groups, cfg.Events = []uint32{1, 3}, d.events()
	alice, err := push.Dial(ctx, cfg)
	check(t, err)
	d.expect(t, "connected")
	e := newDiary()
	cfg = k.config(t, "bob", l.Addr().String())
	cfg.Events.Published, cfg.Events.Sent, cfg.Events.Joined = e.events().Published, e.events().Sent, e.events().Joined
	bob, err := push.Dial(ctx, cfg)
	check(t, err)
	e.expect(t, "joined [2]")
	if w := bob.Welcome(); w.You != "bob@R.TEST" || len(bob.Groups()) != 3 || bob.Groups()[1].Name != "Sales" {
		t.Errorf("welcomed by %+v", w)
	}

	b := bob.Batch()
	b.Subscribe(1)
	b.Publish([]byte("to one and two"), 1, 2)
	b.Sign([]byte("in between"))
	b.Delay(10 * time.Millisecond)
	b.Send("alice", []byte("by name"))
	b.Send("nobody", []byte("by name"))
	b.Commit()
	all, err := b.Wait(ctx)
	check(t, err)
	for i, want := range []error{nil, nil, nil, nil, nil, push.ErrAbsent} {
		if !errors.Is(all[i].Err, want) {
			t.Errorf("outcome %d: %v", i, all[i].Err)
		}
	}
	if all[1].Receivers != 2 || len(all[2].MIC) == 0 || all[4].Receivers != 1 {
		t.Errorf("outcomes %+v", all)
	}
	d.expect(t, "entered bob@R.TEST[1]", "to one and two", "sent by name by bob@R.TEST")
	e.expect(t, "to one and two")

	mend := wire.cut()
	d.expect(t, "disconnected")
	for range 3 {
		_, err := bob.Publish([]byte("while alice is away"), 3).Wait(ctx)
		check(t, err)
	}
	mend()
	d.expect(t, "connected", "directs may be lost", "lost 3 0 map[3:3] false")
	if _, err := s.Hub().Publish(ctx, []byte("by the server"), 2, 3); err != nil {
		t.Error(err)
	}
	d.expect(t, "by the server")
	e.expect(t, "by the server")
	for _, c := range []*push.Client{alice, bob} {
		check(t, c.Close())
		<-c.Done()
	}
	d.empty(t)
}

// By TLS the server's certificate is seen, and can be refused, before the server
// hears who wants what of it; the context is bound to the connection.
func TestTLS(t *testing.T) {
	k := newKerberos(t)
	certs, err := pki.New(t.TempDir())
	check(t, err)
	pair, err := tls.LoadX509KeyPair(certs.Path("server.crt"), certs.Path("server.key"))
	check(t, err)
	l := tls.NewListener(tcp(t), &tls.Config{Certificates: []tls.Certificate{pair}})
	arrived := make(chan string, 10)
	k.serve(t, l, serverpush.Config{Hooks: serverpush.Hooks{
		Arrive: func(_ context.Context, m *serverpush.Member) error { arrived <- m.Principal(); return nil },
	}})
	_, port, err := net.SplitHostPort(l.Addr().String())
	check(t, err)
	cfg := k.config(t, "alice", "localhost:"+port)
	roots := x509.NewCertPool()
	roots.AddCert(certs.Certificate("ca"))
	refusal := errors.New("not this one")
	var seen []client.Verdict
	var verdict error
	cfg.Client.TLS = &client.TLS{Roots: roots, Check: func(s client.Server) error {
		seen = append(seen, s.Verdict)
		return verdict
	}}
	verdict = refusal
	if _, err := push.Dial(t.Context(), cfg); !errors.Is(err, refusal) || len(arrived) != 0 {
		t.Errorf("a server that the program refuses: %v", err)
	}
	verdict = nil
	c, err := push.Dial(t.Context(), cfg)
	check(t, err)
	if who := <-arrived; who != "alice@R.TEST" || len(seen) != 2 || seen[1] != client.Trusted {
		t.Errorf("%s arrived, verdicts %v", who, seen)
	}
	if r, err := c.Sign([]byte("x")).Wait(t.Context()); err != nil || len(r.MIC) == 0 {
		t.Errorf("signed: %+v, %v", r, err)
	}
	check(t, c.Close())
	<-c.Done()
}

// Another of the servers that share an audience is as good: what was missed by
// changing is told, no more than that, and nothing comes twice; though nobody was in
// the group at either of them before.
func TestFailover(t *testing.T) {
	k := newKerberos(t)
	var network pushtest.Network
	first, second := tcp(t), tcp(t)
	often := serverpush.Limits{Beacon: 20 * time.Millisecond}
	k.serve(t, first, serverpush.Config{Bus: network.NewBus(), Limits: often})
	k.serve(t, second, serverpush.Config{Bus: network.NewBus(), Limits: often})
	ctx := t.Context()
	dial := func(cfg push.Config) *push.Client {
		t.Helper()
		c, err := push.Dial(ctx, cfg)
		check(t, err)
		return c
	}
	publish := func(c *push.Client, data string) {
		t.Helper()
		_, err := c.Publish([]byte(data), 1).Wait(ctx)
		check(t, err)
	}

	here, there := dial(k.config(t, "bob", first.Addr().String())), dial(k.config(t, "bob", second.Addr().String()))
	for _, c := range []*push.Client{here, there, there} {
		publish(c, "before")
	}
	d := newDiary()
	var wire line
	cfg := k.config(t, "alice", first.Addr().String())
	cfg.Client.Open, cfg.Groups, cfg.Events = wire.open, []uint32{1}, d.events()
	cfg.Addrs = []string{second.Addr().String()}
	losses := make(chan push.Loss, 10)
	cfg.Events.Lost = func(l push.Loss) { losses <- l }
	alice := dial(cfg)
	publish(here, "here 1")
	d.expect(t, "connected", "here 1")
	publish(there, "there 1")
	d.expect(t, "there 1")

	mend := wire.cut()
	d.expect(t, "disconnected")
	publish(there, "there 2")
	publish(there, "there 3")
	publish(here, "here, too")
	mend()
	d.expect(t, "connected")
	for lost := uint64(0); lost < 3; { // of the first server the second may hear only now
		l := <-losses
		if lost += l.Count; lost > 3 || l.Unknown || l.Groups[1] != l.Count {
			t.Errorf("told of %+v, %d in all", l, lost)
		}
	}
	publish(there, "there 4")
	d.expect(t, "there 4")
	publish(here, "here 2")
	d.expect(t, "here 2")
	if len(losses) > 0 {
		t.Errorf("told of %+v", <-losses)
	}
	for _, c := range []*push.Client{alice, here, there} {
		check(t, c.Close())
		<-c.Done()
	}
	d.empty(t)
}

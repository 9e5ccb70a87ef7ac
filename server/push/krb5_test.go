package push_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A kerberos is a realm with an acceptor for the push service.
type kerberos struct {
	realm    *gsstest.Realm
	profile  *krb5.Profile
	acceptor *krb5.Acceptor
}

func newKerberos(t testing.TB) *kerberos {
	t.Helper()
	t.Setenv("KRB5RCACHEDIR", t.TempDir())
	k := new(kerberos)
	var err error
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	k.realm, err = gsstest.NewRealm(gsstest.Config{Name: "R.TEST"})
	check(err)
	t.Cleanup(func() { k.realm.Close() })
	check(k.realm.AddService("push/localhost"))
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	check(os.WriteFile(conf, k.realm.Krb5Conf(), 0o600))
	k.profile, err = krb5.ReadProfile(conf)
	check(err)
	keys, err := k.realm.Keytab("push/localhost")
	check(err)
	keytab, err := krb5.ParseKeytab(keys)
	check(err)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService("push@localhost"), Keytab: keytab, Profile: k.profile,
	})
	check(err)
	k.acceptor, err = krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred})
	check(err)
	return k
}

func (k *kerberos) user(t testing.TB, name string) *krb5.Initiator {
	t.Helper()
	if err := k.realm.AddUser(name, "secret"); err != nil {
		t.Fatal(err)
	}
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
		Usage: gss.InitiateOnly, Name: gss.UserName(name), Password: "secret", Profile: k.profile,
	})
	if err != nil {
		t.Fatal(err)
	}
	initiator, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	if err != nil {
		t.Fatal(err)
	}
	return initiator
}

// target has no Sequencing: a MIC inside a token comes after the token's number.
var target = gss.Request{Target: gss.HostService("push@localhost"), Flags: pushtest.Flags}

// The whole with real contexts over TCP, signatures between pushes included.
func TestKerberos(t *testing.T) {
	k := newKerberos(t)
	s := newServer(t, push.Config{Acceptor: k.acceptor, LocalName: k.acceptor.LocalName})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.ServeAll(t, l)
	dial := func(user string) *pushtest.Client {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := pushtest.DialWith(t, conn, k.user(t, user), target, pushwire.Hello{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	alice, bob := dial("alice"), dial("bob")
	if w := alice.Welcome; w.You != "alice@R.TEST" || w.Local != "alice" || w.Server != "push/localhost@R.TEST" {
		t.Errorf("%+v", w)
	}
	alice.Subscribe(1)
	var messages []pushwire.Message
	const n = 300
	for i := range n {
		messages = append(messages, pushwire.SignRequest{ID: uint64(1000 + i), Data: fmt.Appendf(nil, "sign %d", i)})
	}
	alice.Write(messages...)
	for i := range n {
		if r := bob.Publish(fmt.Sprint(i), 1); r.Receivers != 1 {
			t.Fatalf("%+v", r)
		}
	}
	for i := range n {
		if r := alice.Result(uint64(1000 + i)); r.Status != pushwire.Done {
			t.Fatalf("%+v", r)
		}
		if p := pushtest.Find[pushwire.Publication](alice); string(p.Data) != fmt.Sprint(i) || p.From != "bob@R.TEST" {
			t.Fatalf("%+v", p)
		}
	}
	if r := bob.Send("alice", "hello"); r.Receivers != 1 {
		t.Errorf("%+v", r)
	}
}

// A MIC of the server verifies where it comes, with pushes before and behind it.
func TestKerberosMIC(t *testing.T) {
	k := newKerberos(t)
	s := newServer(t, push.Config{Acceptor: k.acceptor})
	ours, theirs := net.Pipe()
	ended := s.ServeConn(t.Context(), theirs)
	c, err := pushtest.DialWith(t, ours, k.user(t, "alice"), target, pushwire.Hello{})
	if err != nil {
		t.Fatal(err)
	}
	c.Ended = ended
	for i := range 200 {
		data := fmt.Appendf(nil, "message %d", i)
		c.Write(pushwire.SignRequest{ID: c.ID(), Data: data})
		if err := c.Context.VerifyMIC(data, pushtest.Expect[pushwire.Result](c).MIC); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Context.VerifyMIC([]byte("another"), nil); err == nil {
		t.Error("anything verifies")
	}
	c.Bye()
}

// A channel is a connection with bindings.
type channel struct {
	net.Conn
	bindings *gss.ChannelBindings
}

func (c channel) Bindings() *gss.ChannelBindings { return c.bindings }

// A context bound to another channel is refused.
func TestBindings(t *testing.T) {
	k := newKerberos(t)
	s := pushtest.NewServer(t, push.Config{Acceptor: k.acceptor}, server.Config{})
	alice := k.user(t, "alice")
	for data, good := range map[string]bool{"tls-exporter:this": true, "tls-exporter:other": false} {
		ours, theirs := net.Pipe()
		ended := s.ServeConn(t.Context(), channel{theirs, &gss.ChannelBindings{ApplicationData: []byte("tls-exporter:this")}})
		req := target
		req.Bindings = &gss.ChannelBindings{ApplicationData: []byte(data)}
		c, err := pushtest.DialWith(t, ours, alice, req, pushwire.Hello{})
		if good {
			if err != nil {
				t.Fatal(err)
			}
			c.Write(pushwire.Bye{})
		} else if err == nil {
			t.Error("bound to another channel, and accepted")
		}
		if err := <-ended; (err == nil) != good || !good && !strings.Contains(err.Error(), "accepting context") {
			t.Errorf("%s: ended with %v", data, err)
		}
	}
}

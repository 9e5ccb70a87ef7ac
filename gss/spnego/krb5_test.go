package spnego

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
)

// kerberos is a realm with alice and host/localhost.
type kerberos struct {
	profile *krb5.Profile
	keytab  *krb5.Keytab
	cache   *krb5.Cache
}

const service = "host@localhost"

func newKerberos(t testing.TB) *kerberos {
	t.Helper()
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "TEST.EXAMPLE"})
	must(t, err)
	t.Cleanup(realm.Close)
	must(t, realm.AddUser("alice", "secret"))
	must(t, realm.AddService("host/localhost"))
	k := &kerberos{}
	k.profile, err = krb5.ReadProfile(writeFile(t, "krb5.conf", realm.Krb5Conf()))
	must(t, err)
	kt, err := realm.Keytab("host/localhost")
	must(t, err)
	k.keytab, err = krb5.ParseKeytab(kt)
	must(t, err)
	cc, err := realm.CCache("alice", "host/localhost")
	must(t, err)
	k.cache, err = krb5.OpenCache(writeFile(t, "ccache", cc))
	must(t, err)
	return k
}

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

func (k *kerberos) initiator(t testing.TB) *krb5.Initiator { return k.initiatorAt(t, nil) }

func (k *kerberos) initiatorAt(t testing.TB, now func() time.Time) *krb5.Initiator {
	t.Helper()
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: k.cache, Profile: k.profile})
	must(t, err)
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred, Time: now})
	must(t, err)
	return i
}

func (k *kerberos) acceptor(t testing.TB) *krb5.Acceptor {
	t.Helper()
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService(service), Keytab: k.keytab, Profile: k.profile,
	})
	must(t, err)
	a, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred})
	must(t, err)
	return a
}

// begin is initiate for a request.
func begin(t testing.TB, req gss.Request, mechs ...gss.Initiator) (gss.Context, []byte) {
	t.Helper()
	i, err := NewInitiator(mechs...)
	must(t, err)
	c, err := i.Initiate(t.Context(), req)
	must(t, err)
	token, err := c.Step(nil)
	must(t, err)
	return c, token
}

func TestKerberos(t *testing.T) {
	k := newKerberos(t)
	other := fake{mech: mechA, legs: 2}
	const unilateral = gss.Integrity | gss.Confidentiality
	for _, tt := range []struct {
		name      string
		flags     gss.Flags
		initiator []gss.Initiator
		acceptor  []gss.Acceptor
		said      string
	}{
		{"alone", 0,
			[]gss.Initiator{k.initiator(t)}, []gss.Acceptor{k.acceptor(t)},
			"init krb5 token; completed krb5 token"},
		{"alone, not mutual", unilateral,
			[]gss.Initiator{k.initiator(t)}, []gss.Acceptor{k.acceptor(t)},
			"init krb5 token; completed krb5"},
		{"alone, DCE style", gss.DefaultFlags | gss.DCEStyle,
			[]gss.Initiator{k.initiator(t)}, []gss.Acceptor{k.acceptor(t)},
			"init krb5 token; incomplete krb5 token; incomplete token; completed"},
		{"fallback, DCE style", gss.DefaultFlags | gss.DCEStyle,
			[]gss.Initiator{other, k.initiator(t)}, []gss.Acceptor{k.acceptor(t)},
			"init A krb5 token; request-mic krb5; incomplete token; incomplete token; incomplete token mic; completed mic"},
		{"preferred", 0,
			[]gss.Initiator{k.initiator(t), other}, []gss.Acceptor{other, k.acceptor(t)},
			"init krb5 A token; completed krb5 token"},
		{"fallback", 0,
			[]gss.Initiator{other, k.initiator(t)}, []gss.Acceptor{k.acceptor(t)},
			"init A krb5 token; request-mic krb5; incomplete token; incomplete token mic; completed mic"},
		{"fallback, not mutual", unilateral,
			[]gss.Initiator{other, k.initiator(t)}, []gss.Acceptor{k.acceptor(t)},
			"init A krb5 token; request-mic krb5; incomplete token mic; completed mic"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ic, token := begin(t, gss.Request{Target: gss.HostService(service), Flags: tt.flags}, tt.initiator...)
			ac := accept(t, tt.acceptor...)
			said, ierr, aerr := run(t, ic, token, ac, nil)
			if ierr != nil || aerr != nil {
				t.Fatalf("initiator: %v, acceptor: %v", ierr, aerr)
			}
			if got := strings.Join(said, "; "); got != tt.said {
				t.Errorf("said %s\nwant %s", got, tt.said)
			}
			exchange(t, ic, ac)
			exchange(t, ac, ic)
		})
	}
}

// exchange sends a message each way that one can be sent, and sees that both
// ends are Kerberos.
func exchange(t *testing.T, from, to gss.Context) {
	t.Helper()
	for _, c := range []gss.Context{from, to} {
		info := c.Inquire()
		if !c.Established() || info.Mechanism != gss.MechKrb5 || info.Initiator.String() != "alice@TEST.EXAMPLE" {
			t.Fatalf("established %t, %+v", c.Established(), info)
		}
	}
	msg := []byte("message")
	for _, seal := range []bool{true, false} {
		token, err := from.Wrap(nil, msg, seal)
		must(t, err)
		got, sealed, err := to.Unwrap(nil, token)
		if err != nil || sealed != seal || !bytes.Equal(got, msg) {
			t.Fatalf("Unwrap, sealed %t: %q, sealed %t, %v", seal, got, sealed, err)
		}
	}
	mic, err := from.MIC(nil, msg)
	must(t, err)
	must(t, to.VerifyMIC(msg, mic))
}

// Windows and Java send a Kerberos token without negotiation where SPNEGO is
// spoken; the context is Kerberos from then on.
func TestBareKerberos(t *testing.T) {
	k := newKerberos(t)
	for _, flags := range []gss.Flags{gss.DefaultFlags, gss.Integrity, gss.DefaultFlags | gss.DCEStyle} {
		ic, err := k.initiator(t).Initiate(t.Context(), gss.Request{Target: gss.HostService(service), Flags: flags})
		must(t, err)
		token, err := ic.Step(nil)
		must(t, err)
		ac := accept(t, fake{mech: mechA, legs: 1}, k.acceptor(t))
		reply, err := ac.Step(token)
		must(t, err)
		if flags&gss.Mutual != 0 {
			third, err := ic.Step(reply)
			must(t, err)
			if len(third) > 0 {
				_, err = ac.Step(third)
				must(t, err)
			}
		} else if len(reply) > 0 {
			t.Errorf("a reply to nobody: %x", reply)
		}
		exchange(t, ic, ac)
	}

	// A bare token that fails is answered by the mechanism's bare error token.
	late := k.initiatorAt(t, func() time.Time { return time.Now().Add(10 * time.Minute) })
	ic, err := late.Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
	must(t, err)
	token, err := ic.Step(nil)
	must(t, err)
	ac := accept(t, k.acceptor(t))
	reply, aerr := ac.Step(token)
	if aerr == nil {
		t.Fatal("accepted with clocks ten minutes apart")
	}
	if mech, _, err := unframe(reply); err != nil || mech != gss.MechKrb5 {
		t.Errorf("error token of %s, %v", mech, err)
	}
	var e *gss.Error
	if _, err := ic.Step(reply); !errors.As(err, &e) || !e.Remote || e.Mech != gss.MechKrb5 {
		t.Errorf("initiator: %v", err)
	}

	// A mechanism that the acceptor lacks.
	ac = accept(t, fake{mech: mechA, legs: 1})
	if reply, err := ac.Step(token); !errors.Is(err, gss.ErrBadMech) || len(reply) > 0 {
		t.Errorf("%v with %x", err, reply)
	}
}

// Kerberos' own error, with the clocks' difference in it, reaches the
// initiator through the reject, mutual or not.
func TestKerberosErrorToken(t *testing.T) {
	k := newKerberos(t)
	late := k.initiatorAt(t, func() time.Time { return time.Now().Add(10 * time.Minute) })
	ic, token := begin(t, gss.Request{Target: gss.HostService(service)}, late)
	said, ierr, aerr := run(t, ic, token, accept(t, k.acceptor(t)), nil)
	if got := strings.Join(said, "; "); got != "init krb5 token; reject token" {
		t.Errorf("said %s", got)
	}
	for _, err := range []error{ierr, aerr} {
		var e *gss.Error
		if !errors.As(err, &e) || e.Mech != gss.MechKrb5 || e.Remote != (err == ierr) || !strings.Contains(e.Error(), "Clock skew") {
			t.Errorf("%v", err)
		}
	}

	// An initiator whose part is done reads the error all the same.
	ic, token = begin(t, gss.Request{Target: gss.HostService(service), Flags: gss.Integrity}, late)
	_, ierr, _ = run(t, ic, token, accept(t, k.acceptor(t)), nil)
	var e *gss.Error
	if !errors.As(ierr, &e) || e.Major != gss.ErrFailure || e.Mech != gss.MechKrb5 || !e.Remote || !strings.Contains(e.Error(), "Clock skew") {
		t.Errorf("not mutual: %v", ierr)
	}
}

// The channel's bindings reach the mechanism at both ends.
func TestBindings(t *testing.T) {
	k := newKerberos(t)
	bindings := func(data string) *gss.ChannelBindings {
		return &gss.ChannelBindings{ApplicationData: []byte("tls-exporter:" + data)}
	}
	a, err := NewAcceptor(k.acceptor(t))
	must(t, err)
	for _, data := range []string{"same", "other"} {
		ic, token := begin(t, gss.Request{Target: gss.HostService(service), Bindings: bindings("same")}, k.initiator(t))
		ac, err := a.Accept(bindings(data))
		must(t, err)
		_, _, aerr := run(t, ic, token, ac, nil)
		if data == "same" && (aerr != nil || ac.Inquire().Flags&gss.ChannelBound == 0) {
			t.Errorf("the same bindings: %v, %s", aerr, ac.Inquire().Flags)
		}
		if data == "other" && !errors.Is(aerr, gss.ErrBadBindings) {
			t.Errorf("other bindings: %v", aerr)
		}
	}
}

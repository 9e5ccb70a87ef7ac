package krb5_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
)

var allEnctypes = []int32{17, 18, 19, 20}

// setup is a realm with a user, alice, and a service, host/localhost, and what
// both need to talk to each other.
type setup struct {
	realm   *gsstest.Realm
	profile *krb5.Profile
	keytab  *krb5.Keytab
	cache   *krb5.Cache
}

const service = "host@localhost"

func newSetup(t testing.TB, enctypes ...int32) *setup {
	t.Helper()
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "TEST.EXAMPLE", Enctypes: enctypes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(realm.Close)
	must(t, realm.AddUser("alice", "secret"))
	must(t, realm.AddService("host/localhost"))
	s := &setup{realm: realm}
	s.profile, err = krb5.ReadProfile(writeFile(t, "krb5.conf", realm.Krb5Conf()))
	must(t, err)
	kt, err := realm.Keytab("host/localhost")
	must(t, err)
	s.keytab, err = krb5.ParseKeytab(kt)
	must(t, err)
	cc, err := realm.CCache("alice")
	must(t, err)
	s.cache, err = krb5.OpenCache(writeFile(t, "ccache", cc))
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

func (s *setup) initiator(t testing.TB) *krb5.Initiator {
	t.Helper()
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: s.cache, Profile: s.profile})
	must(t, err)
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	must(t, err)
	return i
}

func (s *setup) acceptor(t testing.TB) *krb5.Acceptor {
	t.Helper()
	return s.acceptorWith(t, krb5.AcceptorConfig{ReplayCache: krb5.NewMemoryReplayCache(s.profile)})
}

func (s *setup) acceptorWith(t testing.TB, cfg krb5.AcceptorConfig) *krb5.Acceptor {
	t.Helper()
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService(service), Keytab: s.keytab, Profile: s.profile,
	})
	must(t, err)
	cfg.Credential = cred
	a, err := krb5.NewAcceptor(cfg)
	must(t, err)
	return a
}

// pair establishes a context and gives both ends.
func pair(t testing.TB, i gss.Initiator, a gss.Acceptor, req gss.Request) (initiator, acceptor gss.Context) {
	t.Helper()
	initiator, err := i.Initiate(t.Context(), req)
	must(t, err)
	acceptor, err = a.Accept(req.Bindings)
	must(t, err)
	var token []byte
	for !initiator.Established() || !acceptor.Established() {
		if token, err = initiator.Step(token); err != nil {
			t.Fatal("initiator:", err)
		}
		if len(token) == 0 {
			break
		}
		if token, err = acceptor.Step(token); err != nil {
			t.Fatal("acceptor:", err)
		}
		if len(token) == 0 {
			break
		}
	}
	if !initiator.Established() || !acceptor.Established() {
		t.Fatal("the exchange ended before both ends were established")
	}
	return initiator, acceptor
}

func TestContext(t *testing.T) {
	for _, enctype := range allEnctypes {
		t.Run("enctype="+strconv.Itoa(int(enctype)), func(t *testing.T) {
			s := newSetup(t, enctype)
			i, a := s.initiator(t), s.acceptor(t)
			for _, flags := range []gss.Flags{gss.DefaultFlags, gss.Integrity, gss.Integrity | gss.Sequencing, gss.Mutual | gss.ReplayDetection, gss.DefaultFlags | gss.DCEStyle} {
				ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service), Flags: flags})
				const asked = gss.Mutual | gss.ReplayDetection | gss.Sequencing
				for _, c := range []gss.Context{ic, ac} {
					info := c.Inquire()
					if got := info.Flags & asked; got != flags&asked {
						t.Errorf("flags %s, want %s", got, flags&asked)
					}
					if info.Initiator.String() != "alice@TEST.EXAMPLE" || info.Acceptor.String() != "host/localhost@TEST.EXAMPLE" {
						t.Errorf("%s to %s", info.Initiator, info.Acceptor)
					}
				}
				exchange(t, ic, ac)
				exchange(t, ac, ic)
			}
		})
	}
}

// exchange sends messages of several sizes each way that a message can be sent.
func exchange(t *testing.T, from, to gss.Context) {
	t.Helper()
	for _, size := range []int{0, 1, 15, 16, 17, 100, 4096, 100_000} {
		msg := bytes.Repeat([]byte("m"), size)
		for _, seal := range []bool{true, false} {
			token, err := from.Wrap(nil, msg, seal)
			must(t, err)
			got, sealed, err := to.Unwrap(nil, token)
			if err != nil || sealed != seal || !bytes.Equal(got, msg) {
				t.Fatalf("Unwrap of %d octets, sealed %t: %d octets, sealed %t, %v", size, seal, len(got), sealed, err)
			}
			if seal && size > 8 && bytes.Contains(token, msg) {
				t.Fatal("the sealed token shows the message")
			}
		}
		mic, err := from.MIC(nil, msg)
		must(t, err)
		if err := to.VerifyMIC(msg, mic); err != nil {
			t.Fatalf("VerifyMIC of %d octets: %v", size, err)
		}
	}
}

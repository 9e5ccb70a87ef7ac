package krb5_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
	"github.com/countersign-go/countersign/token"
)

// farProfile is the krb5.conf of a host that no KDC can be reached from.
func farProfile(t testing.TB, defaultRealm string) *krb5.Profile {
	t.Helper()
	conf := "[libdefaults]\ndns_lookup_kdc = false\ndns_canonicalize_hostname = false\nrdns = false\n"
	if defaultRealm != "" {
		conf += "default_realm = " + defaultRealm + "\n"
	}
	p, err := krb5.ReadProfile(writeFile(t, "krb5.conf", []byte(conf)))
	must(t, err)
	return p
}

func (s *setup) iakerbAcceptor(t testing.TB) *krb5.IAKERBAcceptor {
	t.Helper()
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService(service), Keytab: s.keytab, Profile: s.profile,
	})
	must(t, err)
	a, err := krb5.NewIAKERBAcceptor(krb5.IAKERBAcceptorConfig{
		AcceptorConfig: krb5.AcceptorConfig{Credential: cred, ReplayCache: krb5.NewMemoryReplayCache(s.profile)},
	})
	must(t, err)
	return a
}

func iakerbInitiator(t testing.TB, profile *krb5.Profile, user, password string) *krb5.IAKERBInitiator {
	t.Helper()
	i, err := krb5.NewIAKERBInitiator(krb5.IAKERBInitiatorConfig{Name: gss.UserName(user), Password: password, Profile: profile})
	must(t, err)
	return i
}

func TestIAKERB(t *testing.T) {
	for _, enctype := range allEnctypes {
		for _, flags := range []gss.Flags{gss.DefaultFlags, gss.Integrity, gss.DefaultFlags | gss.DCEStyle, gss.DefaultFlags | gss.Delegation} {
			s := newSetup(t, enctype)
			i, a := iakerbInitiator(t, farProfile(t, "TEST.EXAMPLE"), "alice", "secret"), s.iakerbAcceptor(t)
			for range 2 { // the second context has the tickets of the first
				asked := s.realm.Stats()
				ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service), Flags: flags})
				for _, c := range []gss.Context{ic, ac} {
					info := c.Inquire()
					if info.Mechanism != gss.MechIAKERB || info.Initiator.String() != "alice@TEST.EXAMPLE" || info.Acceptor.String() != "host/localhost@TEST.EXAMPLE" {
						t.Errorf("%+v", info)
					}
				}
				exchange(t, ic, ac)
				exchange(t, ac, ic)
				t.Logf("%v %v: %+v to %+v", enctype, flags, asked, s.realm.Stats())
			}
		}
	}
	_ = bytes.Equal
	_ = errors.Is
	_ = net.Listen
	_ = strings.Contains
	_ = time.Now
	_ = mitrealm.Need
	_ = kmsg.Unparse
	_ = token.NewConn
	_ = gsstest.NewKey
	_ = context.Background
	_ = os.Args
}

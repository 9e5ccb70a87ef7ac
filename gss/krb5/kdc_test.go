package krb5_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/gss/krb5"
)

// mitProfile is the realm's krb5.conf after more lines, which go before what it
// says itself.
func mitProfile(t *testing.T, realm *mitrealm.Realm, more string) *krb5.Profile {
	t.Helper()
	conf, err := os.ReadFile(realm.ConfigFile)
	must(t, err)
	p, err := krb5.ReadProfile(writeFile(t, "krb5.conf", append([]byte(more+"\n"), conf...)))
	must(t, err)
	return p
}

// mitAcceptor accepts for host@localhost in the realm, by the true time.
func mitAcceptor(t *testing.T, realm *mitrealm.Realm) *krb5.Acceptor {
	t.Helper()
	s := &setup{profile: mitProfile(t, realm, "")}
	var err error
	s.keytab, err = krb5.OpenKeytab(realm.KeytabFile)
	must(t, err)
	return s.acceptor(t)
}

// A client whose clock is an hour off learns the KDC's time when it gets its
// ticket, by password or keytab, and authenticates to a service with the right
// time; so does who takes the tickets from the cache file. With kdc_timesync off
// there is no ticket.
func TestClockOff(t *testing.T) {
	realm := mitrealm.New(t, mitrealm.Config{})
	realm.Kadmin("ktadd -norandkey -k " + filepath.Join(realm.Dir, "alice.keytab") + " alice")
	keytab, err := krb5.OpenKeytab(filepath.Join(realm.Dir, "alice.keytab"))
	must(t, err)
	acceptor := mitAcceptor(t, realm)
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		clock := func() time.Time { return time.Now().Add(off) }
		file := "FILE:" + filepath.Join(t.TempDir(), "ccache")
		cache, err := krb5.OpenCache(file)
		must(t, err)
		for _, tt := range []struct {
			name string
			cfg  krb5.CredentialConfig
		}{
			{"password", krb5.CredentialConfig{Name: gss.UserName("alice"), Password: "alicepw"}},
			{"keytab", krb5.CredentialConfig{Name: gss.UserName("alice"), ClientKeytab: keytab, Cache: cache}},
			{"cache", krb5.CredentialConfig{Cache: cache}},
		} {
			tt.cfg.Usage, tt.cfg.Time, tt.cfg.Profile = gss.InitiateOnly, clock, mitProfile(t, realm, "")
			cred, err := krb5.AcquireCredential(t.Context(), tt.cfg)
			must(t, err)
			i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred, Time: clock})
			must(t, err)
			_, ac := pair(t, i, acceptor, gss.Request{Target: gss.HostService(service)})
			if got := ac.Inquire().Initiator.String(); got != "alice@MIT.TEST" {
				t.Errorf("%s, %v off: accepted %s", tt.name, off, got)
			}
		}
		if got := content(t, file).TimeOffset.Round(time.Minute); got != -off {
			t.Errorf("%v off: the cache's time offset is %v", off, got)
		}
		_, err = krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
			Usage: gss.InitiateOnly, Time: clock, Name: gss.UserName("alice"), Password: "alicepw",
			Profile: mitProfile(t, realm, "[libdefaults]\nkdc_timesync = 0"),
		})
		if err == nil || !strings.Contains(err.Error(), "Clock skew too great") {
			t.Errorf("%v off, kdc_timesync off: %v", off, err)
		}
	}
}

// refusing is an address where nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// A KDC that does not answer costs each exchange a second, one that refuses
// nothing, over UDP and over TCP.
func TestDeadKDC(t *testing.T) {
	realm := mitrealm.New(t, mitrealm.Config{})
	realm.Kadmin("modprinc +requires_preauth alice") // so that there are two exchanges
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { silent.Close() })
	listening, err := net.Listen("tcp4", "127.0.0.1:0") // takes connections and says nothing
	must(t, err)
	t.Cleanup(func() { listening.Close() })
	for _, tt := range []struct {
		name, kdc, libdefaults string
		most                   time.Duration // for an exchange
	}{
		{"silent UDP", silent.LocalAddr().String(), "", time.Second},
		{"silent TCP", listening.Addr().String(), "udp_preference_limit = 1", time.Second},
		{"refusing UDP", refusing(t), "", 0},
		{"refusing TCP", refusing(t), "udp_preference_limit = 1", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			profile := mitProfile(t, realm, fmt.Sprintf("[libdefaults]\n%s\n[realms]\nMIT.TEST = {\nkdc = %s\n}", tt.libdefaults, tt.kdc))
			start := time.Now()
			_, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
				Usage: gss.InitiateOnly, Name: gss.UserName("alice"), Password: "alicepw", Profile: profile,
			})
			took := time.Since(start)
			must(t, err)
			const exchanges, slack = 2, 3 * time.Second // a machine may be busy; an old client's wait is 5 s
			if took < exchanges*tt.most || took > exchanges*tt.most+slack {
				t.Errorf("a dead KDC cost %v", took)
			}
		})
	}
}

// A user of one realm and a service of another that it trusts: whether the
// client's krb5.conf knows the service's realm or the user's KDC refers to it,
// the ticket is got and kept, and the acceptor sees the user with her realm.
func TestCrossRealm(t *testing.T) {
	b := mitrealm.New(t, mitrealm.Config{Name: "B.TEST", Services: []string{"host/www.b.example"}})
	a := mitrealm.New(t, mitrealm.Config{Name: "A.TEST", Conf: fmt.Sprintf(`[realms]
	B.TEST = {
		kdc = %s
	}
[domain_realm]
	.b.example = B.TEST
`, b.KDCAddr)})
	for _, realm := range []*mitrealm.Realm{a, b} {
		realm.Kadmin("addprinc -pw shared krbtgt/B.TEST@A.TEST")
	}
	a.Kinit("alice")

	profile, err := krb5.ReadProfile(b.ConfigFile)
	must(t, err)
	keytab, err := krb5.OpenKeytab(b.KeytabFile)
	must(t, err)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: keytab, Profile: profile})
	must(t, err)
	acceptor, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred, ReplayCache: krb5.NewMemoryReplayCache(profile)})
	must(t, err)

	conf, err := os.ReadFile(a.ConfigFile)
	must(t, err)
	for name, tt := range map[string]struct{ conf, kept string }{
		"known": {string(conf), "host/www.b.example@B.TEST"},
		// MIT's library keeps it under the name without a realm that was asked for.
		"referred": {strings.ReplaceAll(string(conf), ".b.example = B.TEST", ""), "host/www.b.example@"},
	} {
		profile, err := krb5.ReadProfile(writeFile(t, "krb5.conf", []byte(tt.conf)))
		must(t, err)
		file := filepath.Join(t.TempDir(), "ccache")
		tickets, err := os.ReadFile(a.CCacheFile)
		must(t, err)
		must(t, os.WriteFile(file, tickets, 0o600))
		cache, err := krb5.OpenCache("FILE:" + file)
		must(t, err)
		s := &setup{cache: cache, profile: profile}
		_, ac := pair(t, s.initiator(t), acceptor, gss.Request{Target: gss.HostService("host@www.b.example")})
		info := ac.Inquire()
		if info.Initiator.String() != "alice@A.TEST" || info.Acceptor.String() != "host/www.b.example@B.TEST" {
			t.Errorf("%s: %s to %s", name, info.Initiator, info.Acceptor)
		}
		kept := content(t, "FILE:"+file)
		if n := len(kept.Credentials); kept.Credentials[n-1].Server.String() != tt.kept {
			t.Errorf("%s: the cache's last ticket is for %s", name, kept.Credentials[n-1].Server)
		}
		// The ticket is in the cache: it takes no KDC to use it again.
		text := tt.conf
		for _, realm := range []*mitrealm.Realm{a, b} {
			text = strings.ReplaceAll(text, realm.KDCAddr, refusing(t))
		}
		s.profile, err = krb5.ReadProfile(writeFile(t, "krb5.conf", []byte(text)))
		must(t, err)
		if _, err := s.initiator(t).Initiate(t.Context(), gss.Request{Target: gss.HostService("host@www.b.example")}); err != nil {
			t.Errorf("%s: with the ticket that was kept: %v", name, err)
		}
	}
}

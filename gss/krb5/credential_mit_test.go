package krb5_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache/kcmtest"
)

// mitPrograms run in a realm, with a cache that is not the realm's own.
type mitPrograms struct {
	*mitrealm.Realm
	t       *testing.T
	cache   string // KRB5CCNAME
	profile *krb5.Profile
	keytab  *krb5.Keytab
}

// newMITPrograms makes a realm whose krb5.conf has a line more.
func newMITPrograms(t *testing.T, cache, setting string) *mitPrograms {
	t.Helper()
	mitrealm.Need(t, "klist", "kvno", "kdestroy", "kswitch")
	realm := mitrealm.New(t, mitrealm.Config{Users: map[string]string{"alice": "alicepw", "bob": "bobpw"}, Services: []string{"host/localhost"}})
	conf, err := os.ReadFile(realm.ConfigFile)
	must(t, err)
	must(t, os.WriteFile(realm.ConfigFile, append(conf, "[libdefaults]\n\t"+setting+"\n"...), 0o600))
	for _, v := range realm.Env() { // for our side
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "KRB5") {
			t.Setenv(name, value)
		}
	}
	t.Setenv("KRB5CCNAME", cache)
	m := &mitPrograms{Realm: realm, t: t, cache: cache}
	m.profile, err = krb5.ReadProfile()
	must(t, err)
	m.keytab, err = krb5.OpenKeytab(realm.KeytabFile)
	must(t, err)
	return m
}

func (m *mitPrograms) command(name string, args ...string) *exec.Cmd {
	cmd := m.Command(name, args...)
	cmd.Env = append(cmd.Env, "KRB5CCNAME="+m.cache)
	return cmd
}

// run gives what a program prints, and fails the test unless it succeeds and
// prints each of wants.
func (m *mitPrograms) run(cmd *exec.Cmd, wants ...string) string {
	m.t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	for _, want := range wants {
		if !strings.Contains(string(out), want) {
			m.t.Errorf("%s prints no %q:\n%s", cmd, want, out)
		}
	}
	return string(out)
}

func (m *mitPrograms) kinit(args ...string) {
	m.t.Helper()
	cmd := m.command("kinit", args...)
	cmd.Stdin = strings.NewReader(args[len(args)-1] + "pw\n")
	m.run(cmd)
}

// check establishes a context from the default cache's client to the service.
func (m *mitPrograms) check(cfg krb5.CredentialConfig, client string) *krb5.Credential {
	m.t.Helper()
	cfg.Usage = gss.InitiateOnly
	cred, err := krb5.AcquireCredential(m.t.Context(), cfg)
	must(m.t, err)
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	must(m.t, err)
	accept, err := krb5.AcquireCredential(m.t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: m.keytab})
	must(m.t, err)
	a, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: accept, ReplayCache: krb5.NewMemoryReplayCache(m.profile)})
	must(m.t, err)
	_, ac := pair(m.t, i, a, gss.Request{Target: gss.HostService(service)})
	if got := ac.Inquire().Initiator.String(); got != client {
		m.t.Errorf("the acceptor sees %s, want %s", got, client)
	}
	return cred
}

// everyCache runs f with each type of cache that MIT's programs know, empty.
func everyCache(t *testing.T, f func(t *testing.T, m *mitPrograms)) {
	t.Run("FILE", func(t *testing.T) { f(t, newMITPrograms(t, "FILE:"+filepath.Join(t.TempDir(), "cc"), "")) })
	collections(t, func(t *testing.T, name, conf string) {
		if dir, ok := strings.CutPrefix(name, "DIR:"); ok {
			must(t, os.Mkdir(dir, 0o700))
		}
		f(t, newMITPrograms(t, name, conf))
	})
	t.Run("KCM of Heimdal", func(t *testing.T) { f(t, newMITPrograms(t, "KCM:", "kcm_socket = "+kcmtest.StartHeimdal(t))) })
}

// MIT's programs and this package use one cache, of each type.
func TestMITCaches(t *testing.T) {
	everyCache(t, func(t *testing.T, m *mitPrograms) {
		mitRenewal(t, m)
		m.run(m.command("kdestroy"))
		mitDelegated(t, m)
		m.run(m.command("kdestroy"))
		mitInTurn(t, m)
	})
}

// mitInTurn has both fill, use and end the cache in turn.
func mitInTurn(t *testing.T, m *mitPrograms) {
	t.Helper()
	// theirs, ours
	m.kinit("-r", "1d", "alice")
	m.check(krb5.CredentialConfig{}, "alice@MIT.TEST")
	m.run(m.command("klist", "-f"), "Default principal: alice@MIT.TEST", "host/localhost@MIT.TEST")
	m.run(m.command("kdestroy"))
	if _, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly}); err == nil || !strings.Contains(err.Error(), "No Kerberos credentials available") {
		t.Errorf("after kdestroy: %v", err)
	}

	// ours, theirs
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Name: gss.UserName("bob"), Password: "bobpw"})
	must(t, err)
	to, err := krb5.OpenCache(m.cache)
	must(t, err)
	must(t, cred.Store(to))
	m.run(m.command("klist"), "Default principal: bob@MIT.TEST", "krbtgt/MIT.TEST@MIT.TEST", "Ticket cache: "+to.Name())
	m.run(m.command("kvno", "host/localhost"), "host/localhost@MIT.TEST: kvno = ")
	m.check(krb5.CredentialConfig{}, "bob@MIT.TEST")

	// a client keytab of ktadd's, where its principal is another than the cache's
	keytab := filepath.Join(m.Dir, "client.keytab")
	m.Kadmin("addprinc -randkey robot", "ktadd -k "+keytab+" robot")
	robot := krb5.CredentialConfig{Name: gss.UserName("robot")}
	if strings.HasPrefix(m.cache, "FILE:") {
		if _, err := krb5.AcquireCredential(t.Context(), robot); err == nil {
			t.Error("another client's cache was replaced")
		}
		m.run(m.command("kdestroy"))
	}
	m.check(robot, "robot@MIT.TEST")
	m.run(m.command("klist", "-A", "-C"), "Default principal: robot@MIT.TEST", "config: refresh_time = ")

	if strings.HasPrefix(m.cache, "FILE:") {
		return
	}
	m.run(m.command("kswitch", "-p", "robot"))
	m.check(krb5.CredentialConfig{}, "robot@MIT.TEST")
	m.check(krb5.CredentialConfig{Name: gss.UserName("bob")}, "bob@MIT.TEST")
	m.run(m.command("kdestroy", "-A"))
}

// mitRenewal has MIT's KDC renew a ticket of which half is over by what its cache says, and
// MIT's programs go on with the new one.
func mitRenewal(t *testing.T, m *mitPrograms) {
	t.Helper()
	m.kinit("-r", "1d", "alice")
	store := openStore(t, m)
	c, err := store.Load(t.Context())
	must(t, err)
	now := time.Now().Truncate(time.Second)
	for i := range c.Credentials {
		if cred := &c.Credentials[i]; !cred.IsConfig() {
			cred.StartTime, cred.EndTime = now.Add(-time.Hour), now.Add(10*time.Minute)
		}
	}
	must(t, store.Replace(t.Context(), c))
	cred := m.check(krb5.CredentialConfig{}, "alice@MIT.TEST")
	if end, err := cred.Expires(); err != nil || end.Before(now.Add(time.Hour)) {
		t.Errorf("it ends at %v, %v", end, err)
	}
	m.run(m.command("kvno", "host/localhost"), "kvno = ")
	m.run(m.command("klist"), "renew until", "host/localhost@MIT.TEST")
}

func openStore(t *testing.T, m *mitPrograms) *ccache.Store {
	t.Helper()
	var r ccache.Resolver
	if conf, err := os.ReadFile(m.ConfigFile); err == nil {
		if _, rest, ok := strings.Cut(string(conf), "kcm_socket = "); ok {
			r.KCMSocket, _, _ = strings.Cut(rest, "\n")
		}
	}
	s, err := r.Open(t.Context(), m.cache)
	must(t, err)
	return s
}

// A ticket of another realm, found without being told which, is found in the
// cache the next time, by MIT's programs too, and theirs by us.
func TestMITOtherRealm(t *testing.T) {
	m := newMITPrograms(t, "FILE:"+filepath.Join(t.TempDir(), "cc"), "")
	other := mitrealm.New(t, mitrealm.Config{Name: "OTHER.TEST", Services: []string{"host/www.other.test", "host/ftp.other.test"}})
	for _, realm := range []*mitrealm.Realm{m.Realm, other} {
		realm.Kadmin("addprinc -pw shared krbtgt/OTHER.TEST@MIT.TEST")
	}
	conf, err := os.ReadFile(m.ConfigFile)
	must(t, err)
	must(t, os.WriteFile(m.ConfigFile, append(conf, "[realms]\nOTHER.TEST = {\nkdc = "+other.KDCAddr+"\n}\n"...), 0o600))
	m.kinit("alice")
	initiate := func(host string) gss.Info {
		t.Helper()
		i, err := krb5.NewInitiator(krb5.InitiatorConfig{})
		must(t, err)
		c, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService("host@" + host)})
		must(t, err)
		return c.Inquire()
	}
	for n, host := range []string{"www.other.test", "ftp.other.test"} {
		if n == 1 {
			m.run(m.command("kvno", "-S", "host", host), "host/"+host+"@")
		}
		first := initiate(host)
		before := m.run(m.command("klist"), "host/"+host+"@")
		again := initiate(host)
		want := "host/" + host + "@OTHER.TEST"
		if first.Acceptor.String() != want || again.Acceptor != first.Acceptor {
			t.Errorf("%s and %s, want %s", first.Acceptor, again.Acceptor, want)
		}
		m.run(m.command("kvno", "-S", "host", host), "host/"+host+"@")
		if after := m.run(m.command("klist")); after != before {
			t.Errorf("the ticket was got again:\n%s\n%s", before, after)
		}
	}
}

// mitDelegated stores a delegated credential where MIT's programs take it up.
func mitDelegated(t *testing.T, m *mitPrograms) {
	t.Helper()
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Name: gss.UserName("alice"), Password: "alicepw"})
	must(t, err)
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	must(t, err)
	accept, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: m.keytab})
	must(t, err)
	a, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: accept, ReplayCache: krb5.NewMemoryReplayCache(m.profile)})
	must(t, err)
	_, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service), Flags: gss.DefaultFlags | gss.Delegation})
	delegated, ok := ac.Inquire().Delegated.(*krb5.Credential)
	if !ok {
		t.Fatal("nothing was delegated")
	}
	to, err := krb5.OpenCache(m.cache)
	must(t, err)
	must(t, delegated.Store(to))
	must(t, delegated.Release())
	m.run(m.command("klist", "-f"), "Default principal: alice@MIT.TEST", "Flags: Ff")
	m.run(m.command("kvno", "host/localhost"), "kvno = ")
}

// Goroutines initiate from a file while kinit makes it anew and kvno adds to it.
func TestMITConcurrent(t *testing.T) {
	m := newMITPrograms(t, "FILE:"+filepath.Join(t.TempDir(), "cc"), "")
	m.Kadmin("addprinc -randkey http/localhost")
	m.kinit("alice")
	cred := m.check(krb5.CredentialConfig{}, "alice@MIT.TEST")
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	must(t, err)
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					if n > 0 {
						return
					}
				default:
				}
				if _, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService(service)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		m.kinit("alice")
		m.run(m.command("kvno", "host/localhost", "http/localhost"))
	}
	close(done)
	all.Wait()
	m.run(m.command("klist"), "Default principal: alice@MIT.TEST")
}

// MIT's client keeps the tickets that our client keytab got, and the reverse:
// refresh_time means the same to both.
func TestMITClientKeytab(t *testing.T) {
	mitrealm.Need(t, "gss-client", "gss-server")
	m := newMITPrograms(t, "FILE:"+filepath.Join(t.TempDir(), "cc"), "")
	keytab := filepath.Join(m.Dir, "client.keytab")
	m.Kadmin("addprinc -randkey robot", "ktadd -k "+keytab+" robot")
	host, port, err := net.SplitHostPort(m.GSSServer("host@localhost").Addr)
	must(t, err)
	client := func() *exec.Cmd { return m.command("gss-client", "-port", port, host, "host@localhost", "hello") }
	m.check(krb5.CredentialConfig{}, "robot@MIT.TEST")
	ours := m.run(m.command("klist", "-C"), "refresh_time")
	m.run(client(), "Signature verified.")
	if theirs := m.run(m.command("klist", "-C"), "refresh_time"); theirs != ours {
		t.Errorf("MIT's client changed the cache from\n%s\nto\n%s", ours, theirs)
	}
	m.run(m.command("kdestroy"))
	m.run(client(), "Signature verified.")
	theirs := m.run(m.command("klist", "-C"), "refresh_time")
	m.check(krb5.CredentialConfig{}, "robot@MIT.TEST")
	if ours := m.run(m.command("klist", "-C"), "refresh_time"); ours != theirs {
		t.Errorf("the cache was changed from\n%s\nto\n%s", theirs, ours)
	}
}

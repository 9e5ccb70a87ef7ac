package krb5_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache/kcmtest"
)

// collections names an empty collection of each type that has them, with the
// line that krb5.conf needs for it.
func collections(t *testing.T, f func(t *testing.T, name, conf string)) {
	t.Run("DIR", func(t *testing.T) { f(t, "DIR:"+filepath.Join(t.TempDir(), "cc"), "") })
	t.Run("KCM as sssd", func(t *testing.T) { f(t, "KCM:", "kcm_socket = "+kcmtest.Start(t, kcmtest.SSSD)) })
	t.Run("KCM as Heimdal", func(t *testing.T) { f(t, "KCM:", "kcm_socket = "+kcmtest.Start(t, kcmtest.Heimdal)) })
	t.Run("KCM as MIT", func(t *testing.T) { f(t, "KCM:", "kcm_socket = "+kcmtest.Start(t, kcmtest.MIT)) })
	t.Run("KEYRING", func(t *testing.T) { f(t, keyringCollection(t), "") })
}

// Of a collection the cache of the wanted client is chosen, and one is added for
// a client of the client keytab.
func TestCollection(t *testing.T) {
	collections(t, func(t *testing.T, name, conf string) {
		s := newTimed(t, conf)
		t.Setenv("KRB5CCNAME", name)
		t.Setenv("KRB5_CLIENT_KTNAME", filepath.Join(t.TempDir(), "none"))
		_, err := s.tryAcquire(t, krb5.CredentialConfig{})
		wantError(t, err, gss.ErrNoCred, -1765328189, "No Kerberos credentials available (default cache: "+name+")", "kinit")

		keys := s.keys(t, "alice", "bob", "host/localhost")
		names := map[string]string{}
		for _, user := range []string{"alice", "bob"} {
			cred := s.acquire(t, krb5.CredentialConfig{Name: gss.UserName(user), ClientKeytab: keys})
			s.mustInitiate(t, cred)
			names[user] = cred.Name().String()
		}
		if err := s.realm.Rekey("bob"); err != nil { // so that a cache is needed
			t.Fatal(err)
		}
		var last gsstest.Stats
		requests(s, &last)
		for user, principal := range names {
			cred := s.acquire(t, krb5.CredentialConfig{Name: gss.UserName(user)})
			if got := cred.Name().String(); got != principal {
				t.Errorf("asked for %s, got %s", principal, got)
			}
			s.mustInitiate(t, cred)
		}
		if as, tgs := requests(s, &last); as != 0 || tgs != 0 {
			t.Errorf("with both caches there: %d AS and %d TGS requests", as, tgs)
		}
		// The primary cache is the first that was made.
		if got := s.acquire(t, krb5.CredentialConfig{}).Name().String(); got != "alice@TEST.EXAMPLE" {
			t.Errorf("nobody named: %s", got)
		}
		_, err = s.tryAcquire(t, krb5.CredentialConfig{Name: gss.UserName("carol"), ClientKeytab: keys})
		wantError(t, err, gss.ErrNoCred, 39756032, "Principal in credential cache does not match desired name: ", "kinit carol@TEST.EXAMPLE")
		if !strings.Contains(err.Error(), "Keytab contains no suitable keys for carol@TEST.EXAMPLE") {
			t.Error(err)
		}
	})
}

// What a store operation puts into a cache of any type, by its own name or a
// collection's, can be initiated with by that name.
func TestStoreCredential(t *testing.T) {
	collections(t, func(t *testing.T, name, conf string) {
		s := newTimed(t, conf)
		var to []*krb5.Cache
		for _, name := range []string{name, filepath.Join(t.TempDir(), "cc"), "MEMORY:" + t.Name()} {
			cache, err := s.profile.OpenCache(name)
			must(t, err)
			to = append(to, cache)
		}
		cred := s.acquire(t, krb5.CredentialConfig{Name: gss.UserName("alice"), Password: "secret"})
		s.mustInitiate(t, cred)
		for _, cache := range to {
			must(t, cred.Store(cache))
			again, err := s.profile.OpenCache(cache.Name())
			must(t, err)
			stored := s.acquire(t, krb5.CredentialConfig{Cache: again})
			last := s.realm.Stats()
			s.mustInitiate(t, stored)
			if as, tgs := requests(s, &last); as+tgs != 0 {
				t.Errorf("%s: the service ticket was not stored", cache.Name())
			}
			end, err := stored.Expires()
			want, wantErr := cred.Expires()
			if err != nil || wantErr != nil || !end.Equal(want) {
				t.Errorf("%s: it ends at %v, %v, the original at %v, %v", cache.Name(), end, err, want, wantErr)
			}
			must(t, stored.Release())
			s.mustInitiate(t, stored) // which others may still use
		}
	})
}

// The environment counts where the caller says nothing, then krb5.conf.
func TestDefaultStores(t *testing.T) {
	s := newTimed(t)
	dir := t.TempDir()
	write := func(name string, data []byte, err error) string {
		t.Helper()
		must(t, err)
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, data, 0o600))
		return path
	}
	service, err := s.realm.Keytab("host/localhost")
	servicePath := write("service.keytab", service, err)
	client, err := s.realm.Keytab("alice")
	clientPath := write("client.keytab", client, err)
	cachePath, otherPath := filepath.Join(dir, "cc"), filepath.Join(dir, "cc2")
	conf := write("krb5.conf", append([]byte("[libdefaults]\ndefault_ccache_name = FILE:"+dir+"/%{null}cc\ndefault_client_keytab_name = "+clientPath+"\ndefault_keytab_name = "+servicePath+"\n"), s.realm.Krb5Conf()...), nil)
	t.Setenv("KRB5_CONFIG", conf)
	for _, name := range []string{"KRB5CCNAME", "KRB5_KTNAME", "KRB5_CLIENT_KTNAME", "KRB5RCACHENAME"} {
		t.Setenv(name, "")
	}
	replays := filepath.Join(dir, "replays")
	t.Setenv("KRB5RCACHENAME", "file2:"+replays)
	check := func(cache string) {
		t.Helper()
		i, err := krb5.NewInitiator(krb5.InitiatorConfig{})
		must(t, err)
		a, err := krb5.NewAcceptor(krb5.AcceptorConfig{})
		must(t, err)
		_, ac := pair(t, i, a, gss.Request{Target: gss.HostService("host@localhost")})
		if got := ac.Inquire().Initiator.String(); got != "alice@TEST.EXAMPLE" {
			t.Errorf("the initiator is %s", got)
		}
		if got := content(t, cache).Default.String(); got != "alice@TEST.EXAMPLE" {
			t.Errorf("%s is of %s", cache, got)
		}
	}
	check(cachePath)
	if info, err := os.Stat(replays); err != nil || info.Size() == 0 {
		t.Errorf("the replay cache: %v", err)
	}
	// The environment has precedence.
	t.Setenv("KRB5CCNAME", "FILE:"+otherPath)
	check(otherPath)
	bob, err := s.realm.Keytab("bob")
	t.Setenv("KRB5_CLIENT_KTNAME", "FILE:"+write("bob.keytab", bob, err))
	t.Setenv("KRB5CCNAME", filepath.Join(dir, "cc3"))
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly})
	must(t, err)
	if got := cred.Name().String(); got != "bob@TEST.EXAMPLE" {
		t.Errorf("by KRB5_CLIENT_KTNAME: %s", got)
	}
	t.Setenv("KRB5_KTNAME", clientPath)
	_, err = krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Name: gss.HostService("host@localhost")})
	wantError(t, err, gss.ErrNoCred, -1765328203, clientPath, "ktadd")
}

// Each failure has MIT's words, its code, and what to do.
func TestCredentialErrors(t *testing.T) {
	s := newTimed(t)
	dir := t.TempDir()
	t.Setenv("KRB5_CLIENT_KTNAME", filepath.Join(dir, "none"))
	open := func(name string) *krb5.Cache {
		t.Helper()
		cache, err := s.profile.OpenCache(name)
		must(t, err)
		return cache
	}
	fill := func(name string, tickets ...gsstest.TicketOptions) *krb5.Cache {
		t.Helper()
		var all []*gsstest.Ticket
		for _, o := range tickets {
			ticket, err := s.realm.MintTicket(o)
			must(t, err)
			all = append(all, ticket)
		}
		data, err := gsstest.MarshalCCache(all...)
		must(t, err)
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, data, 0o600))
		return open(path)
	}
	past := s.clock().Add(-time.Hour)
	tgt := gsstest.TicketOptions{Client: "alice", Service: "krbtgt/TEST.EXAMPLE"}
	expired := tgt
	expired.AuthTime, expired.EndTime = past.Add(-time.Hour), past

	missing := filepath.Join(dir, "missing")
	_, err := s.tryAcquire(t, krb5.CredentialConfig{Cache: open(missing)})
	wantError(t, err, gss.ErrNoCred, -1765328189, "No Kerberos credentials available (default cache: FILE:"+missing+")", "kinit")

	empty, err := ccache.Resolver{}.Open(t.Context(), filepath.Join(dir, "empty"))
	must(t, err)
	must(t, empty.Replace(t.Context(), &ccache.Cache{Default: ccache.Principal{Realm: "TEST.EXAMPLE", Components: []string{"alice"}, NameType: 1}}))
	_, err = s.tryAcquire(t, krb5.CredentialConfig{Cache: open(empty.Name())})
	wantError(t, err, gss.ErrNoCred, 39756044, "Credential cache is empty", "kinit")

	_, err = s.tryAcquire(t, krb5.CredentialConfig{Cache: fill("alice", tgt), Name: gss.UserName("bob")})
	wantError(t, err, gss.ErrNoCred, 39756032, "Principal in credential cache does not match desired name", "kinit bob@TEST.EXAMPLE")

	_, err = s.tryAcquire(t, krb5.CredentialConfig{Cache: open(missing), Name: gss.UserName("bob"), ClientKeytab: s.keys(t, "alice")})
	wantError(t, err, gss.ErrNoCred, -1765328189, "Keytab contains no suitable keys for bob@TEST.EXAMPLE", "KRB5_CLIENT_KTNAME")

	cred := s.acquire(t, krb5.CredentialConfig{Cache: fill("expired", expired)})
	_, err = s.initiate(t, cred)
	wantError(t, err, gss.ErrCredentialsExpired, -1765328352, "Ticket expired", "kinit")

	cred = s.acquire(t, krb5.CredentialConfig{Cache: fill("no-tgt", gsstest.TicketOptions{Client: "alice", Service: "krbtgt/TEST.EXAMPLE"}, tgt)})
	fill("no-tgt", gsstest.TicketOptions{Client: "bob", Service: "krbtgt/TEST.EXAMPLE"}) // another user's kinit
	_, err = s.initiate(t, cred)
	wantError(t, err, gss.ErrNoCred, 39756032, "Principal in credential cache does not match desired name", "kinit alice@TEST.EXAMPLE")
	if _, err := cred.Expires(); !errors.Is(err, gss.ErrNoCred) {
		t.Errorf("the end of another's cache: %v", err)
	}

	must(t, s.realm.AddService("host/other"))
	cred = s.acquire(t, krb5.CredentialConfig{Cache: fill("service", gsstest.TicketOptions{Client: "alice", Service: "host/other"})})
	if got := s.expires(t, cred); got != 10*time.Hour {
		t.Errorf("with a service ticket alone it ends in %v", got)
	}
	_, err = s.initiate(t, cred)
	wantError(t, err, gss.ErrNoCred, -1765328243, "Matching credential not found", "kinit")

	must(t, os.WriteFile(filepath.Join(dir, "damaged"), []byte("\x05\x04\x00"), 0o600))
	_, err = s.tryAcquire(t, krb5.CredentialConfig{Cache: open(filepath.Join(dir, "damaged"))})
	wantError(t, err, gss.ErrNoCred, 0, "Bad format in credentials cache", "kdestroy, then kinit")

	old := s.keys(t, "alice")
	must(t, s.realm.Rekey("alice"))
	_, err = s.tryAcquire(t, krb5.CredentialConfig{Cache: krb5.NewMemoryCache(), ClientKeytab: old})
	wantError(t, err, gss.ErrFailure, -1765328360, "Preauthentication failed", "ktadd")

	noDaemon, err := krb5.ReadProfile(writeFile(t, "krb5.conf", []byte("[libdefaults]\nkcm_socket = "+filepath.Join(dir, "no-daemon")+"\n")))
	must(t, err)
	_, err = noDaemon.OpenCache("KCM:")
	wantError(t, err, gss.ErrNoCred, 0, "No KCM server found", "sssd-kcm")

	t.Setenv("KRB5_CLIENT_KTNAME", filepath.Join(dir, "damaged"))
	_, err = s.tryAcquire(t, krb5.CredentialConfig{Cache: open(missing)})
	wantError(t, err, gss.ErrNoCred, -1765328189, filepath.Join(dir, "damaged"), "KRB5_CLIENT_KTNAME")
	s.acquire(t, krb5.CredentialConfig{Cache: open(filepath.Join(dir, "alice"))}) // which needs no keytab

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = krb5.AcquireCredential(ctx, krb5.CredentialConfig{Usage: gss.InitiateOnly, Profile: s.profile, Cache: krb5.NewMemoryCache(), ClientKeytab: s.keys(t, "bob"), Time: s.clock})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
}

// Goroutines by the dozen share a credential that has to be got first.
func TestConcurrentFirstUse(t *testing.T) {
	s := newTimed(t)
	cache, err := krb5.OpenCache(filepath.Join(t.TempDir(), "cc"))
	must(t, err)
	cred := s.acquire(t, krb5.CredentialConfig{ClientKeytab: s.keys(t, "alice"), Cache: cache})
	must(t, os.Remove(strings.TrimPrefix(cache.Name(), "FILE:")))
	last := s.realm.Stats()
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if _, err := s.initiate(t, cred); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	as, _ := requests(s, &last)
	if as != 1 && as != 2 { // one exchange is two requests where the KDC asks for pre-authentication
		t.Errorf("%d AS requests", as)
	}

	// They fail together, and none for good.
	must(t, os.Remove(strings.TrimPrefix(cache.Name(), "FILE:")))
	s.realm.SetFaults(gsstest.Faults{ErrorCode: 60})
	for range 32 {
		all.Go(func() {
			if _, err := s.initiate(t, cred); !errors.Is(err, gss.ErrFailure) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s.realm.SetFaults(gsstest.Faults{})
	s.advance(31 * time.Second)
	s.mustInitiate(t, cred)
}

package krb5_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
)

// timed is a realm in which time passes when the test says so.
type timed struct {
	*setup
	now atomic.Int64 // Unix seconds
}

func (s *timed) clock() time.Time        { return time.Unix(s.now.Load(), 0) }
func (s *timed) advance(d time.Duration) { s.now.Add(int64(d / time.Second)) }

// newTimed makes such a realm; settings are lines for krb5.conf's [libdefaults].
func newTimed(t testing.TB, settings ...string) *timed {
	t.Helper()
	s := &timed{setup: new(setup)}
	s.now.Store(time.Now().Unix())
	var err error
	s.realm, err = gsstest.NewRealm(gsstest.Config{Name: "TEST.EXAMPLE", Time: s.clock})
	must(t, err)
	t.Cleanup(s.realm.Close)
	must(t, s.realm.AddUser("alice", "secret"))
	must(t, s.realm.AddUser("bob", "secret"))
	must(t, s.realm.AddService("host/localhost"))
	conf := "[libdefaults]\n" + strings.Join(append(settings, ""), "\n") + string(s.realm.Krb5Conf())
	s.profile, err = krb5.ReadProfile(writeFile(t, "krb5.conf", []byte(conf)))
	must(t, err)
	s.keytab = s.keys(t, "host/localhost")
	return s
}

// keys is a keytab of those principals.
func (s *timed) keys(t testing.TB, principals ...string) *krb5.Keytab {
	t.Helper()
	data, err := s.realm.Keytab(principals...)
	must(t, err)
	kt, err := krb5.ParseKeytab(data)
	must(t, err)
	return kt
}

func (s *timed) acquire(t testing.TB, cfg krb5.CredentialConfig) *krb5.Credential {
	t.Helper()
	cred, err := s.tryAcquire(t, cfg)
	must(t, err)
	return cred
}

func (s *timed) tryAcquire(t testing.TB, cfg krb5.CredentialConfig) (*krb5.Credential, error) {
	t.Helper()
	if cfg.Keytab == nil {
		cfg.Usage = gss.InitiateOnly
	}
	cfg.Profile, cfg.Time = s.profile, s.clock
	return krb5.AcquireCredential(t.Context(), cfg)
}

// initiate starts a context to the service with that credential, and gives the
// first token.
func (s *timed) initiate(t testing.TB, cred *krb5.Credential) ([]byte, error) {
	t.Helper()
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred, Time: s.clock})
	must(t, err)
	c, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
	if err != nil {
		return nil, err
	}
	return c.Step(nil)
}

func (s *timed) mustInitiate(t testing.TB, cred *krb5.Credential) {
	t.Helper()
	token, err := s.initiate(t, cred)
	must(t, err)
	acceptor := s.acquire(t, krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: s.keytab})
	none, err := krb5.OpenReplayCache("none:", s.profile) // others go by the system's clock
	must(t, err)
	a, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: acceptor, ReplayCache: none, Time: s.clock})
	must(t, err)
	c, err := a.Accept(nil)
	must(t, err)
	if _, err := c.Step(token); err != nil {
		t.Fatal("the acceptor:", err)
	}
	if got := c.Inquire().Initiator; got != cred.Name() {
		t.Errorf("the acceptor sees %s, the credential is %s", got, cred.Name())
	}
}

func (s *timed) expires(t testing.TB, cred *krb5.Credential) time.Duration {
	t.Helper()
	end, err := cred.Expires()
	must(t, err)
	return end.Sub(s.clock())
}

// requests counts what the KDC was asked since the last call.
func requests(s *timed, last *gsstest.Stats) (as, tgs uint64) {
	now := s.realm.Stats()
	as, tgs = now.AS-last.AS, now.TGS-last.TGS
	*last = now
	return as, tgs
}

func content(t testing.TB, name string) *ccache.Cache {
	t.Helper()
	s, err := ccache.Resolver{}.Open(t.Context(), name)
	must(t, err)
	c, err := s.Load(t.Context())
	must(t, err)
	return c
}

// With a client keytab and no cache, tickets are got into the cache, used by
// whoever comes next, and got again when half of their lifetime is gone.
func TestClientKeytab(t *testing.T) {
	s := newTimed(t, "ticket_lifetime = 10h")
	path := filepath.Join(t.TempDir(), "cc")
	cache, err := krb5.OpenCache(path)
	must(t, err)
	cfg := krb5.CredentialConfig{ClientKeytab: s.keys(t, "alice", "bob"), Cache: cache}
	var last gsstest.Stats
	cred := s.acquire(t, cfg)
	if as, _ := requests(s, &last); as == 0 || cred.Name().String() != "alice@TEST.EXAMPLE" {
		t.Errorf("%s after %d AS requests", cred.Name(), as)
	}
	c := content(t, path)
	start := c.Credentials[0].StartTime
	if v, ok := c.Config("refresh_time", ""); !ok || string(v) != itoa(start.Add(5*time.Hour).Unix()) {
		t.Errorf("refresh_time is %q, the ticket started at %d", v, start.Unix())
	}
	if got := s.expires(t, cred); got != 10*time.Hour {
		t.Errorf("it ends in %v", got)
	}
	s.mustInitiate(t, cred)
	s.mustInitiate(t, s.acquire(t, cfg))
	if as, tgs := requests(s, &last); as != 0 || tgs != 1 {
		t.Errorf("with tickets in the cache: %d AS and %d TGS requests", as, tgs)
	}

	// Not yet time, time with the KDC out of order, half a minute later.
	s.advance(4*time.Hour + 59*time.Minute)
	s.mustInitiate(t, cred)
	if as, _ := requests(s, &last); as != 0 {
		t.Errorf("before half of the lifetime: %d AS requests", as)
	}
	s.advance(2 * time.Minute)
	s.realm.SetFaults(gsstest.Faults{ErrorCode: 60})
	for range 3 {
		s.mustInitiate(t, cred)
	}
	if as, _ := requests(s, &last); as != 1 {
		t.Errorf("while the KDC fails: %d AS requests", as)
	}
	s.realm.SetFaults(gsstest.Faults{})
	s.advance(31 * time.Second)
	s.mustInitiate(t, cred)
	if as, _ := requests(s, &last); as == 0 || s.expires(t, cred) != 10*time.Hour {
		t.Errorf("afterwards: %d AS requests, it ends in %v", as, s.expires(t, cred))
	}

	// All is over, the KDC is first away and then back.
	s.advance(11 * time.Hour)
	s.realm.SetFaults(gsstest.Faults{ErrorCode: 60})
	if _, err := s.initiate(t, cred); !errors.Is(err, gss.ErrFailure) {
		t.Errorf("with expired tickets and no KDC: %v", err)
	}
	s.realm.SetFaults(gsstest.Faults{})
	s.advance(31 * time.Second)
	s.mustInitiate(t, cred)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.mustInitiate(t, cred)
	if got := content(t, path).Default.String(); got != "alice@TEST.EXAMPLE" {
		t.Errorf("the cache is of %s", got)
	}
}

// Tickets whose life is shorter than the pause after a failure are got again in time
// each time.
func TestClientKeytabShort(t *testing.T) {
	s := newTimed(t, "ticket_lifetime = 20s")
	cache, err := krb5.OpenCache(filepath.Join(t.TempDir(), "cc"))
	must(t, err)
	cred := s.acquire(t, krb5.CredentialConfig{ClientKeytab: s.keys(t, "alice"), Cache: cache})
	for range 3 {
		s.advance(18 * time.Second)
		s.mustInitiate(t, cred)
		if got := s.expires(t, cred); got != 20*time.Second {
			t.Errorf("it ends in %v", got)
		}
	}
}

// A cache that somebody filled by kinit is used while it lives, and only then
// the keytab.
func TestClientKeytabAfterCache(t *testing.T) {
	s := newTimed(t)
	data, err := s.realm.CCache("alice")
	must(t, err)
	cache, err := krb5.OpenCache(writeFile(t, "cc", data))
	must(t, err)
	var last gsstest.Stats
	cred := s.acquire(t, krb5.CredentialConfig{ClientKeytab: s.keys(t, "alice"), Cache: cache})
	s.advance(9 * time.Hour)
	s.mustInitiate(t, cred)
	if as, _ := requests(s, &last); as != 0 {
		t.Errorf("a living cache: %d AS requests", as)
	}
	s.advance(2 * time.Hour)
	s.mustInitiate(t, cred)
	if as, _ := requests(s, &last); as == 0 {
		t.Error("an expired cache: nothing asked")
	}
}

// A KDC that did not help is left alone for half a minute by everybody who has no
// living ticket.
func TestClientKeytabFailure(t *testing.T) {
	s := newTimed(t)
	cache, err := krb5.OpenCache(filepath.Join(t.TempDir(), "cc"))
	must(t, err)
	cred := s.acquire(t, krb5.CredentialConfig{ClientKeytab: s.keys(t, "alice"), Cache: cache})
	s.advance(48 * time.Hour)
	s.realm.SetFaults(gsstest.Faults{ErrorCode: 60})
	var last gsstest.Stats
	requests(s, &last)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := s.initiate(t, cred); err == nil {
				t.Error("a context without a ticket")
			}
		})
	}
	all.Wait()
	first, err := s.initiate(t, cred)
	if first != nil || err == nil {
		t.Errorf("afterwards: %v", err)
	}
	if as, _ := requests(s, &last); as != 1 {
		t.Errorf("nine callers made %d AS requests", as)
	}
	s.realm.SetFaults(gsstest.Faults{})
	if _, again := s.initiate(t, cred); again == nil || again.Error() != err.Error() {
		t.Errorf("soon after: %v, not %v", again, err)
	}
	s.advance(30 * time.Second)
	s.mustInitiate(t, cred)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// A renewable ticket is renewed by one of many when half of its lifetime is
// gone.
func TestRenewal(t *testing.T) {
	s := newTimed(t, "ticket_lifetime = 10h", "renew_lifetime = 2d")
	var last gsstest.Stats
	cred := s.acquire(t, krb5.CredentialConfig{Name: gss.UserName("alice"), Password: "secret"})
	s.mustInitiate(t, cred)
	requests(s, &last)
	s.advance(5*time.Hour - time.Minute)
	s.mustInitiate(t, cred)
	if as, tgs := requests(s, &last); as+tgs != 0 {
		t.Errorf("before half of the lifetime: %d AS and %d TGS requests", as, tgs)
	}
	s.advance(2 * time.Minute)
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if _, err := s.initiate(t, cred); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if as, tgs := requests(s, &last); as != 0 || tgs != 1 || s.expires(t, cred) != 10*time.Hour {
		t.Errorf("32 at once: %d AS and %d TGS requests, it ends in %v", as, tgs, s.expires(t, cred))
	}

	// The service ticket ends with the old ticket-granting ticket; before that
	// another one is got by the new one.
	s.advance(5*time.Hour - 2*time.Minute)
	s.mustInitiate(t, cred)
	if _, tgs := requests(s, &last); tgs != 1 {
		t.Errorf("near the service ticket's end: %d TGS requests", tgs)
	}

	// A failure is no hindrance, and is not repeated at once.
	s.advance(time.Hour)
	s.realm.SetFaults(gsstest.Faults{ErrorCode: 60})
	for range 3 {
		s.mustInitiate(t, cred)
	}
	if _, tgs := requests(s, &last); tgs != 1 {
		t.Errorf("while the KDC fails: %d TGS requests", tgs)
	}
	s.realm.SetFaults(gsstest.Faults{})
	for elapsed := time.Duration(0); elapsed < 60*time.Hour; elapsed += 4 * time.Hour {
		s.advance(4 * time.Hour)
		if _, err := s.initiate(t, cred); err != nil {
			if !errors.Is(err, gss.ErrCredentialsExpired) || elapsed < 32*time.Hour {
				t.Errorf("%v later: %v", elapsed, err)
			}
			requests(s, &last)
			return
		}
	}
	t.Error("the ticket was renewed beyond two days")
}

// A renewed ticket takes the old one's place in a file, beside what others put
// there.
func TestRenewalInFile(t *testing.T) {
	s := newTimed(t)
	now := s.clock()
	mint := func(o gsstest.TicketOptions) *gsstest.Ticket {
		t.Helper()
		ticket, err := s.realm.MintTicket(o)
		must(t, err)
		return ticket
	}
	data, err := gsstest.MarshalCCache(
		mint(gsstest.TicketOptions{Client: "alice", Service: "krbtgt/TEST.EXAMPLE", EndTime: now.Add(time.Hour), RenewTill: now.Add(24 * time.Hour), Flags: gsstest.Renewable | gsstest.Initial}),
		mint(gsstest.TicketOptions{Client: "alice", Service: "host/localhost", EndTime: now.Add(time.Hour)}))
	must(t, err)
	path := writeFile(t, "cc", data)
	cache, err := krb5.OpenCache(path)
	must(t, err)
	cred := s.acquire(t, krb5.CredentialConfig{Cache: cache})
	s.advance(31 * time.Minute)
	s.mustInitiate(t, cred)
	var servers []string
	for _, c := range content(t, path).Credentials {
		servers = append(servers, c.Server.String())
	}
	if got := strings.Join(servers, " "); got != "host/localhost@TEST.EXAMPLE krbtgt/TEST.EXAMPLE@TEST.EXAMPLE" || s.expires(t, cred) != time.Hour {
		t.Errorf("the cache has %s, and ends in %v", got, s.expires(t, cred))
	}
}

// A service ticket that is about to end is used if there can be no better one.
func TestServiceTicketNearItsEnd(t *testing.T) {
	s := newTimed(t)
	now := s.clock()
	tgt, err := s.realm.MintTicket(gsstest.TicketOptions{Client: "alice", Service: "krbtgt/TEST.EXAMPLE"})
	must(t, err)
	short, err := s.realm.MintTicket(gsstest.TicketOptions{Client: "alice", Service: "host/localhost", EndTime: now.Add(time.Minute)})
	must(t, err)
	for _, tt := range []struct {
		name    string
		tickets []*gsstest.Ticket
		faults  gsstest.Faults
		tgs     uint64
		end     time.Duration // of the context
	}{
		{"a better one is got", []*gsstest.Ticket{tgt, short}, gsstest.Faults{}, 1, 10 * time.Hour},
		{"the KDC fails", []*gsstest.Ticket{tgt, short}, gsstest.Faults{ErrorCode: 60}, 1, time.Minute},
		{"nothing to ask with", []*gsstest.Ticket{short}, gsstest.Faults{}, 0, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			last := s.realm.Stats()
			data, err := gsstest.MarshalCCache(tt.tickets...)
			must(t, err)
			cache, err := krb5.OpenCache(writeFile(t, "cc", data))
			must(t, err)
			cred := s.acquire(t, krb5.CredentialConfig{Cache: cache})
			s.realm.SetFaults(tt.faults)
			i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred, Time: s.clock})
			must(t, err)
			c, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
			must(t, err)
			if got := c.Inquire().Expires.Sub(s.clock()); got != tt.end {
				t.Errorf("the context ends in %v, want %v", got, tt.end)
			}
			if _, tgs := requests(s, &last); tgs != tt.tgs {
				t.Errorf("%d TGS requests", tgs)
			}
		})
	}
}

func TestPassword(t *testing.T) {
	s := newTimed(t, "ticket_lifetime = 1h")
	t.Setenv("KRB5CCNAME", filepath.Join(t.TempDir(), "cc"))
	_, err := s.tryAcquire(t, krb5.CredentialConfig{Name: gss.UserName("alice"), Password: "wrong"})
	wantError(t, err, gss.ErrFailure, -1765328360, "Password incorrect", "check the password")
	for _, nonsense := range []krb5.CredentialConfig{
		{Password: "secret"},
		{Name: gss.UserName("alice"), Password: "secret", Cache: krb5.NewMemoryCache()},
		{Name: gss.UserName("alice"), Password: "secret", ClientKeytab: s.keytab},
	} {
		if _, err := s.tryAcquire(t, nonsense); err == nil {
			t.Errorf("%+v is taken", nonsense)
		}
	}
	_, err = s.tryAcquire(t, krb5.CredentialConfig{Name: gss.UserName("carol"), Password: "secret"})
	wantError(t, err, gss.ErrFailure, -1765328378, "Client 'carol@TEST.EXAMPLE' not found in Kerberos database", "spelling")

	cred := s.acquire(t, krb5.CredentialConfig{Name: gss.UserName("alice"), Password: "secret"})
	s.mustInitiate(t, cred)
	if _, err := os.Stat(os.Getenv("KRB5CCNAME")); !os.IsNotExist(err) {
		t.Errorf("a password left a cache: %v", err)
	}
	s.advance(time.Hour)
	_, err = s.initiate(t, cred)
	wantError(t, err, gss.ErrCredentialsExpired, -1765328352, "Ticket expired", "acquire it anew")
	if got := s.expires(t, cred); got != 0 {
		t.Errorf("it ends in %v", got)
	}
	for range 2 {
		must(t, cred.Release())
	}
	if _, err := s.initiate(t, cred); !errors.Is(err, gss.ErrNoCred) {
		t.Errorf("after its release: %v", err)
	}
}

// The KDC's clock counts: its offset is learnt with the password and the keytab.
func TestClockOffset(t *testing.T) {
	s := newTimed(t, "ticket_lifetime = 1h")
	s.realm.SetFaults(gsstest.Faults{ClockOffset: 30 * time.Minute})
	kept := krb5.NewMemoryCache()
	for name, cfg := range map[string]krb5.CredentialConfig{
		"password": {Name: gss.UserName("alice"), Password: "secret"},
		"keytab":   {ClientKeytab: s.keys(t, "alice"), Cache: kept},
	} {
		cred := s.acquire(t, cfg)
		if got := s.expires(t, cred); got.Round(time.Minute) != time.Hour {
			t.Errorf("%s: it ends in %v by the local clock", name, got)
		}
		if _, err := s.initiate(t, cred); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One credential acts for a service in both roles, or as one and for another.
func TestBothUsages(t *testing.T) {
	s := newTimed(t)
	both := s.acquire(t, krb5.CredentialConfig{
		Usage: gss.InitiateAndAccept, Name: gss.HostService(service), Keytab: s.keytab, ClientKeytab: s.keytab, Cache: krb5.NewMemoryCache(),
	})
	if got := both.Name().String(); got != "host/localhost@TEST.EXAMPLE" {
		t.Errorf("it is %s", got)
	}
	s.mustInitiate(t, both)
	other := s.acquire(t, krb5.CredentialConfig{
		Usage: gss.InitiateAndAccept, Name: gss.UserName("alice"), AcceptName: gss.HostService(service), Password: "secret", Keytab: s.keytab,
	})
	if got := other.Name().String(); got != "alice@TEST.EXAMPLE" {
		t.Errorf("it is %s", got)
	}
	a, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: other, ReplayCache: krb5.NewMemoryReplayCache(s.profile), Time: s.clock})
	must(t, err)
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: other, Time: s.clock})
	must(t, err)
	_, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service)})
	if got := ac.Inquire().Initiator.String(); got != "alice@TEST.EXAMPLE" {
		t.Errorf("the acceptor sees %s", got)
	}
	_, err = s.tryAcquire(t, krb5.CredentialConfig{
		Usage: gss.InitiateAndAccept, Name: gss.UserName("alice"), AcceptName: gss.HostService("http@localhost"), Password: "secret", Keytab: s.keytab,
	})
	wantError(t, err, gss.ErrNoCred, -1765328203, "No key table entry found matching http/localhost@", "ktadd")
}

func wantError(t testing.TB, err error, major gss.Major, minor int32, text, hint string) {
	t.Helper()
	e, ok := errors.AsType[*gss.Error](err)
	if !ok || e.Major != major || e.Minor != minor || !strings.Contains(err.Error(), text) || !strings.Contains(e.Hint, hint) {
		t.Errorf("%v, want %v, %d, %q, %q", err, major, minor, text, hint)
		if ok {
			t.Logf("minor %d, hint %q", e.Minor, e.Hint)
		}
	}
}

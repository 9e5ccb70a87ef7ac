package krb5

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
	"github.com/countersign-go/countersign/gss/krb5/internal/kdc"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// CredentialConfig says whose credential to acquire, from where and what for.
// The environment (KRB5_CONFIG, KRB5CCNAME, KRB5_KTNAME) counts only for what
// is left nil.
type CredentialConfig struct {
	Usage gss.Usage

	// Name is whom the credential is for. To initiate: a user or principal;
	// zero means the cache's own. To accept: a host-based service, "service"
	// alone for any host, or a principal; zero means every key of the keytab.
	Name gss.Name

	Keytab  *Keytab  // keys to accept with; nil: the default keytab
	Cache   *Cache   // tickets to initiate with; nil: the default cache
	Profile *Profile // krb5.conf; nil: the default files

	// Password gets the initiator's ticket from the KDC. It is then kept in
	// memory only, and no cache is touched.
	Password string
}

// A Credential is what one proves oneself with: keys, tickets or both. It is
// safe for concurrent use.
type Credential struct {
	usage   gss.Usage
	profile *Profile

	service serviceMatch // whom to accept for
	keytab  *Keytab

	client  ccache.Principal // whom to initiate as
	cache   *Cache
	private bool // the cache was made for this credential
}

// AcquireCredential gets a credential (GSS_Acquire_cred). What it names must be
// there now: the keytab with a key for the service, the cache with a client of
// that name, the KDC that takes the password. ctx bounds the exchange with the
// KDC and the look-up of host names.
func AcquireCredential(ctx context.Context, cfg CredentialConfig) (*Credential, error) {
	c := &Credential{usage: cfg.Usage, profile: cfg.Profile, keytab: cfg.Keytab, cache: cfg.Cache}
	if c.profile == nil {
		var err error
		if c.profile, err = ReadProfile(); err != nil {
			return nil, err
		}
	}
	if c.usage.CanAccept() {
		if err := c.acquireAccept(ctx, cfg.Name); err != nil {
			return nil, err
		}
	}
	if c.usage.CanInitiate() {
		if err := c.acquireInitiate(ctx, cfg); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Credential) acquireAccept(ctx context.Context, name gss.Name) error {
	var err error
	if c.service, err = newServiceMatch(ctx, c.profile, name); err != nil {
		return err
	}
	if c.keytab == nil {
		if c.keytab, err = defaultKeytab(c.profile); err != nil {
			return err
		}
	}
	var keys keyring
	_, err = keys.current(c)
	return err
}

func (c *Credential) acquireInitiate(ctx context.Context, cfg CredentialConfig) error {
	var want ccache.Principal
	if !cfg.Name.IsZero() {
		p, err := clientPrincipal(c.profile, cfg.Name)
		if err != nil {
			return err
		}
		want = p
	}
	if cfg.Password != "" {
		return c.acquireByPassword(ctx, want, cfg)
	}
	if c.cache == nil {
		var err error
		if c.cache, err = defaultCache(c.profile); err != nil {
			return err
		}
	}
	content, err := c.cache.store.Load()
	if err != nil {
		e := cacheError(err).(*gss.Error)
		if e.Minor == minorCacheNotFound {
			e.Err = fmt.Errorf("No Kerberos credentials available (default cache: %s)", c.cache.Name())
		}
		return e
	}
	c.client = content.Default
	if len(want.Components) > 0 && !want.Equal(c.client) {
		return &gss.Error{
			Major: gss.ErrNoCred,
			Mech:  gss.MechKrb5,
			Err:   fmt.Errorf("Principal in credential cache does not match desired name: %s is of %s, not of %s", c.cache.Name(), c.client, want),
			Hint:  fmt.Sprintf("kinit %s, or name that user's cache in KRB5CCNAME", want),
		}
	}
	return nil
}

func (c *Credential) acquireByPassword(ctx context.Context, client ccache.Principal, cfg CredentialConfig) error {
	if len(client.Components) == 0 {
		return badName("", errors.New("a password needs the user's name"))
	}
	if cfg.Cache != nil {
		return failure(errors.New("both Password and Cache are set: a password leaves no cache behind"))
	}
	kc, err := newKDCClient(c.profile, nil)
	if err != nil {
		return err
	}
	c.cache, c.private, c.client = NewMemoryCache(), true, client
	return c.initialTicket(ctx, kc, kdc.Password(cfg.Password))
}

// initialTicket gets the ticket-granting ticket of the credential's client by a
// password and makes it the cache's content. The KDC may correct the client.
func (c *Credential) initialTicket(ctx context.Context, kc *kdc.Client, password kdc.Secret) error {
	tgt, err := kc.AS(ctx, kdcPrincipal(c.client), password, kdc.ASOptions{})
	if err != nil {
		return kdcError(err)
	}
	c.client = ccachePrincipal(tgt.Client)
	if err := c.cache.store.Initialize(c.client); err != nil {
		return cacheError(err)
	}
	if err := c.cache.store.Append(cacheEntry(tgt)); err != nil {
		return cacheError(err)
	}
	return nil
}

// Name is the initiator's principal where the credential can initiate, else
// the name that it was acquired to accept for, which may be zero.
func (c *Credential) Name() gss.Name {
	if c.usage.CanInitiate() {
		return principalName(kmsg.PrincipalName{Type: c.client.NameType, Components: c.client.Components}, c.client.Realm)
	}
	return c.service.name
}

// Release ends the credential (GSS_Release_cred): tickets that a password got
// are destroyed. Caches and keytabs that were there before stay as they are.
func (c *Credential) Release() error {
	if !c.private {
		return nil
	}
	return c.cache.store.Destroy()
}

// Usage is what the credential is for.
func (c *Credential) Usage() gss.Usage { return c.usage }

// Expires is when the credential can initiate no more contexts: the end of its
// ticket-granting ticket, or of its last service ticket where it has none. It
// is zero for a credential that only accepts, which lasts as long as its keys.
func (c *Credential) Expires() (time.Time, error) {
	if !c.usage.CanInitiate() {
		return time.Time{}, nil
	}
	content, err := c.cache.store.Load()
	if err != nil {
		return time.Time{}, cacheError(err)
	}
	var end, tgtEnd time.Time
	tgs := ticketGranting(c.client.Realm)
	for i := range content.Credentials {
		cred := &content.Credentials[i]
		if cred.IsConfig() || !cred.Client.Equal(c.client) {
			continue
		}
		if cred.EndTime.After(end) {
			end = cred.EndTime
		}
		if cred.Server.Equal(tgs) && cred.EndTime.After(tgtEnd) {
			tgtEnd = cred.EndTime
		}
	}
	if !tgtEnd.IsZero() {
		end = tgtEnd
	}
	return end.Add(-content.TimeOffset), nil
}

// accepts reports whether a keytab entry is one to accept with.
func (c *Credential) accepts(realm string, components []string) bool {
	return c.service.matches(realm, components)
}

// acceptorText names whom the credential accepts for, in messages.
func (c *Credential) acceptorText() string { return c.service.text }

// serviceMatch is the acceptor's name as a pattern over keytab entries.
type serviceMatch struct {
	name    gss.Name
	text    string   // for messages, as MIT shows it: host/server.example@
	realm   string   // empty: any
	service string   // first component; empty: components decide
	hosts   []string // second component, any of these; nil: any host
	exact   []string // all components of a principal
}

func newServiceMatch(ctx context.Context, profile *Profile, name gss.Name) (serviceMatch, error) {
	if name.IsZero() {
		return serviceMatch{text: "any principal"}, nil
	}
	text, typ := name.Display()
	if typ != gss.NTHostbasedService {
		p, err := clientPrincipal(profile, name)
		if err != nil {
			return serviceMatch{}, err
		}
		return serviceMatch{name: name, text: p.String(), realm: p.Realm, exact: p.Components}, nil
	}
	service, host, err := splitHostbased(text)
	if err != nil {
		return serviceMatch{}, err
	}
	m := serviceMatch{name: name, service: service, text: service + "/*@"}
	if host == "" || profile.settings.IgnoreAcceptorHostname {
		return m, nil
	}
	m.hosts = profile.canonicalHosts(ctx, host)
	m.realm, _ = profile.conf.RealmOf(m.hosts[0])
	m.text = service + "/" + m.hosts[0] + "@" + m.realm
	return m, nil
}

func (m *serviceMatch) matches(realm string, components []string) bool {
	switch {
	case m.realm != "" && realm != m.realm:
		return false
	case m.exact != nil:
		return slices.Equal(components, m.exact)
	case m.service == "":
		return true
	case len(components) != 2 || components[0] != m.service:
		return false
	default:
		return m.hosts == nil || slices.ContainsFunc(m.hosts, func(h string) bool { return strings.EqualFold(h, components[1]) })
	}
}

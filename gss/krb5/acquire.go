package krb5

//lint:file-ignore ST1005 MIT's words

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
	"github.com/countersign-go/countersign/gss/krb5/internal/kdc"
)

func (c *Credential) acquireInitiate(ctx context.Context, cfg CredentialConfig) error {
	var want ccache.Principal // no components: anybody
	if !cfg.Name.IsZero() {
		var err error
		if want, err = initiatorPrincipal(ctx, c.profile, cfg.Name); err != nil {
			return err
		}
	}
	kc, err := newKDCClient(c.profile, cfg.Time)
	if err != nil {
		return err
	}
	if cfg.Password != "" {
		return c.acquireByPassword(ctx, kc, want, cfg)
	}
	// A default client keytab that cannot be read matters only where there is
	// nothing else.
	var keytabErr error
	if c.clientKeytab = cfg.ClientKeytab; c.clientKeytab == nil {
		c.clientKeytab, keytabErr = defaultClientKeytab(ctx, c.profile)
	}
	c.keyEtypes = kc.TktEnctypes
	if err := c.chooseCache(ctx, want, keytabErr); err != nil {
		return err
	}
	c.keyed = c.client
	content, err := c.cache.store.Current(ctx)
	if content, err = c.refresh(ctx, kc, content, err, kc.Now); err != nil {
		return err
	}
	c.client = content.Default // as the KDC may have corrected it
	for i := range content.Credentials {
		if !content.Credentials[i].IsConfig() {
			return nil
		}
	}
	return emptyCache(c.cache)
}

// initiatorPrincipal is whom a name means as the one who initiates: for a
// host-based service its own principal.
func initiatorPrincipal(ctx context.Context, profile *Profile, name gss.Name) (ccache.Principal, error) {
	if _, typ := name.Display(); typ != gss.NTHostbasedService {
		return clientPrincipal(profile, name)
	}
	principals, err := targetPrincipals(ctx, profile, name)
	if err != nil {
		return ccache.Principal{}, err
	}
	p := ccachePrincipal(principals[0])
	if p.Realm == "" {
		p.Realm = profile.DefaultRealm()
	}
	return p, nil
}

// chooseCache decides on client and cache: those that were asked for, or the
// cache of the default collection that has the client's tickets, else one in
// which the client keytab's tickets can be put. keytabErr is why there is no
// client keytab.
func (c *Credential) chooseCache(ctx context.Context, want ccache.Principal, keytabErr error) error {
	name, stores := "", []*ccache.Store(nil)
	if c.cache != nil {
		name, stores = c.cache.Name(), []*ccache.Store{c.cache.store}
	} else {
		var err error
		name = defaultCacheName(c.profile)
		if stores, err = c.profile.caches().Collection(ctx, name); err != nil {
			return cacheError(err)
		}
	}
	anybody := len(want.Components) == 0
	var others []string // clients of the caches that are there
	primaryFree := false
	for n, s := range stores {
		content, err := s.Current(ctx)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			primaryFree = primaryFree || n == 0
		case err != nil && n == 0:
			return cacheError(err)
		case err != nil:
			// Another's fault does not concern this client.
		case anybody && n == 0 || content.Default.Equal(want):
			c.cache, c.client = &Cache{store: s}, content.Default
			return nil
		default:
			others = append(others, fmt.Sprintf("%s is of %s", s.Name(), content.Default))
		}
	}
	if anybody {
		others = nil
	}
	if c.clientKeytab == nil {
		return noCredential(want, name, others, keytabErr)
	}
	if err := c.chooseKeyed(ctx, want); err != nil {
		return noCredential(want, name, others, err)
	}
	if primaryFree {
		c.cache = &Cache{store: stores[0]}
		return nil
	}
	if c.cache != nil {
		return noCredential(want, name, others, nil)
	}
	s, err := c.profile.caches().New(ctx, name)
	if errors.Is(err, ccache.ErrNoCollection) {
		return noCredential(want, name, others, nil)
	} else if err != nil {
		return cacheError(err)
	}
	c.cache = &Cache{store: s}
	return nil
}

// chooseKeyed makes the client the wanted one if the client keytab has keys for
// it, or the first of the keytab if anybody will do.
func (c *Credential) chooseKeyed(ctx context.Context, want ccache.Principal) error {
	kt, err := c.clientKeytab.current(ctx)
	if err != nil {
		return err
	}
	if len(want.Components) == 0 {
		if len(kt.Entries) == 0 {
			return errEmptyKeytab
		}
		e := kt.Entries[0]
		want = ccache.Principal{Realm: e.Realm, Components: e.Components, NameType: e.NameType}
	}
	if len(kt.Client(want.Realm, want.Components, c.keyEtypes)) == 0 {
		return fmt.Errorf("Keytab contains no suitable keys for %s: %s", want, c.clientKeytab.Name())
	}
	c.client = want
	return nil
}

var errEmptyKeytab = errors.New("the client keytab is empty")

// noCredential says that there is no cache of the client, and why the client
// keytab cannot help.
func noCredential(want ccache.Principal, name string, others []string, keytab error) error {
	e := &gss.Error{Major: gss.ErrNoCred, Mech: gss.MechKrb5, Minor: minorCacheNotFound, Hint: hintKinit}
	e.Err = fmt.Errorf("No Kerberos credentials available (default cache: %s)", name)
	if len(others) > 0 {
		e.Minor = minorCacheNoMatch
		e.Err = fmt.Errorf("Principal in credential cache does not match desired name: %s, not of %s", others[0], want)
		e.Hint = fmt.Sprintf("kinit %s, or name that user's cache in KRB5CCNAME", want)
	}
	if keytab != nil {
		if ke, ok := errors.AsType[*gss.Error](keytab); ok {
			keytab = ke.Err
		}
		e.Err = fmt.Errorf("%w; %w", e.Err, keytab)
		e.Hint += "; or give the client's keys in the client keytab that KRB5_CLIENT_KTNAME names"
	}
	return e
}

// checkOwner refuses a cache that has become another client's.
func (c *Credential) checkOwner(content *ccache.Cache) error {
	if content.Default.Equal(c.client) {
		return nil
	}
	return noCredential(c.client, c.cache.Name(), []string{fmt.Sprintf("%s is of %s", c.cache.Name(), content.Default)}, nil)
}

func emptyCache(cache *Cache) error {
	return &gss.Error{
		Major: gss.ErrNoCred,
		Minor: minorCacheEmpty,
		Mech:  gss.MechKrb5,
		Err:   fmt.Errorf("Credential cache is empty (%s)", cache.Name()),
		Hint:  hintKinit,
	}
}

func (c *Credential) acquireByPassword(ctx context.Context, kc *kdc.Client, client ccache.Principal, cfg CredentialConfig) error {
	if len(client.Components) == 0 {
		return badName("", errors.New("a password needs the user's name"))
	}
	if cfg.Cache != nil || cfg.ClientKeytab != nil {
		return failure(errors.New("both Password and Cache or ClientKeytab are set: a password leaves no cache behind"))
	}
	c.cache, c.private, c.client = NewMemoryCache(), true, client
	return c.initialTicket(ctx, kc, kdc.Password(cfg.Password))
}

// initialTicket gets the ticket-granting ticket of the credential's client by a
// password and makes it the cache's content. The KDC may correct the client.
func (c *Credential) initialTicket(ctx context.Context, kc *kdc.Client, password kdc.Secret) error {
	tgt, err := kc.AS(ctx, kdcPrincipal(c.client), password, kdc.ASOptions{})
	if err != nil {
		return c.profile.kdcError(err)
	}
	c.client = ccachePrincipal(tgt.Client)
	err = c.cache.store.Replace(ctx, &ccache.Cache{Default: c.client, TimeOffset: tgt.Offset, Credentials: []ccache.Credential{cacheEntry(tgt)}})
	if err != nil {
		return cacheError(err)
	}
	return nil
}

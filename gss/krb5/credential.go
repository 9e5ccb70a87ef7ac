package krb5

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// CredentialConfig says whose credential to acquire, from where and what for.
// The environment (KRB5_CONFIG, KRB5CCNAME, KRB5_KTNAME, KRB5_CLIENT_KTNAME)
// counts only for what is left nil.
type CredentialConfig struct {
	Usage gss.Usage

	// Name is whom the credential is for. To initiate: a user or principal, or
	// a host-based service, "service@host", for that service's own principal;
	// zero means the cache's own, or the first of the client keytab. To accept:
	// a host-based service, "service@" for this host and "service" alone for any,
	// or a principal; zero means every key of the keytab.
	Name gss.Name

	// AcceptName is whom to accept for where that is not Name, in a credential
	// that both initiates and accepts.
	AcceptName gss.Name

	Keytab  *Keytab  // keys to accept with; nil: the default keytab
	Profile *Profile // krb5.conf; nil: the default files

	// Cache has the tickets to initiate with. Nil means the default cache; if
	// that is a collection's (DIR, KCM, KEYRING), the one of its caches that is
	// Name's, or the primary one if Name is zero.
	Cache *Cache

	// ClientKeytab has keys to get tickets with where the cache has no usable
	// ones; they land in the cache, and are got again when half of their
	// lifetime is gone. Nil means the default client keytab, which need not
	// exist.
	ClientKeytab *Keytab

	// Password gets the initiator's ticket from the KDC. It is then kept in
	// memory only, and no cache is touched.
	Password string

	Time func() time.Time // nil means time.Now
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

	clientKeytab *Keytab          // nil: none
	keyed        ccache.Principal // whose keys those are: client, unless the KDC corrected the name
	keyEtypes    []int32          // of keys to use, most wanted first
	renewal      renewal
	known        knownTickets
}

// AcquireCredential gets a credential (GSS_Acquire_cred). What it names must be
// there now: the keytab with a key for the service, the cache with a client of
// that name, the KDC that takes the password or the client keytab's key. ctx
// bounds the exchange with the KDC and with a KCM daemon, the look-up of host
// names, and the wait for files that other programs keep locked.
//
// Errors are *[gss.Error]: gss.ErrNoCred where something is missing, with
// gss.ErrFailure what a KDC refused, which [errors.As] shows.
func AcquireCredential(ctx context.Context, cfg CredentialConfig) (*Credential, error) {
	c := &Credential{usage: cfg.Usage, profile: cfg.Profile, keytab: cfg.Keytab, cache: cfg.Cache}
	if c.profile == nil {
		var err error
		if c.profile, err = ReadProfile(); err != nil {
			return nil, err
		}
	}
	if c.usage.CanAccept() {
		name := cfg.Name
		if !cfg.AcceptName.IsZero() {
			name = cfg.AcceptName
		}
		if err := c.acquireAccept(ctx, name); err != nil {
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
		if c.keytab, err = defaultKeytab(ctx, c.profile); err != nil {
			return err
		}
	}
	var keys keyring
	_, err = keys.current(ctx, c)
	return err
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
// or that were delegated are destroyed. Caches and keytabs that have a name
// stay, with the tickets that were added meanwhile. Releasing twice does
// nothing.
func (c *Credential) Release() error {
	c.known.forget()
	if !c.private {
		return nil
	}
	if err := c.cache.store.Destroy(context.Background()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cacheError(err)
	}
	return nil
}

// Usage is what the credential is for.
func (c *Credential) Usage() gss.Usage { return c.usage }

// Expires is when the credential can initiate no more contexts: the end of its
// ticket-granting ticket, or of its last service ticket where it has none, by
// the local clock. Renewal moves it on. It is zero for a credential that only
// accepts, which lasts as long as its keys.
func (c *Credential) Expires() (time.Time, error) {
	if !c.usage.CanInitiate() {
		return time.Time{}, nil
	}
	content, err := c.cache.store.Current(context.Background())
	if err != nil {
		return time.Time{}, cacheError(err)
	}
	if err := c.checkOwner(content); err != nil {
		return time.Time{}, err
	}
	if tgt := c.grantingTicket(content); tgt != nil {
		return tgt.EndTime.Add(-content.TimeOffset), nil
	}
	var end time.Time
	for i := range content.Credentials {
		cred := &content.Credentials[i]
		if !cred.IsConfig() && cred.Client.Equal(c.client) && cred.EndTime.After(end) {
			end = cred.EndTime
		}
	}
	if end.IsZero() {
		return time.Time{}, emptyCache(c.cache)
	}
	return end.Add(-content.TimeOffset), nil
}

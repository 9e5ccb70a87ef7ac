package krb5

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kdc"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
	"github.com/countersign-go/countersign/gss/krb5/internal/krb5conf"
)

// ticketMargin is how long a service ticket must live for it to be used when a
// longer one can be had: the context's first messages, and clocks that differ,
// should not find it expired.
const ticketMargin = 2 * time.Minute

// keepTimeout bounds the wait for a cache that somebody else is using when all
// that is left to do is to put a ticket there for the next context.
const keepTimeout = time.Second

// serviceTicket finds the credential's ticket for the target, in its cache or
// by asking the KDC, in which case the cache gets it too. The second result is
// what to add to the local clock.
func (i *Initiator) serviceTicket(ctx context.Context, target gss.Name) (*ccache.Credential, time.Duration, error) {
	c := i.cred
	content, err := c.cache.store.Current(ctx)
	if err == nil {
		if known := c.known.find(content, target, i.now()); known != nil {
			return known, content.TimeOffset, nil
		}
	}
	if content, err = c.refresh(ctx, i.kdc, content, err, i.now); err != nil {
		return nil, 0, err
	}
	if err := c.checkOwner(content); err != nil {
		return nil, 0, err
	}
	servers := i.servers
	if servers == nil {
		if servers, err = targetPrincipals(ctx, c.profile, target); err != nil {
			return nil, 0, err
		}
	}
	now := i.now().Add(content.TimeOffset)
	found, first := i.cachedTicket(content, servers, now)
	if found != nil && found.EndTime.After(now.Add(ticketMargin)) {
		if first && !c.profile.asksDNS(target) {
			c.remember(content, target, found, i.now())
		}
		return found, content.TimeOffset, nil
	}
	fetched, err := i.fetchTicket(ctx, content, found, servers, now)
	switch {
	case fetched != nil:
		return fetched, content.TimeOffset, nil
	case found != nil: // near its end, and nothing better to be had
		return found, content.TimeOffset, nil
	default:
		return nil, 0, err
	}
}

// cachedTicket finds a ticket in the cache for one of servers, and says whether
// it is for the first of them.
func (i *Initiator) cachedTicket(content *ccache.Cache, servers []kdc.Principal, now time.Time) (ticket *ccache.Credential, first bool) {
	if i.fresh {
		return nil, false
	}
	for n, server := range servers {
		want := ccachePrincipal(server)
		if want.Realm == "" {
			want.Realm = i.cred.client.Realm
		}
		found := content.Find(i.cred.client, want, i.etypes, now)
		if found == nil && server.Realm == "" {
			want.Realm = ""
			found = referredTicket(content.Find(i.cred.client, want, i.etypes, now))
		}
		if found != nil {
			return found, n == 0
		}
	}
	return nil, false
}

// referredTicket is a ticket of a realm that the KDC referred to. The cache has
// it under the name that was asked for, without a realm, as MIT's library keeps
// it; the ticket itself says which service it is for.
func referredTicket(found *ccache.Credential) *ccache.Credential {
	if found == nil {
		return nil
	}
	ticket, err := kmsg.ParseTicket(found.Ticket)
	if err != nil {
		return nil
	}
	named := *found
	named.Server = ccache.Principal{Realm: ticket.Realm, Components: ticket.SName.Components, NameType: ticket.SName.Type}
	return &named
}

// asksDNS reports whether DNS has a say in which principal the target means, so
// that it is to be asked each time.
func (p *Profile) asksDNS(target gss.Name) bool {
	_, typ := target.Display()
	return typ == gss.NTHostbasedService && p.settings.DNSCanonicalizeHostname == krb5conf.CanonicalizeAlways
}

// remember keeps a ticket for the next call, until its end is near or the
// ticket-granting ticket is to be renewed.
func (c *Credential) remember(content *ccache.Cache, target gss.Name, ticket *ccache.Credential, now time.Time) {
	until := ticket.EndTime.Add(-content.TimeOffset - ticketMargin)
	if next := c.nextRefresh(content); !next.IsZero() && next.Before(until) {
		until = next
	}
	if now.Before(until) {
		c.known.add(content, target, knownTicket{ticket, until})
	}
}

// fetchTicket asks the KDC for a ticket that lasts longer than found, which may
// be nil. The result is nil without an error if there can be none.
func (i *Initiator) fetchTicket(ctx context.Context, content *ccache.Cache, found *ccache.Credential, servers []kdc.Principal, now time.Time) (*ccache.Credential, error) {
	tgt, err := i.ticketGrantingTicket(content, now)
	if err != nil {
		return nil, err
	}
	if found != nil && !tgt.EndTime.After(found.EndTime) {
		return nil, nil
	}
	ticket, asked, err := i.askKDC(ctx, tgt, servers)
	if err != nil {
		return nil, err
	}
	entry := cacheEntry(ticket)
	if i.fresh {
		return &entry, nil
	}
	kept := entry
	if asked.Realm == "" && entry.Server.Realm != i.cred.client.Realm {
		kept.Server = ccachePrincipal(asked) // where the next one looks: see referredTicket
	}
	// A cache that cannot be written to still served: the ticket is good.
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	_ = i.cred.cache.store.Append(ctx, kept)
	return &entry, nil
}

// ticketGrantingTicket finds the ticket to ask the KDC with.
func (i *Initiator) ticketGrantingTicket(content *ccache.Cache, now time.Time) (kdc.Ticket, error) {
	c := i.cred
	found := c.grantingTicket(content)
	switch {
	case found == nil:
		return kdc.Ticket{}, &gss.Error{
			Major: gss.ErrNoCred,
			Minor: minorCacheMatchNotFound,
			Mech:  gss.MechKrb5,
			//lint:ignore ST1005 MIT's words
			Err:  fmt.Errorf("Matching credential not found (cache: %s has no ticket for the service and no ticket-granting ticket)", c.cache.Name()),
			Hint: hintKinit,
		}
	case !found.EndTime.After(now):
		e := protocolError(gss.ErrCredentialsExpired, kmsg.APErrTktExpired,
			fmt.Errorf("the ticket-granting ticket of %s in %s ended at %s", c.client, c.cache.Name(), found.EndTime.UTC().Format(time.RFC3339)))
		e.Hint = "kinit again, for a longer time with -l, or so that it can be renewed with -r"
		if c.private {
			e.Hint = "the credential lives in this program's memory alone: acquire it anew"
		}
		return kdc.Ticket{}, e
	}
	t := kdcTicket(*found)
	t.Offset = content.TimeOffset
	return t, nil
}

// askKDC gets a ticket for the first of servers that the KDC knows, and says
// which that was.
func (i *Initiator) askKDC(ctx context.Context, tgt kdc.Ticket, servers []kdc.Principal) (ticket kdc.Ticket, asked kdc.Principal, err error) {
	for _, asked = range servers {
		if ticket, err = i.kdc.TGS(ctx, tgt, asked, kdc.TGSOptions{}); err == nil {
			return ticket, asked, nil
		}
		if !errors.Is(err, &kdc.Error{Code: int32(kmsg.KDCErrSPrincipalUnknown)}) {
			break
		}
	}
	return kdc.Ticket{}, kdc.Principal{}, i.cred.profile.kdcError(err)
}

// newKDCClient makes a KDC client that asks for the enctypes that krb5.conf
// wants, of those spoken here.
func newKDCClient(profile *Profile, now func() time.Time) (*kdc.Client, error) {
	tkt, err := permittedEnctypes(profile.settings.DefaultTktEnctypes)
	if err != nil {
		return nil, err
	}
	tgs, err := permittedEnctypes(profile.settings.DefaultTGSEnctypes)
	if err != nil {
		return nil, err
	}
	return &kdc.Client{Profile: profile.conf, TktEnctypes: etypeNumbers(tkt), TGSEnctypes: etypeNumbers(tgs), Now: now}, nil
}

func etypeNumbers(ids []etype.ID) []int32 {
	numbers := make([]int32, len(ids))
	for i, id := range ids {
		numbers[i] = int32(id)
	}
	return numbers
}

// kdcError gives an error of package kdc its place in the GSS-API.
func kdcError(err error) error {
	e := &gss.Error{Major: gss.ErrFailure, Mech: gss.MechKrb5, Err: err}
	if m, ok := errors.AsType[interface {
		error
		Minor() int32
	}](err); ok {
		e.Minor = m.Minor()
	}
	if _, ok := errors.AsType[*kdc.NoKDCError](err); ok {
		e.Hint = "give the realm's KDC in krb5.conf's [realms], or let DNS name it (dns_lookup_kdc)"
	} else if _, ok := errors.AsType[*kdc.UnreachableError](err); ok {
		e.Hint = "is the KDC running, and does no firewall stop port 88, UDP and TCP?"
	} else if _, ok := errors.AsType[*kdc.PasswordError](err); ok {
		e.Hint = hints[kmsg.KDCErrPreauthFailed]
	} else if ke, ok := errors.AsType[*kdc.Error](err); ok {
		e.Hint = hints[kmsg.ErrorCode(ke.Code)]
	}
	return e
}

// kdcError is the function of that name, with a word about a profile of no file.
func (p *Profile) kdcError(err error) error {
	e := kdcError(err).(*gss.Error)
	if _, ok := errors.AsType[*kdc.NoKDCError](err); ok {
		e.Hint = p.unconfigured(e.Hint)
	}
	return e
}

// cacheEntry is a ticket as the cache holds it.
func cacheEntry(t kdc.Ticket) ccache.Credential {
	c := ccache.Credential{
		Client:    ccachePrincipal(t.Client),
		Server:    ccachePrincipal(t.Server),
		KeyType:   t.Key.Etype,
		Key:       t.Key.Value,
		AuthTime:  t.AuthTime,
		StartTime: t.StartTime,
		EndTime:   t.EndTime,
		RenewTill: t.RenewTill,
		Flags:     t.Flags,
		Ticket:    t.Ticket,
	}
	for _, a := range t.Addresses {
		c.Addresses = append(c.Addresses, ccache.TypedData{Type: a.Type, Data: a.Data})
	}
	return c
}

// kdcTicket is the reverse of cacheEntry.
func kdcTicket(c ccache.Credential) kdc.Ticket {
	t := kdc.Ticket{
		Client:    kdcPrincipal(c.Client),
		Server:    kdcPrincipal(c.Server),
		Key:       kdc.Key{Etype: c.KeyType, Value: c.Key},
		Ticket:    c.Ticket,
		Flags:     c.Flags,
		AuthTime:  c.AuthTime,
		StartTime: c.StartTime,
		EndTime:   c.EndTime,
		RenewTill: c.RenewTill,
	}
	for _, a := range c.Addresses {
		t.Addresses = append(t.Addresses, kdc.Address{Type: a.Type, Data: a.Data})
	}
	return t
}

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
)

// serviceTicket finds the credential's ticket for the target, in its cache or
// by asking the KDC, in which case the cache gets it too. The second result is
// what to add to the local clock.
func (i *Initiator) serviceTicket(ctx context.Context, target gss.Name) (*ccache.Credential, time.Duration, error) {
	c := i.cred
	servers, err := targetPrincipals(ctx, c.profile, target)
	if err != nil {
		return nil, 0, err
	}
	content, err := c.cache.store.Load()
	if err != nil {
		return nil, 0, cacheError(err)
	}
	now := i.now().Add(content.TimeOffset)
	for _, server := range servers {
		if i.fresh {
			break
		}
		want := ccachePrincipal(server)
		if want.Realm == "" {
			want.Realm = c.client.Realm
		}
		if found, ok := content.Find(c.client, want, i.etypes, now); ok {
			return &found, content.TimeOffset, nil
		}
	}
	tgt, err := i.ticketGrantingTicket(content, now)
	if err != nil {
		return nil, 0, err
	}
	ticket, err := i.askKDC(ctx, tgt, servers)
	if err != nil {
		return nil, 0, err
	}
	entry := cacheEntry(ticket)
	if !i.fresh {
		// A cache that cannot be written to still served: the ticket is good.
		_ = c.cache.store.Append(entry)
	}
	return &entry, content.TimeOffset, nil
}

// ticketGrantingTicket finds the ticket to ask the KDC with.
func (i *Initiator) ticketGrantingTicket(content *ccache.Cache, now time.Time) (kdc.Ticket, error) {
	c := i.cred
	tgs := ticketGranting(c.client.Realm)
	if found, ok := content.Find(c.client, tgs, nil, now); ok {
		t := kdcTicket(found)
		t.Offset = content.TimeOffset
		return t, nil
	}
	for k := range content.Credentials {
		if content.Credentials[k].Server.Equal(tgs) {
			return kdc.Ticket{}, protocolError(gss.ErrCredentialsExpired, kmsg.APErrTktExpired,
				fmt.Errorf("the ticket-granting ticket in %s ended at %s", c.cache.Name(), content.Credentials[k].EndTime.UTC().Format(time.RFC3339)))
		}
	}
	return kdc.Ticket{}, &gss.Error{
		Major: gss.ErrNoCred,
		Minor: minorCacheMatchNotFound,
		Mech:  gss.MechKrb5,
		Err:   fmt.Errorf("Matching credential not found (cache: %s has no ticket for the service and no ticket-granting ticket)", c.cache.Name()),
		Hint:  hintKinit,
	}
}

// askKDC gets a ticket for the first of servers that the KDC knows.
func (i *Initiator) askKDC(ctx context.Context, tgt kdc.Ticket, servers []kdc.Principal) (kdc.Ticket, error) {
	var err error
	for _, server := range servers {
		var ticket kdc.Ticket
		if ticket, err = i.kdc.TGS(ctx, tgt, server, kdc.TGSOptions{}); err == nil {
			return ticket, nil
		}
		if !errors.Is(err, &kdc.Error{Code: int32(kmsg.KDCErrSPrincipalUnknown)}) {
			break
		}
	}
	return kdc.Ticket{}, kdcError(err)
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

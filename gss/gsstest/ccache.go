package gsstest

import (
	"errors"
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
)

// CCache returns a credential cache, in MIT's FILE format, version 4, with a
// freshly minted ticket-granting ticket for a user and a ticket for each of the
// services. It fails as [Realm.MintTicket] does.
func (r *Realm) CCache(user string, services ...string) ([]byte, error) {
	var tickets []*Ticket
	for _, service := range append([]string{"krbtgt/" + quoteComponent(r.config.Name)}, services...) {
		ticket, err := r.MintTicket(TicketOptions{Client: user, Service: service})
		if err != nil {
			return nil, err
		}
		tickets = append(tickets, ticket)
	}
	return MarshalCCache(tickets...)
}

// MarshalCCache writes tickets, at least one, as a credential cache in MIT's
// FILE format, version 4. The first one's client is the default principal.
func MarshalCCache(tickets ...*Ticket) ([]byte, error) {
	if len(tickets) == 0 {
		return nil, errors.New("gsstest: credential cache without a ticket")
	}
	b := cryptobyte.NewBuilder([]byte{5, 4})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(1) // offset of the KDC's clock
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint64(0) })
	})
	addCCachePrincipal(b, tickets[0].client, tickets[0].crealm)
	for _, ticket := range tickets {
		addCCacheCredential(b, ticket)
	}
	out, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("gsstest: credential cache: %w", err)
	}
	return out, nil
}

func addCCacheData(b *cryptobyte.Builder, data []byte) {
	b.AddUint32LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(data) })
}

func addCCachePrincipal(b *cryptobyte.Builder, name types.PrincipalName, realm string) {
	b.AddUint32(uint32(name.NameType))
	b.AddUint32(uint32(len(name.NameString)))
	addCCacheData(b, []byte(realm))
	for _, component := range name.NameString {
		addCCacheData(b, []byte(component))
	}
}

func addCCacheCredential(b *cryptobyte.Builder, t *Ticket) {
	addCCachePrincipal(b, t.client, t.crealm)
	addCCachePrincipal(b, t.service, t.srealm)
	b.AddUint16(uint16(t.SessionKey.Enctype))
	addCCacheData(b, t.SessionKey.Value)
	for _, at := range []time.Time{t.AuthTime, t.StartTime, t.EndTime, t.RenewTill} {
		if at.IsZero() {
			b.AddUint32(0)
		} else {
			b.AddUint32(uint32(at.Unix()))
		}
	}
	b.AddUint8(0) // is_skey
	b.AddUint32(uint32(t.Flags))
	b.AddUint32(uint32(len(t.addresses)))
	for _, address := range t.addresses {
		b.AddUint16(uint16(address.AddrType))
		addCCacheData(b, address.Address)
	}
	b.AddUint32(0) // authorization data
	addCCacheData(b, t.DER)
	addCCacheData(b, nil) // second ticket
}

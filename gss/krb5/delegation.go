package krb5

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kdc"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// usageKRBCred is the key usage of a KRB-CRED's encrypted part (RFC 4120,
// section 7.5.1).
const usageKRBCred = 14

// delegate gets a forwarded ticket-granting ticket and makes the KRB-CRED that
// hands it over, sealed by the service ticket's session key (RFC 4121, section
// 4.1.1). It gives nil where delegation was not asked for, and where there is no
// ticket to be had that may be forwarded: RFC 2743 has the context stand without
// it then, and shows that in its flags.
func (i *Initiator) delegate(ctx context.Context, flags gss.Flags, ticket *ccache.Credential, session *etype.Profile) ([]byte, error) {
	wanted := flags&gss.Delegation != 0
	if flags&gss.DelegationPolicy != 0 && ticket.Flags&kmsg.TicketOKAsDelegate != 0 {
		wanted = true
	}
	if !wanted {
		return nil, nil
	}
	content, err := i.cred.cache.store.Load(ctx)
	if err != nil {
		return nil, nil
	}
	now := i.now().Add(content.TimeOffset)
	tgt, err := i.ticketGrantingTicket(content, now)
	if err != nil || tgt.Flags&kmsg.TicketForwardable == 0 {
		return nil, nil
	}
	forwarded, err := i.kdc.TGS(ctx, tgt, kdcPrincipal(ticketGranting(i.cred.client.Realm)), kdc.TGSOptions{Forwarded: true})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, kdcError(err) // the caller has given up, on the context too
	case err != nil:
		return nil, nil
	}
	der, err := i.krbCred(&forwarded, now, session, ticket.Key)
	if err != nil {
		return nil, err
	}
	if len(der) > math.MaxUint16 {
		return nil, failure(errors.New("the forwarded ticket is too large for the checksum's 16-bit length"))
	}
	return der, nil
}

// krbCred makes the KRB-CRED of one ticket.
func (i *Initiator) krbCred(t *kdc.Ticket, now time.Time, session *etype.Profile, key []byte) ([]byte, error) {
	info := kmsg.KRBCredInfo{
		Key:       kmsg.EncryptionKey{Type: t.Key.Etype, Value: t.Key.Value},
		PRealm:    t.Client.Realm,
		PName:     &kmsg.PrincipalName{Type: t.Client.Type, Components: t.Client.Components},
		Flags:     t.Flags,
		AuthTime:  t.AuthTime,
		StartTime: t.StartTime,
		EndTime:   t.EndTime,
		RenewTill: t.RenewTill,
		SRealm:    t.Server.Realm,
		SName:     &kmsg.PrincipalName{Type: t.Server.Type, Components: t.Server.Components},
	}
	for _, a := range t.Addresses {
		info.CAddr = append(info.CAddr, kmsg.HostAddress{Type: a.Type, Address: a.Data})
	}
	now = now.UTC()
	sealed, err := i.sealKRBCredPart(&kmsg.EncKRBCredPart{
		TicketInfo: []kmsg.KRBCredInfo{info},
		Timestamp:  now.Truncate(time.Second),
		Usec:       now.Nanosecond() / 1000,
	}, session, key)
	if err != nil {
		return nil, err
	}
	msg := kmsg.KRBCred{
		Tickets: [][]byte{t.Ticket},
		EncPart: kmsg.EncryptedData{Etype: int32(session.ID()), Cipher: sealed},
	}
	der, err := msg.Append(nil)
	if err != nil {
		return nil, failure(err)
	}
	return der, nil
}

func (i *Initiator) sealKRBCredPart(part *kmsg.EncKRBCredPart, session *etype.Profile, key []byte) ([]byte, error) {
	plain, err := part.Append(nil)
	if err != nil {
		return nil, failure(err)
	}
	defer clear(plain)
	cipher, err := session.NewCipher(key, usageKRBCred)
	if err != nil {
		return nil, failure(err)
	}
	sealed, err := cipher.Seal(nil, plain, i.random)
	if err != nil {
		return nil, failure(err)
	}
	return sealed, nil
}

// takeDelegated opens the credential that the initiator delegated.
func (h *acceptHandshake) takeDelegated() error {
	if h.delegation == nil {
		return nil
	}
	cred, err := h.openKRBCred()
	if err != nil {
		return err
	}
	h.delegated = cred
	h.flags |= gss.Delegation
	return nil
}

func (h *acceptHandshake) openKRBCred() (*Credential, error) {
	msg, err := kmsg.ParseKRBCred(h.delegation)
	if err != nil {
		return nil, defective(err)
	}
	plain, err := h.decryptKRBCred(&msg.EncPart)
	if err != nil {
		return nil, err
	}
	part, err := kmsg.ParseEncKRBCredPart(plain)
	if err != nil {
		return nil, defective(err)
	}
	if len(part.TicketInfo) == 0 || len(part.TicketInfo) != len(msg.Tickets) {
		return nil, defective(fmt.Errorf("the delegated credential has %d tickets and tells of %d", len(msg.Tickets), len(part.TicketInfo)))
	}
	content := &ccache.Cache{}
	for i, info := range part.TicketInfo {
		if info.PName == nil || info.SName == nil || len(info.PName.Components) == 0 {
			return nil, defective(errors.New("the delegated credential does not say whose it is"))
		}
		entry := ccache.Credential{
			Client:    ccache.Principal{Realm: info.PRealm, Components: info.PName.Components, NameType: info.PName.Type},
			Server:    ccache.Principal{Realm: info.SRealm, Components: info.SName.Components, NameType: info.SName.Type},
			KeyType:   info.Key.Type,
			Key:       info.Key.Value,
			AuthTime:  info.AuthTime,
			StartTime: info.StartTime,
			EndTime:   info.EndTime,
			RenewTill: info.RenewTill,
			Flags:     info.Flags,
			Ticket:    msg.Tickets[i],
		}
		for _, a := range info.CAddr {
			entry.Addresses = append(entry.Addresses, ccache.TypedData{Type: a.Type, Data: a.Address})
		}
		content.Credentials = append(content.Credentials, entry)
	}
	content.Default = content.Credentials[0].Client
	return newPrivateCredential(h.acceptor.cred.profile, content)
}

// decryptKRBCred opens the encrypted part. RFC 4121 has it under the session
// key; other implementations use the authenticator's subkey or leave it to the
// authenticator's own encryption.
func (h *acceptHandshake) decryptKRBCred(enc *kmsg.EncryptedData) ([]byte, error) {
	if enc.Etype == 0 {
		return enc.Cipher, nil
	}
	keys := []kmsg.EncryptionKey{h.ticket.Key}
	if h.auth.SubKey != nil {
		keys = append(keys, *h.auth.SubKey)
	}
	for _, key := range keys {
		if key.Type != enc.Etype {
			continue
		}
		profile, err := etype.Lookup(etype.ID(key.Type))
		if err != nil {
			return nil, failure(err)
		}
		cipher, err := profile.NewCipher(key.Value, usageKRBCred)
		if err != nil {
			return nil, defective(err)
		}
		if plain, err := cipher.Open(nil, enc.Cipher); err == nil {
			return plain, nil
		}
	}
	return nil, protocolError(gss.ErrFailure, kmsg.APErrBadIntegrity, errors.New("the delegated credential is not sealed by a key of this context"))
}

// newPrivateCredential is a credential to initiate with, its tickets in memory.
func newPrivateCredential(profile *Profile, content *ccache.Cache) (*Credential, error) {
	c := &Credential{usage: gss.InitiateOnly, profile: profile, client: content.Default, cache: NewMemoryCache(), private: true}
	if err := c.cache.store.Replace(context.Background(), content); err != nil {
		return nil, cacheError(err)
	}
	return c, nil
}

// Store puts the credential's tickets into a cache, replacing what is there
// (GSS_Store_cred): a delegated credential, for programs that take theirs from
// KRB5CCNAME.
func (c *Credential) Store(to *Cache) error {
	if !c.usage.CanInitiate() {
		return &gss.Error{Major: gss.ErrNoCred, Mech: gss.MechKrb5, Err: errCredentialUsage}
	}
	content, err := c.cache.store.Load(context.Background())
	if err != nil {
		return cacheError(err)
	}
	if err := to.store.Replace(context.Background(), content); err != nil {
		return cacheError(err)
	}
	return nil
}

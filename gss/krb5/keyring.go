package krb5

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/keytab"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// usageTicket is the key usage of a ticket's encrypted part (RFC 4120, 7.5.1).
const usageTicket = 2

// keyring is the keys of a credential, ready for decrypting tickets: derived
// once for each reading of the keytab.
type keyring struct {
	mu   sync.Mutex
	from *keytab.Keytab
	keys []*serviceKey
}

// serviceKey is one entry of the keytab.
type serviceKey struct {
	name  kmsg.PrincipalName
	realm string
	text  gss.Name // both, as Inquire gives them
	kvno  uint32   // 0: not known
	etype etype.ID
	key   []byte
	ready atomic.Pointer[etype.Cipher]
}

func (k *serviceKey) cipher() (*etype.Cipher, error) {
	if c := k.ready.Load(); c != nil {
		return c, nil
	}
	profile, err := etype.Lookup(k.etype)
	if err != nil {
		return nil, failure(err)
	}
	return derive(&k.ready, profile.NewCipher, k.key, usageTicket)
}

// fits applies MIT's rule for key versions: equal, or equal in the low eight
// bits where the keytab's writer kept no more, or not known to either side.
func (k *serviceKey) fits(ticket *kmsg.EncryptedData) bool {
	if int32(k.etype) != ticket.Etype {
		return false
	}
	v := ticket.Kvno
	return !ticket.HasKvno || v == 0 || k.kvno == 0 || k.kvno == v || k.kvno < 256 && k.kvno == v&0xff
}

// current gives the keys that the credential's name allows, from the keytab's
// present content. There being none is an error. ctx bounds the wait for a keytab
// that is locked.
func (r *keyring) current(ctx context.Context, cred *Credential) ([]*serviceKey, error) {
	kt, err := cred.keytab.current(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if kt == r.from {
		return r.keys, nil
	}
	var keys []*serviceKey
	usable := false
	for _, e := range kt.Entries {
		if !cred.accepts(e.Realm, e.Components) {
			continue
		}
		name := kmsg.PrincipalName{Type: e.NameType, Components: e.Components}
		keys = append(keys, &serviceKey{
			name:  name,
			realm: e.Realm,
			text:  principalName(name, e.Realm),
			kvno:  e.Kvno,
			etype: etype.ID(e.Etype),
			key:   e.Key,
		})
		if _, err := etype.Lookup(etype.ID(e.Etype)); err == nil {
			usable = true
		}
	}
	if !usable {
		return nil, noKeyError(cred, kt, keys)
	}
	r.from, r.keys = kt, keys
	return keys, nil
}

// noKeyError says which keytab has no usable key for whom, and what is there.
func noKeyError(cred *Credential, kt *keytab.Keytab, refused []*serviceKey) error {
	if len(refused) > 0 {
		var unsupported error
		for _, k := range refused {
			_, unsupported = etype.Lookup(k.etype)
		}
		return &gss.Error{
			Major: gss.ErrNoCred,
			Minor: minorKeytabNotFound,
			Mech:  gss.MechKrb5,
			Err:   fmt.Errorf("no usable key in keytab %s for %s: %w", cred.keytab.name, cred.acceptorText(), unsupported),
			Hint:  hints[kmsg.KDCErrEtypeNoSupp],
		}
	}
	var there []string
	for _, k := range kt.Summary() {
		there = append(there, k.String())
	}
	have := "the keytab is empty"
	if len(there) > 0 {
		have = "its keys are " + strings.Join(there, "; ")
	}
	return &gss.Error{
		Major: gss.ErrNoCred,
		Minor: minorKeytabNotFound,
		Mech:  gss.MechKrb5,
		Err:   fmt.Errorf("No key table entry found matching %s in keytab %s (%s)", cred.acceptorText(), cred.keytab.name, have),
		Hint:  cred.profile.unconfigured(cred.service.ktadd(strings.TrimPrefix(cred.keytab.name, "FILE:"))),
	}
}

// decryptTicket finds the key that opens the ticket and gives the ticket's
// content, decrypted in room. The service name in the ticket is not protected, so it decides
// nothing: it only serves to say why no key fits.
func (a *Acceptor) decryptTicket(room *secretRoom, ticket *kmsg.Ticket) ([]byte, *serviceKey, error) {
	if err := a.permit(ticket.EncPart.Etype, "ticket"); err != nil {
		return nil, nil, err
	}
	keys, err := a.keys.current(context.Background(), a.cred)
	if err != nil {
		return nil, nil, err
	}
	forUs := func(k *serviceKey) bool { return k.realm == ticket.Realm && k.name.Equal(ticket.SName) }
	var tried, triedOwn bool
	for _, k := range keys {
		if !k.fits(&ticket.EncPart) {
			continue
		}
		cipher, err := k.cipher()
		if err != nil {
			return nil, nil, err
		}
		tried = true
		triedOwn = triedOwn || forUs(k)
		plain, err := room.add(func(dst []byte) ([]byte, error) { return cipher.Open(dst, ticket.EncPart.Cipher) })
		if err == nil {
			return plain, k, nil
		}
	}
	return nil, nil, whyNoKey(a, ticket, slices.ContainsFunc(keys, forUs), tried, triedOwn)
}

// whyNoKey tells apart the ways in which no key opens a ticket.
func whyNoKey(a *Acceptor, ticket *kmsg.Ticket, known, tried, triedOwn bool) error {
	service := claimedName(ticket.SName, ticket.Realm)
	id := etype.ID(ticket.EncPart.Etype)
	where := a.cred.keytab.name
	switch {
	case triedOwn:
		return protocolError(gss.ErrFailure, kmsg.APErrBadIntegrity,
			fmt.Errorf("cannot decrypt the ticket for %s (kvno %d, %s) with its key in keytab %s", service, ticket.EncPart.Kvno, id, where))
	case !known || tried:
		return protocolError(gss.ErrFailure, kmsg.APErrNotUs,
			fmt.Errorf("the ticket is for %s, and keytab %s has no key for it among those of %s", service, where, a.cred.acceptorText()))
	default:
		return protocolError(gss.ErrFailure, kmsg.APErrBadKeyVer,
			fmt.Errorf("the ticket for %s needs kvno %d, %s, which is not found in keytab %s", service, ticket.EncPart.Kvno, id, where))
	}
}

var errNotPermitted = errors.New("Encryption type not permitted")

// permit refuses enctypes that are not spoken here or not permitted by
// krb5.conf, by name.
func (a *Acceptor) permit(id int32, what string) error {
	if _, err := etype.Lookup(etype.ID(id)); err != nil {
		return protocolError(gss.ErrFailure, kmsg.KDCErrEtypeNoSupp, fmt.Errorf("%s: %w", what, err))
	}
	if !slices.Contains(a.permitted, etype.ID(id)) {
		return protocolError(gss.ErrFailure, kmsg.KDCErrEtypeNoSupp,
			fmt.Errorf("%s: %w by permitted_enctypes: %s", what, errNotPermitted, etype.ID(id)))
	}
	return nil
}

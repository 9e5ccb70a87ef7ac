package krb5

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kdc"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// InitiatorConfig says how to initiate contexts. The zero value does it as the
// owner of the default credential cache.
type InitiatorConfig struct {
	Credential *Credential // nil acquires the default one

	Time func() time.Time // nil means time.Now
	Rand io.Reader        // nil means crypto/rand; must be safe for concurrent use
}

// An Initiator initiates contexts with the tickets of a credential. It is a
// gss.Initiator and safe for concurrent use.
type Initiator struct {
	cred   *Credential
	etypes []int32 // permitted, most wanted first
	kdc    *kdc.Client
	clock  func() time.Time // nil: the system's
	random io.Reader

	// fresh has every context ask the KDC for its service ticket.
	fresh bool

	// servers are what the target of the next context stands for; nil: that is
	// still to be found.
	servers []kdc.Principal

	// assertBindings says in every context that its bindings are all there are
	// (client_aware_channel_bindings in krb5.conf).
	assertBindings bool
}

func (i *Initiator) now() time.Time {
	if i.clock != nil {
		return i.clock()
	}
	return time.Now()
}

// NewInitiator makes an initiator. It does no network I/O unless a client keytab
// is to get the default credential's tickets: see [AcquireCredential] to bound
// that.
func NewInitiator(cfg InitiatorConfig) (*Initiator, error) {
	cred := cfg.Credential
	if cred == nil {
		var err error
		cred, err = AcquireCredential(context.Background(), CredentialConfig{Usage: gss.InitiateOnly})
		if err != nil {
			return nil, err
		}
	}
	if !cred.usage.CanInitiate() {
		return nil, &gss.Error{Major: gss.ErrNoCred, Mech: gss.MechKrb5, Err: errCredentialUsage}
	}
	i := &Initiator{cred: cred, clock: cfg.Time, random: cfg.Rand}
	i.assertBindings = cred.profile.settings.ClientAwareChannelBindings
	if i.random == nil {
		i.random = systemRandom{}
	}
	permitted, err := permittedEnctypes(cred.profile.settings.PermittedEnctypes)
	if err != nil {
		return nil, err
	}
	i.etypes = etypeNumbers(permitted)
	if i.kdc, err = newKDCClient(cred.profile, i.now); err != nil {
		return nil, err
	}
	return i, nil
}

// Mechanism implements gss.Initiator.
func (i *Initiator) Mechanism() gss.OID { return gss.MechKrb5 }

// offeredFlags are the services that a request may ask for.
const offeredFlags = gss.Delegation | gss.DelegationPolicy | acceptedFlags | alwaysFlags

// Initiate implements gss.Initiator: it gets the service ticket, from the
// cache or from the KDC.
func (i *Initiator) Initiate(ctx context.Context, req gss.Request) (gss.Context, error) {
	flags, err := offered(req.Flags)
	if err != nil {
		return nil, err
	}
	h, err := i.prepare(ctx, req, flags)
	if err != nil {
		return nil, err
	}
	h.mech = gss.MechKrb5
	return newContext(h, i.random, i.clock, 0), nil
}

// offered gives the flags to ask for, or says which are not to be had.
func offered(flags gss.Flags) (gss.Flags, error) {
	if flags == 0 {
		flags = gss.DefaultFlags
	}
	if missing := flags &^ offeredFlags; missing != 0 {
		return 0, &gss.Error{Major: gss.ErrUnavailable, Mech: gss.MechKrb5, Err: fmt.Errorf("%s is not offered", missing)}
	}
	return flags, nil
}

// prepare gets all tickets that a context takes.
func (i *Initiator) prepare(ctx context.Context, req gss.Request, flags gss.Flags) (*initiateHandshake, error) {
	ticket, offset, err := i.serviceTicket(ctx, req.Target)
	if err != nil {
		return nil, err
	}
	profile, err := etype.Lookup(etype.ID(ticket.KeyType))
	if err != nil {
		return nil, protocolError(gss.ErrFailure, kmsg.KDCErrEtypeNoSupp, err)
	}
	if !slices.Contains(i.etypes, ticket.KeyType) {
		return nil, protocolError(gss.ErrFailure, kmsg.KDCErrEtypeNoSupp, fmt.Errorf("session key: %w: %s", errNotPermitted, profile.ID()))
	}
	h := &initiateHandshake{
		initiator: i,
		ticket:    ticket,
		session:   profile,
		names:     ticketInfo(ticket, offset),
		offset:    offset,
		bindings:  req.Bindings,
		flags:     flags&acceptedFlags | alwaysFlags,
	}
	if h.flags&gss.DCEStyle != 0 {
		h.flags |= gss.Mutual
	}
	if h.delegation, err = i.delegate(ctx, flags, ticket, profile); err != nil {
		return nil, err
	}
	if h.delegation != nil {
		h.flags |= gss.Delegation
	}
	return h, nil
}

package kdc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
	"github.com/countersign-go/countersign/gss/krb5/internal/krb5conf"
)

// TGSOptions is what to ask for in a TGS exchange.
type TGSOptions struct {
	// Forwarded asks for a ticket that another host can use: service is the
	// ticket-granting service then, and tgt must be forwardable.
	Forwarded bool
	// Renew asks for tgt itself with a new end time; service is not looked at.
	Renew bool
	// NoReferral refuses to be sent to another realm or name.
	NoReferral bool
	Addresses  []Address // for a forwarded ticket
}

var errNotTGT = errors.New("ticket is not a ticket-granting one")

// tgsFlags are the flags of a ticket-granting ticket that are asked for again in
// tickets got by it, as MIT's clients do.
const tgsFlags = FlagForwardable | FlagProxiable | FlagMayPostdate | FlagRenewable

// TGS gets a ticket for service by a ticket-granting ticket, RFC 4120 section
// 3.3.
//
// A service whose realm is another than that of tgt is reached through the
// ticket-granting services of [capaths], or else of the realms' hierarchy. A
// service whose realm is empty is asked for in the realm of tgt, whose KDC may
// refer to another (RFC 6806 section 8), and failing that in the realm that its
// host's domain suggests. The ticket's Server has the realm that it was found in.
//
// Errors are as for [Client.AS].
func (c *Client) TGS(ctx context.Context, tgt Ticket, service Principal, opts TGSOptions) (Ticket, error) {
	realm, ok := tgt.Server.isTGS()
	if !ok {
		return Ticket{}, errNotTGT
	}
	settings, err := c.Profile.Settings()
	if err != nil {
		return Ticket{}, err
	}
	x := &tgsExchange{c: c, settings: settings, opts: opts, etypes: supported(c.tgsEnctypes())}
	if len(x.etypes) == 0 {
		return Ticket{}, errNoEtype
	}
	if opts.Renew {
		return x.ask(ctx, tgt, tgt.Server.Realm, tgt.Server)
	}
	if service.Realm != "" {
		if tgt, err = x.walk(ctx, tgt, realm, service.Realm); err != nil {
			return Ticket{}, err
		}
		return x.refer(ctx, tgt, service)
	}
	service.Realm = realm
	t, err := x.refer(ctx, tgt, service)
	if err == nil || opts.NoReferral || len(service.Components) != 2 || !errors.Is(err, &Error{Code: errServerUnknown}) {
		return t, err
	}
	fallback := c.Profile.FallbackRealm(service.Components[1])
	if fallback == "" || fallback == realm {
		return Ticket{}, err
	}
	other, otherErr := x.walk(ctx, tgt, realm, fallback)
	if otherErr != nil {
		return Ticket{}, err // what the KDC said of the service counts for more
	}
	service.Realm = fallback
	return x.refer(ctx, other, service)
}

// tgsExchange is what the requests for one ticket have in common.
type tgsExchange struct {
	c        *Client
	settings krb5conf.Settings
	opts     TGSOptions
	etypes   []int32
}

// refer asks for the service, following referrals from realm to realm.
func (x *tgsExchange) refer(ctx context.Context, tgt Ticket, service Principal) (Ticket, error) {
	asked := service.Realm
	seen := []string{service.Realm}
	for range maxHops {
		t, err := x.ask(ctx, tgt, service.Realm, service)
		if err != nil {
			return Ticket{}, err
		}
		if t.Server.Equal(service) {
			return t, nil
		}
		next, ok := t.Server.isTGS()
		if !ok || slices.Contains(seen, next) {
			return Ticket{}, badReply(fmt.Sprintf("referral from %s to %v", service.Realm, t.Server), errReferral)
		}
		seen = append(seen, next)
		tgt, service.Realm = t, next
	}
	return Ticket{}, badReply(fmt.Sprintf("referrals from %s", asked), errReferral)
}

// ask makes one request of the KDC of realm. The reply is for the service, or a
// referral: for another ticket-granting service.
func (x *tgsExchange) ask(ctx context.Context, tgt Ticket, realm string, service Principal) (Ticket, error) {
	nonce, err := x.c.nonce()
	if err != nil {
		return Ticket{}, err
	}
	req := &body{
		options:   tgt.Flags & tgsFlags,
		client:    tgt.Client,
		service:   service,
		till:      tgt.EndTime,
		rtime:     tgt.RenewTill,
		nonce:     nonce,
		etypes:    x.etypes,
		addresses: x.opts.Addresses,
	}
	_, wantsTGS := service.isTGS()
	referral := !x.opts.NoReferral && !x.opts.Renew && !x.opts.Forwarded
	switch {
	case x.opts.Renew:
		req.options |= optRenew | FlagRenewable
	case x.opts.Forwarded && wantsTGS:
		req.options |= FlagForwarded
	case referral:
		req.options |= optCanonicalize
	}
	subkey, err := newKey(tgt.Key.Etype, x.c.rand())
	if err != nil {
		return Ticket{}, err
	}
	msg, err := encodeTGSReq(req, tgt, subkey, x.c.now().Add(tgt.Offset), x.c.rand())
	if err != nil {
		return Ticket{}, err
	}
	reply, err := x.c.Exchange(ctx, realm, msg)
	if err != nil {
		return Ticket{}, err
	}
	if isKRBError(reply) {
		e, err := parseError(reply, tgt.Client, service)
		if err != nil {
			return Ticket{}, err
		}
		return Ticket{}, e
	}
	rep, ticket, err := parseReply(reply, false)
	if err != nil {
		return Ticket{}, err
	}
	if got := principal(rep.CName, rep.CRealm); !got.Equal(tgt.Client) {
		return Ticket{}, badReply("it is for client "+got.String(), nil)
	}
	plain, err := decrypt(subkey, usageTGSRepSubkey, rep.EncPart)
	if err != nil {
		// Some KDCs use the session key although a subkey was sent, as MIT's
		// clients know.
		var sessionErr error
		if plain, sessionErr = decrypt(tgt.Key, usageTGSRepSession, rep.EncPart); sessionErr != nil {
			return Ticket{}, badReply("encrypted part", err)
		}
	}
	if x.opts.Renew {
		req.till = tgt.RenewTill
	}
	t, err := req.check(rep, ticket, plain, func(s Principal) bool {
		if s.Equal(service) {
			return true
		}
		_, isTGS := s.isTGS()
		return referral && isTGS && s.Realm == realm
	})
	if err != nil {
		return Ticket{}, err
	}
	t.Offset = tgt.Offset
	skew := t.StartTime.Sub(x.c.now().Add(tgt.Offset))
	if !x.settings.KDCTimeSync && skew > x.settings.ClockSkew {
		return Ticket{}, &ReplyError{Reason: "ticket starts later than now", minor: codeReplySkew}
	}
	return t, nil
}

// encodeTGSReq makes a TGS-REQ, whose PA-TGS-REQ is an AP-REQ for the
// ticket-granting ticket with a checksum of the body.
func encodeTGSReq(req *body, tgt Ticket, subkey Key, now time.Time, random io.Reader) ([]byte, error) {
	if err := checkKey(tgt.Key); err != nil {
		return nil, fmt.Errorf("session key of the ticket-granting ticket: %w", err)
	}
	m := messages.TGSReq{KDCReqFields: messages.KDCReqFields{PVNO: pvno, MsgType: msgTGSReq, ReqBody: req.encode()}}
	der, err := m.ReqBody.Marshal()
	if err != nil {
		return nil, err
	}
	sum, err := checksum(tgt.Key, usageTGSChecksum, der)
	if err != nil {
		return nil, err
	}
	n := principalName(tgt.Client)
	auth := kmsg.Authenticator{
		CRealm:   tgt.Client.Realm,
		CName:    kmsg.PrincipalName{Type: n.NameType, Components: n.NameString},
		Checksum: &sum,
		CUsec:    now.Nanosecond() / 1000,
		CTime:    now,
		SubKey:   &kmsg.EncryptionKey{Type: subkey.Etype, Value: subkey.Value},
	}
	plain, err := auth.Append(nil)
	if err != nil {
		return nil, err
	}
	sealed, err := encrypt(tgt.Key, usageAuthenticator, plain, random)
	clear(plain)
	if err != nil {
		return nil, err
	}
	ap := kmsg.APReq{RawTicket: tgt.Ticket, Authenticator: sealed}
	apReq, err := ap.Append(nil)
	if err != nil {
		return nil, err
	}
	m.PAData = types.PADataSequence{{PADataType: paTGSReq, PADataValue: apReq}}
	return m.Marshal()
}

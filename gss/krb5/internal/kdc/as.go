package kdc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/countersign-go/countersign/gss/krb5/internal/fence"
	"github.com/countersign-go/countersign/gss/krb5/internal/krb5conf"
)

// maxASRounds bounds the requests of one AS exchange: one without
// pre-authentication, one with it, one for the clock, and some referrals.
const maxASRounds = 10

// ASOptions is what to ask for in an AS exchange beyond the settings of the
// configuration.
type ASOptions struct {
	Service       Principal     // zero: the client realm's ticket-granting service
	Lifetime      time.Duration // zero: ticket_lifetime
	RenewLifetime time.Duration // zero: renew_lifetime
	Forwardable   bool          // as well as where forwardable = true
	Proxiable     bool          // as well as where proxiable = true
	Canonicalize  bool          // as well as where canonicalize = true; let the KDC correct names, RFC 6806
	Addresses     []Address     // to bind the ticket to; none is usual
}

// AS gets a ticket for client by its password or keys, RFC 4120 section 3.1, with
// encrypted-timestamp pre-authentication if the KDC asks for it. With
// Canonicalize, or a client name of type NTEnterprise, the ticket's
// Client is the name that the KDC gives, perhaps in another realm. What a KDC
// refuses is tried once more with the realm's primary_kdc if it has one, as a
// replica may not know a new password yet.
//
// Errors, besides those of [Client.Exchange], are [*PasswordError], [*Error]
// for what else the KDC says, and [*ReplyError] for a reply that does not
// match the request.
func (c *Client) AS(ctx context.Context, client Principal, secret Secret, opts ASOptions) (Ticket, error) {
	settings, err := c.Profile.Settings()
	if err != nil {
		return Ticket{}, err
	}
	x := &asExchange{c: c, settings: settings, client: client, opts: opts}
	if x.secret = secret.s; x.secret == nil {
		return Ticket{}, errNoSecret
	}
	x.etypes = supported(c.tktEnctypes())
	x.keyed = x.etypes
	if x.secret.keys != nil {
		// As MIT does: those of the keys first, the others for the session key.
		var others []int32
		x.keyed = nil
		for _, id := range x.etypes {
			if slices.ContainsFunc(x.secret.keys, func(k Key) bool { return k.Etype == id }) {
				x.keyed = append(x.keyed, id)
			} else {
				others = append(others, id)
			}
		}
		x.etypes = slices.Concat(x.keyed, others)
	}
	if len(x.keyed) == 0 {
		return Ticket{}, errNoEtype
	}
	x.canonicalize = opts.Canonicalize || settings.Canonicalize || client.Type == NTEnterprise
	again := *x
	t, err := x.run(ctx)
	primaries := c.Profile.PrimaryKDCs(client.Realm)
	asked := slices.ContainsFunc(primaries, func(p krb5conf.KDC) bool { return p.Addr == x.from })
	if err == nil || !fromKDC(err) || c.Relay != nil || len(primaries) == 0 || asked {
		return t, err
	}
	// A replica may not know a new password or principal yet. The primary is
	// never asked twice: a wrong password would count twice against a lockout.
	again.primary = true
	if t, againErr := again.run(ctx); againErr == nil || fromKDC(againErr) {
		return t, againErr
	}
	return Ticket{}, err
}

// fromKDC says whether a KDC gave the error, or a reply that could not be read.
func fromKDC(err error) bool {
	var e *Error
	var r *ReplyError
	return errors.As(err, &e) || errors.As(err, &r)
}

var (
	errNoSecret = errors.New("neither password nor keys given")
	errNoEtype  = errors.New("no supported encryption type to ask for: AES keys are needed, and permitted_enctypes must allow them")
	errLoop     = errors.New("KDC keeps asking for something else")
)

// asExchange is the state of one AS exchange.
type asExchange struct {
	c            *Client
	settings     krb5conf.Settings
	client       Principal
	secret       *secret
	opts         ASOptions
	etypes       []int32 // to ask for
	keyed        []int32 // those of them for which the secret gives a key
	canonicalize bool
	primary      bool   // ask the primary KDC
	from         string // the KDC that answered last

	offset time.Duration        // of the KDC's clock as an error reply showed it; not authenticated
	hints  types.PADataSequence // what the KDC said of the client's keys
	key    Key                  // the client's key once pre-authentication was asked for
	realms []string             // that referred the client on
	skewed bool                 // the clock was corrected already
}

func (x *asExchange) run(ctx context.Context) (Ticket, error) {
	for range maxASRounds {
		req, err := x.request()
		if err != nil {
			return Ticket{}, err
		}
		msg, err := x.encode(req)
		if err != nil {
			return Ticket{}, err
		}
		reply, from, err := x.c.exchange(ctx, req.service.Realm, msg, x.primary)
		if err != nil {
			return Ticket{}, err
		}
		x.from = from
		if !isKRBError(reply) {
			return x.accept(req, reply)
		}
		e, err := parseError(reply, x.client, req.service)
		if err != nil {
			return Ticket{}, err
		}
		if err := x.adapt(e); err != nil {
			return Ticket{}, err
		}
	}
	return Ticket{}, badReply("AS exchange", errLoop)
}

// now is the KDC's clock as far as it is known.
func (x *asExchange) now() time.Time { return x.c.now().Add(x.offset) }

func (x *asExchange) request() (*body, error) {
	nonce, err := x.c.nonce()
	if err != nil {
		return nil, err
	}
	b := &body{
		options:   optRenewableOK,
		client:    x.client,
		service:   x.opts.Service,
		nonce:     nonce,
		etypes:    x.etypes,
		addresses: x.opts.Addresses,
		asReq:     true,
	}
	if len(b.service.Components) == 0 {
		b.service = TGS(x.client.Realm, x.client.Realm)
	}
	b.service.Realm = x.client.Realm
	if x.canonicalize {
		b.options |= optCanonicalize
	}
	if x.opts.Forwardable || x.settings.Forwardable {
		b.options |= FlagForwardable
	}
	if x.opts.Proxiable || x.settings.Proxiable {
		b.options |= FlagProxiable
	}
	lifetime, renew := x.opts.Lifetime, x.opts.RenewLifetime
	if lifetime == 0 {
		lifetime = x.settings.TicketLifetime
	}
	if renew == 0 {
		renew = x.settings.RenewLifetime
	}
	now := x.now().Truncate(time.Second)
	b.till = now.Add(lifetime)
	if renew > 0 {
		b.options = b.options&^optRenewableOK | FlagRenewable
		b.rtime = now.Add(max(renew, lifetime))
	}
	return b, nil
}

func (x *asExchange) encode(b *body) ([]byte, error) {
	m := messages.ASReq{KDCReqFields: messages.KDCReqFields{PVNO: pvno, MsgType: msgASReq, ReqBody: b.encode()}}
	if x.key.Value != nil {
		pa, err := encTimestamp(x.key, x.now(), x.c.rand())
		if err != nil {
			return nil, err
		}
		m.PAData = types.PADataSequence{pa}
	}
	return m.Marshal()
}

// adapt changes the exchange's state by what the KDC's error asks for, or gives
// the error back if there is nothing more to try.
func (x *asExchange) adapt(e *Error) error {
	if x.settings.KDCTimeSync && !e.ServerTime.IsZero() {
		x.offset = e.ServerTime.Sub(x.c.now())
	}
	switch e.Code {
	case errPreauthNeeded:
		if x.key.Value != nil {
			return e
		}
		return x.preauthenticate(e)
	case errPreauthFailed:
		if x.secret.keys == nil {
			return &PasswordError{Client: x.client, Err: e}
		}
	case errSkew:
		if x.settings.KDCTimeSync && !x.skewed {
			x.skewed = true
			return nil
		}
	case errWrongRealm:
		// A client referral, RFC 6806 section 7.
		if !x.canonicalize || e.crealm == "" || e.crealm == x.client.Realm || slices.Contains(x.realms, e.crealm) {
			return e
		}
		x.realms = append(x.realms, x.client.Realm)
		x.client.Realm = e.crealm
		x.hints, x.key, x.skewed, x.offset = nil, Key{}, false, 0
		return nil
	}
	return e
}

// preauthenticate reads which key the KDC wants to see, RFC 4120 section 5.2.7.5.
func (x *asExchange) preauthenticate(e *Error) error {
	var hints types.PADataSequence
	if err := fence.Run(func() error { return hints.Unmarshal(e.data) }); err != nil {
		return badReply("METHOD-DATA", err)
	}
	if !hints.Contains(paEncTimestamp) && len(hints) > 0 {
		return &PreauthError{Err: e}
	}
	params, err := chooseParams(hints, x.keyed, x.defaultSalt())
	if err != nil {
		return err
	}
	x.key, err = x.secret.key(params)
	x.hints = hints
	return err
}

func (x *asExchange) defaultSalt() string {
	return x.client.Realm + strings.Join(x.client.Components, "")
}

// accept checks an AS-REP.
func (x *asExchange) accept(req *body, reply []byte) (Ticket, error) {
	rep, ticket, err := parseReply(reply, true)
	if err != nil {
		return Ticket{}, err
	}
	if got := principal(rep.CName, rep.CRealm); !got.Equal(x.client) && (!x.canonicalize || len(got.Components) == 0) {
		return Ticket{}, badReply("it is for client "+got.String(), nil)
	}
	id := rep.EncPart.EType
	if !slices.Contains(x.keyed, id) {
		return Ticket{}, badReply("encrypted part", errNoCommonEtype)
	}
	key := x.key
	if withInfo := types.PADataSequence(rep.PAData); key.Etype != id || withInfo.Contains(paEtypeInfo2) {
		if !withInfo.Contains(paEtypeInfo2) && !withInfo.Contains(paPWSalt) {
			withInfo = x.hints
		}
		params, err := chooseParams(withInfo, []int32{id}, x.defaultSalt())
		if err != nil {
			return Ticket{}, err
		}
		if key, err = x.secret.key(params); err != nil {
			return Ticket{}, err
		}
	}
	plain, err := decrypt(key, usageASRep, rep.EncPart)
	if err != nil {
		var e *Error
		if errors.As(err, &e) && x.secret.keys == nil {
			return Ticket{}, &PasswordError{Client: x.client, Err: err}
		}
		return Ticket{}, badReply("encrypted part", err)
	}
	t, err := req.check(rep, ticket, plain, func(s Principal) bool {
		if s.Equal(req.service) {
			return true
		}
		_, asked := req.service.isTGS()
		_, got := s.isTGS()
		return x.canonicalize && asked && got && s.Realm == rep.CRealm
	})
	if err != nil {
		return Ticket{}, err
	}
	return x.syncClock(t)
}

// syncClock learns the KDC's clock from the reply, or refuses one that is too
// far from ours.
func (x *asExchange) syncClock(t Ticket) (Ticket, error) {
	offset := t.AuthTime.Sub(x.c.now().Truncate(time.Second))
	if x.settings.KDCTimeSync {
		// Times come in whole seconds: one more or less says nothing.
		if offset.Abs() > time.Second {
			t.Offset = offset
		}
		return t, nil
	}
	if offset.Abs() > x.settings.ClockSkew {
		return Ticket{}, &ReplyError{Reason: "set the clock, or kdc_timesync", minor: codeReplySkew}
	}
	return t, nil
}

package krb5

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/kdc"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

const (
	// maxRelays bounds the requests that one initiator may have relayed. It is
	// what MIT's library has: sixteen for an AS exchange, ten for referrals.
	maxRelays = 26

	// maxRelayRequest bounds a request in octets. Tickets, which are most of
	// it, have at most 64 KiB where KDCs and services take them over the network.
	maxRelayRequest = 1 << 17

	// maxConversation bounds all proxy tokens of one context in octets, which
	// are kept until the initiator vouches for them.
	maxConversation = 1 << 20

	// maxRelaying bounds the requests under way to the KDCs of one realm. Each
	// takes a socket or a few for as long as the KDC is silent, and who asks for it
	// is nobody yet. A KDC that answers has them done in milliseconds.
	maxRelaying = 64

	// relayTimeout is how long a KDC may take where the caller does not say.
	relayTimeout = 15 * time.Second
)

// IAKERBAcceptorConfig says how to accept contexts by IAKERB.
type IAKERBAcceptorConfig struct {
	AcceptorConfig

	// Timeout bounds the wait for a KDC's reply to one request; zero means 15
	// seconds.
	Timeout time.Duration
}

// An IAKERBAcceptor accepts contexts of initiators that cannot reach a KDC: it
// asks the KDC for them, and then accepts as an [Acceptor] does
// (draft-ietf-kitten-iakerb). It is a gss.Acceptor and safe for concurrent use.
//
// It relays AS and TGS requests, to KDCs of the default realm and of the realms
// that krb5.conf describes in [realms], and to no others: an initiator is nobody
// yet when it asks. Not more than 64 requests to one realm are under way at a time;
// others wait, within Timeout. What it learns from the messages is what anybody
// between a client and its KDC learns.
//
// Its contexts do I/O in Step, unlike those of other mechanisms: the exchange
// with the KDC, bounded by the configuration's Timeout. Inquire and Delete of
// that context wait for it.
type IAKERBAcceptor struct {
	*Acceptor // accepts Kerberos' own contexts with the same keys and replay cache
	kdc       *kdc.Client
	timeout   time.Duration
	relaying  map[string]chan struct{} // by realm that is relayed to: a place for each request under way
}

// NewIAKERBAcceptor makes an acceptor. Errors are those of [NewAcceptor].
func NewIAKERBAcceptor(cfg IAKERBAcceptorConfig) (*IAKERBAcceptor, error) {
	if cfg.Timeout < 0 {
		return nil, failure(errors.New("negative Timeout"))
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = relayTimeout
	}
	inner, err := NewAcceptor(cfg.AcceptorConfig)
	if err != nil {
		return nil, err
	}
	client, err := newKDCClient(inner.cred.profile, inner.now)
	if err != nil {
		return nil, err
	}
	relaying := make(map[string]chan struct{})
	profile := inner.cred.profile
	for _, realm := range append(profile.conf.Sections("realms"), profile.DefaultRealm()) {
		relaying[realm] = make(chan struct{}, maxRelaying)
	}
	return &IAKERBAcceptor{Acceptor: inner, kdc: client, timeout: cfg.Timeout, relaying: relaying}, nil
}

// Mechanism implements gss.Acceptor.
func (a *IAKERBAcceptor) Mechanism() gss.OID { return gss.MechIAKERB }

// Accept implements gss.Acceptor.
func (a *IAKERBAcceptor) Accept(bindings *gss.ChannelBindings) (gss.Context, error) {
	return newContext(&iakerbAcceptHandshake{acceptor: a, bindings: bindings}, a.random, a.clock, a.skew), nil
}

// iakerbAcceptHandshake relays until the initiator shows a ticket.
type iakerbAcceptHandshake struct {
	acceptor     *IAKERBAcceptor
	bindings     *gss.ChannelBindings
	relays       int
	conversation []byte
	inner        *acceptHandshake
}

func (h *iakerbAcceptHandshake) step(token []byte) ([]byte, *protection, error) {
	if h.inner == nil {
		p, ok, err := parseProxyToken(token)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			reply, err := h.relay(token, p)
			return reply, nil, err
		}
		h.inner = &acceptHandshake{
			acceptor:     h.acceptor.Acceptor,
			bindings:     h.bindings,
			mech:         gss.MechIAKERB,
			conversation: h.conversation,
		}
	}
	return h.inner.step(token)
}

var (
	errRelays       = fmt.Errorf("the initiator sent more than %d requests for the KDC", maxRelays)
	errConversation = fmt.Errorf("the messages to the KDC and back exceed %d octets", maxConversation)
	errNotRequest   = errors.New("what is to be relayed to the KDC is neither an AS-REQ nor a TGS-REQ")
)

// relay answers one proxy token.
func (h *iakerbAcceptHandshake) relay(token []byte, p proxyToken) ([]byte, error) {
	if h.relays++; h.relays > maxRelays {
		return nil, defective(errRelays)
	}
	answer := proxyToken{realm: p.realm, utf8: p.utf8}
	var err error
	switch {
	case len(p.message) > 0:
		answer.message, err = h.askKDC(p)
	case p.realm == "":
		answer.realm = h.realm()
	default:
		err = defective(errNotRequest)
	}
	if err != nil {
		return nil, err
	}
	reply, err := answer.marshal(false)
	if err != nil {
		return nil, err
	}
	if len(h.conversation)+len(token)+len(reply) > maxConversation {
		return nil, defective(errConversation)
	}
	h.conversation = slices.Concat(h.conversation, token, reply)
	return reply, nil
}

// realm is what initiators that do not know theirs are told.
func (h *iakerbAcceptHandshake) realm() string {
	cred := h.acceptor.cred
	if keys, err := h.acceptor.keys.current(context.Background(), cred); err == nil && cred.profile.DefaultRealm() == "" {
		return keys[0].realm
	}
	return cred.profile.DefaultRealm()
}

// Tags of the messages that are relayed (RFC 4120, section 5.4.1).
const (
	tagASReq  = 0x60 | 10
	tagTGSReq = 0x60 | 12
)

// askKDC sends a request to a KDC of the realm and gives the reply, or where
// none is to be had the KRB-ERROR that says so.
func (h *iakerbAcceptHandshake) askKDC(p proxyToken) ([]byte, error) {
	if tag := p.message[0]; tag != tagASReq && tag != tagTGSReq || len(p.message) > maxRelayRequest {
		return nil, defective(errNotRequest)
	}
	places, known := h.acceptor.relaying[p.realm]
	if !known {
		return h.kdcError(p.realm, kmsg.APErrIAKERBKDCNotFound)
	}
	ctx, cancel := context.WithTimeout(context.Background(), h.acceptor.timeout)
	defer cancel()
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-ctx.Done():
		return h.kdcError(p.realm, kmsg.APErrIAKERBKDCNoResponse)
	}
	reply, err := h.acceptor.kdc.Exchange(ctx, p.realm, p.message)
	if _, ok := errors.AsType[*kdc.NoKDCError](err); ok {
		return h.kdcError(p.realm, kmsg.APErrIAKERBKDCNotFound)
	}
	if _, ok := errors.AsType[*kdc.UnreachableError](err); ok {
		return h.kdcError(p.realm, kmsg.APErrIAKERBKDCNoResponse)
	}
	if err != nil {
		return nil, kdcError(err)
	}
	return reply, nil
}

func (h *iakerbAcceptHandshake) kdcError(realm string, code kmsg.ErrorCode) ([]byte, error) {
	now := h.acceptor.now().UTC()
	e := kmsg.KRBError{
		STime:     now.Truncate(time.Second),
		SUsec:     now.Nanosecond() / 1000,
		ErrorCode: code,
		Realm:     realm,
		SName:     kmsg.PrincipalName{Type: kmsg.NTSrvInst, Components: []string{"krbtgt", realm}},
	}
	der, err := e.Append(nil)
	if err != nil {
		return nil, defective(err)
	}
	return der, nil
}

func (h *iakerbAcceptHandshake) clear() {
	if h.inner != nil {
		h.inner.clear()
	}
}

func (h *iakerbAcceptHandshake) inquire() gss.Info {
	if h.inner != nil {
		return h.inner.inquire()
	}
	return gss.Info{Mechanism: gss.MechIAKERB}
}

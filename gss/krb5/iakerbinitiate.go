package krb5

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/kdc"
)

// IAKERBInitiatorConfig says how to initiate contexts by IAKERB: with a name
// and a password, or with the tickets of a credential.
type IAKERBInitiatorConfig struct {
	// Name is the user's. Without a realm it is of the default realm, and where
	// krb5.conf names none, of the realm that the acceptor tells.
	Name     gss.Name
	Password string

	Credential *Credential // instead of Name and Password

	Profile *Profile // krb5.conf; nil: the Credential's, or the default files

	Time func() time.Time // nil means time.Now
	Rand io.Reader        // nil means crypto/rand; must be safe for concurrent use
}

// An IAKERBInitiator initiates contexts where no KDC can be reached but by way
// of the acceptor, which relays (draft-ietf-kitten-iakerb). The ticket-granting
// ticket that a password got is kept in memory for its next contexts. It is a
// gss.Initiator and safe for concurrent use.
//
// The acceptor sees what goes to the KDC and back, as anybody in the network
// might: it can try out passwords offline. With a name without a realm it also
// chooses the realm.
type IAKERBInitiator struct {
	inner    *Initiator
	password *kdc.Secret // nil: tickets are there
}

// NewIAKERBInitiator makes an initiator. It does no network I/O, and whether the
// password is right shows with the first context.
func NewIAKERBInitiator(cfg IAKERBInitiatorConfig) (*IAKERBInitiator, error) {
	i := &IAKERBInitiator{}
	cred := cfg.Credential
	switch {
	case cred != nil && (cfg.Password != "" || !cfg.Name.IsZero() || cfg.Profile != nil):
		return nil, failure(errors.New("both Credential and Name, Password or Profile are set"))
	case cred == nil && cfg.Password == "":
		return nil, &gss.Error{Major: gss.ErrNoCred, Mech: gss.MechIAKERB, Err: errors.New("neither Password nor Credential is set")}
	case cred == nil:
		profile := cfg.Profile
		if profile == nil {
			var err error
			if profile, err = ReadProfile(); err != nil {
				return nil, err
			}
		}
		client, err := readPrincipal(cfg.Name)
		if err != nil {
			return nil, err
		}
		if client.Realm == "" {
			client.Realm = profile.DefaultRealm()
		}
		cred = &Credential{usage: gss.InitiateOnly, profile: profile, client: client, cache: NewMemoryCache(), private: true}
		secret := kdc.Password(cfg.Password)
		i.password = &secret
	}
	var err error
	i.inner, err = NewInitiator(InitiatorConfig{Credential: cred, Time: cfg.Time, Rand: cfg.Rand})
	if err != nil {
		return nil, err
	}
	return i, nil
}

// Mechanism implements gss.Initiator.
func (i *IAKERBInitiator) Mechanism() gss.OID { return gss.MechIAKERB }

// Initiate implements gss.Initiator. ctx bounds the look-up of the target's host
// name and the reading of the credential's cache; KDCs are asked later, by the
// tokens of the context, when ctx may be over. A context that is
// given up before it stands must be deleted.
func (i *IAKERBInitiator) Initiate(ctx context.Context, req gss.Request) (gss.Context, error) {
	flags, err := offered(req.Flags)
	if err != nil {
		return nil, err
	}
	h := &iakerbInitiateHandshake{}
	ctx, detach := untilDetached(ctx)
	h.next, h.stop = iter.Pull(func(yield func(proxyToken) bool) {
		given := false // up, and yield not to be called any more
		h.inner, h.err = i.prepare(ctx, req, flags, func(request proxyToken) (proxyToken, error) {
			if given || !yield(request) {
				given = true
				return proxyToken{}, errDeleted
			}
			return h.answer, nil
		})
	})
	// As far as the first request: what is wrong with the names shows here.
	h.request, h.waiting = h.next()
	detach()
	if !h.waiting && h.err != nil {
		return nil, h.err
	}
	return newContext(h, i.inner.random, i.inner.clock, 0), nil
}

// untilDetached gives a context that ends with its parent, but no more once it is
// detached.
func untilDetached(parent context.Context) (ctx context.Context, detach func()) {
	ctx, end := context.WithCancelCause(context.WithoutCancel(parent))
	if parent.Err() != nil {
		end(context.Cause(parent))
	}
	stop := context.AfterFunc(parent, func() { end(context.Cause(parent)) })
	return ctx, func() { stop() }
}

// prepare gets the tickets that a context takes, of which those that are not
// there come by relay.
func (i *IAKERBInitiator) prepare(ctx context.Context, req gss.Request, flags gss.Flags, relay func(proxyToken) (proxyToken, error)) (*initiateHandshake, error) {
	// What this context learns of the client, such as its realm, is its own.
	cred, client, own := i.inner.cred.forContext(), *i.inner.kdc, *i.inner
	own.cred, own.kdc = cred, &client
	// Before the first request, up to which ctx is the caller's.
	var err error
	if own.servers, err = targetPrincipals(ctx, cred.profile, req.Target); err != nil {
		return nil, err
	}
	// MIT's acceptor, of release 1.20 at least, crashes when no request precedes
	// the AP-REQ. So there always is one: for the service ticket.
	own.fresh = true
	client.Relay = func(_ context.Context, realm string, request []byte) ([]byte, error) {
		answer, err := relay(proxyToken{realm: realm, message: request})
		return slices.Clone(answer.message), err // tickets alias it, and the token's octets are the caller's
	}
	if i.password != nil && !own.hasTicketGrantingTicket(ctx) {
		if cred.client.Realm == "" {
			answer, err := relay(proxyToken{})
			if err != nil {
				return nil, err
			}
			if cred.client.Realm = answer.realm; answer.realm == "" || len(answer.message) > 0 {
				return nil, defective(errors.New("the acceptor does not tell its realm"))
			}
		}
		if err := cred.initialTicket(ctx, &client, *i.password); err != nil {
			return nil, err
		}
	}
	h, err := own.prepare(ctx, req, flags)
	if err != nil {
		return nil, err
	}
	h.mech = gss.MechIAKERB
	return h, nil
}

// forContext is the credential with whatever may change for itself.
func (c *Credential) forContext() *Credential {
	return &Credential{
		usage:        c.usage,
		profile:      c.profile,
		client:       c.client,
		cache:        c.cache,
		clientKeytab: c.clientKeytab,
		keyed:        c.keyed,
		keyEtypes:    c.keyEtypes,
	}
}

// hasTicketGrantingTicket reports whether the cache has one for now, and makes
// its client the credential's.
func (i *Initiator) hasTicketGrantingTicket(ctx context.Context) bool {
	content, err := i.cred.cache.store.Current(ctx)
	if err != nil {
		return false
	}
	i.cred.client = content.Default
	_, err = i.ticketGrantingTicket(content, i.now().Add(content.TimeOffset))
	return err == nil
}

// iakerbInitiateHandshake gets its tickets by way of the acceptor, then shows
// them. Getting tickets is the same code as over the network; it runs as a
// coroutine that stops at each request until Step has the reply.
type iakerbInitiateHandshake struct {
	next    func() (proxyToken, bool) // the next request; false when done
	stop    func()
	request proxyToken // to be sent
	waiting bool       // for the answer to request, once it is sent
	answer  proxyToken // to the last request

	sent         int
	conversation []byte

	err   error // of getting tickets
	inner *initiateHandshake
	shown bool // the inner handshake has begun
}

var errNotProxy = errors.New("the acceptor answers with something else than what a KDC said")

func (h *iakerbInitiateHandshake) step(token []byte) ([]byte, *protection, error) {
	if h.shown {
		return h.inner.step(token)
	}
	return h.exchange(token)
}

func (h *iakerbInitiateHandshake) exchange(token []byte) ([]byte, *protection, error) {
	if h.sent > 0 {
		if err := h.readAnswer(token); err != nil {
			return nil, nil, err
		}
		h.request, h.waiting = h.next()
	} else if len(token) > 0 {
		return nil, nil, defective(errors.New("a token where the initiator speaks first"))
	}
	if h.waiting {
		reply, err := h.sendRequest()
		return reply, nil, err
	}
	if h.err != nil {
		return nil, nil, h.err
	}
	h.shown = true
	h.inner.conversation = h.conversation
	return h.inner.step(nil)
}

func (h *iakerbInitiateHandshake) sendRequest() ([]byte, error) {
	if h.sent++; h.sent > maxRelays {
		return nil, defective(fmt.Errorf("no tickets after %d requests", maxRelays))
	}
	h.request.cookie = h.answer.cookie
	token, err := h.request.marshal(h.sent == 1)
	if err != nil {
		return nil, err
	}
	return token, h.converse(token)
}

func (h *iakerbInitiateHandshake) readAnswer(token []byte) error {
	p, ok, err := parseProxyToken(token)
	if err != nil {
		return err
	}
	if !ok {
		return defective(errNotProxy)
	}
	h.answer = p
	return h.converse(token)
}

// converse keeps a token for the checksum that vouches for all.
func (h *iakerbInitiateHandshake) converse(token []byte) error {
	if len(h.conversation)+len(token) > maxConversation {
		return defective(errConversation)
	}
	h.conversation = slices.Concat(h.conversation, token)
	return nil
}

func (h *iakerbInitiateHandshake) clear() {
	h.stop()
	if h.inner != nil {
		h.inner.clear()
	}
}

func (h *iakerbInitiateHandshake) inquire() gss.Info {
	if h.inner != nil {
		return h.inner.inquire()
	}
	return gss.Info{Mechanism: gss.MechIAKERB, Local: true}
}

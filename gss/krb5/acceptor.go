package krb5

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// AcceptorConfig says how to accept contexts. The zero value accepts for any
// key of the default keytab.
type AcceptorConfig struct {
	// Service is the host-based service to accept for, "service@host", or
	// "service" for any host. It is a shorthand for a Credential with that name.
	Service string

	// Credential holds the keys; nil acquires Service's from the default
	// keytab.
	Credential *Credential

	// ReplayCache remembers what was accepted; nil opens the one that the
	// environment names: KRB5RCACHENAME, KRB5RCACHETYPE, default_rcache_name,
	// else a file that every service of the user shares.
	ReplayCache *ReplayCache

	Bindings BindingsPolicy // what to make of channel bindings

	Time func() time.Time // nil means time.Now
	Rand io.Reader        // nil means crypto/rand; must be safe for concurrent use
}

// An Acceptor accepts contexts with the keys of a keytab. It is a gss.Acceptor
// and safe for concurrent use.
type Acceptor struct {
	cred       *Credential
	permitted  []etype.ID
	skew       time.Duration
	replays    *ReplayCache
	ownReplays bool // opened here
	bindings   BindingsPolicy
	clock      func() time.Time // nil: the system's
	random     io.Reader
	keys       keyring
}

// NewAcceptor makes an acceptor. That there is no key for the service is an
// error now, not with the first client.
func NewAcceptor(cfg AcceptorConfig) (*Acceptor, error) {
	cred := cfg.Credential
	if cred == nil {
		var name gss.Name
		if cfg.Service != "" {
			name = gss.HostService(cfg.Service)
		}
		var err error
		cred, err = AcquireCredential(context.Background(), CredentialConfig{Usage: gss.AcceptOnly, Name: name})
		if err != nil {
			return nil, err
		}
	} else if cfg.Service != "" {
		return nil, failure(errors.New("both Service and Credential are set: the credential's name says the service"))
	}
	if cfg.Bindings < BindingsCheck || cfg.Bindings > BindingsIgnore {
		return nil, failure(fmt.Errorf("no such bindings policy: %d", cfg.Bindings))
	}
	if !cred.usage.CanAccept() {
		return nil, &gss.Error{Major: gss.ErrNoCred, Mech: gss.MechKrb5, Err: errCredentialUsage}
	}
	permitted, err := permittedEnctypes(cred.profile.settings.PermittedEnctypes)
	if err != nil {
		return nil, err
	}
	a := &Acceptor{
		cred:      cred,
		permitted: permitted,
		skew:      cred.profile.settings.ClockSkew,
		replays:   cfg.ReplayCache,
		bindings:  cfg.Bindings,
		clock:     cfg.Time,
		random:    cfg.Rand,
	}
	if a.random == nil {
		a.random = systemRandom{}
	}
	if _, err := a.keys.current(context.Background(), cred); err != nil {
		return nil, err
	}
	if a.replays == nil {
		if a.replays, err = defaultReplayCache(cred.profile, a.clock); err != nil {
			return nil, err
		}
		a.ownReplays = true
	}
	return a, nil
}

// Close gives back the replay cache that the acceptor opened itself, if it did.
// No context of it may be in the making.
func (a *Acceptor) Close() error {
	if !a.ownReplays {
		return nil
	}
	return a.replays.Close()
}

func (a *Acceptor) now() time.Time {
	if a.clock != nil {
		return a.clock()
	}
	return time.Now()
}

// Mechanism implements gss.Acceptor.
func (a *Acceptor) Mechanism() gss.OID { return gss.MechKrb5 }

// Accept implements gss.Acceptor. It does no I/O; the keytab is looked at when
// the first token comes.
func (a *Acceptor) Accept(bindings *gss.ChannelBindings) (gss.Context, error) {
	return newContext(&acceptHandshake{acceptor: a, bindings: bindings, mech: gss.MechKrb5}, a.random, a.clock, a.skew), nil
}

// LocalName gives the local account of a client by the auth_to_local rules of
// krb5.conf.
func (a *Acceptor) LocalName(name gss.Name) (string, error) {
	text, typ := name.Display()
	if typ != gss.NTKrb5Principal {
		return "", &gss.Error{Major: gss.ErrBadNameType, Mech: gss.MechKrb5}
	}
	principal, realm, err := kmsg.ParsePrincipal(text)
	if err != nil {
		return "", badName(text, err)
	}
	local, err := a.cred.profile.conf.LocalName(realm, principal.Components)
	if err != nil {
		return "", failure(err)
	}
	return local, nil
}

// permittedEnctypes reads an enctype list of krb5.conf, leaving out what this
// library refuses anyway. The empty list means all that it speaks.
func permittedEnctypes(list string) ([]etype.ID, error) {
	if list == "" {
		list = "DEFAULT"
	}
	named, err := etype.ParseNames(list)
	if err != nil {
		return nil, failure(err)
	}
	var ids []etype.ID
	for _, id := range named {
		if _, err := etype.Lookup(id); err == nil {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		_, err := etype.Lookup(named[0])
		return nil, failure(err)
	}
	return ids, nil
}

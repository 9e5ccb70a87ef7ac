package main

import (
	"context"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/spnego"
)

// A key is the credential of the service, with what accepts contexts by it for
// all services that authenticate.
type key struct {
	acceptor gss.Acceptor
	kerberos *krb5.Acceptor
	cred     *krb5.Credential
}

// acquire gets the credential of the service and an acceptor for it.
func acquire(ctx context.Context, opts options) (*key, error) {
	var keytab *krb5.Keytab
	var err error
	if opts.keytab != "" {
		if keytab, err = krb5.OpenKeytab(opts.keytab); err != nil {
			return nil, err
		}
	}
	k := new(key)
	k.cred, err = krb5.AcquireCredential(ctx, krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService(opts.service), Keytab: keytab,
	})
	if err != nil {
		return nil, err
	}
	config := krb5.AcceptorConfig{Credential: k.cred, Bindings: opts.tls.bindings}
	var iakerb *krb5.IAKERBAcceptor // nil: not accepted
	if opts.iakerb {
		if iakerb, err = krb5.NewIAKERBAcceptor(krb5.IAKERBAcceptorConfig{AcceptorConfig: config}); err == nil {
			k.kerberos = iakerb.Acceptor
		}
	} else {
		k.kerberos, err = krb5.NewAcceptor(config)
	}
	if err == nil {
		k.acceptor, err = offered(k.kerberos, iakerb, opts.mechanism)
	}
	if err != nil {
		k.release()
		return nil, err
	}
	return k, nil
}

// release gives back what the key holds.
func (k *key) release() {
	if k.kerberos != nil {
		_ = k.kerberos.Close() // a file that was only read and locked
	}
	_ = k.cred.Release() // an acceptor's holds nothing that could fail
}

// offered is what the server accepts: Kerberos, with -iakerb that too, each as
// it is and by negotiation; with -mech that one alone.
func offered(kerberos *krb5.Acceptor, iakerb *krb5.IAKERBAcceptor, mech gss.OID) (gss.Acceptor, error) {
	switch mech {
	case gss.MechKrb5:
		return kerberos, nil
	case gss.MechIAKERB:
		return iakerb, nil
	}
	mechs := []gss.Acceptor{kerberos}
	if iakerb != nil {
		mechs = append(mechs, iakerb)
	}
	acceptor, err := spnego.NewAcceptor(mechs...)
	if err != nil {
		return nil, err
	}
	if mech == gss.MechSPNEGO {
		acceptor = acceptor.NegotiatedOnly()
	}
	return acceptor, nil
}

package main

import (
	"context"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/spnego"
)

// acquire gets the credential of the service and an acceptor for it, which
// accepts IAKERB as well where iakerb is not nil.
func acquire(ctx context.Context, opts options) (kerberos *krb5.Acceptor, iakerb *krb5.IAKERBAcceptor, cred *krb5.Credential, err error) {
	var keytab *krb5.Keytab
	if opts.keytab != "" {
		if keytab, err = krb5.OpenKeytab(opts.keytab); err != nil {
			return nil, nil, nil, err
		}
	}
	cred, err = krb5.AcquireCredential(ctx, krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService(opts.service), Keytab: keytab,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	config := krb5.AcceptorConfig{Credential: cred, Bindings: opts.tls.bindings}
	if opts.iakerb {
		if iakerb, err = krb5.NewIAKERBAcceptor(krb5.IAKERBAcceptorConfig{AcceptorConfig: config}); err == nil {
			kerberos = iakerb.Acceptor
		}
	} else {
		kerberos, err = krb5.NewAcceptor(config)
	}
	if err != nil {
		_ = cred.Release() // it holds nothing that could fail to be released
		return nil, nil, nil, err
	}
	return kerberos, iakerb, cred, nil
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

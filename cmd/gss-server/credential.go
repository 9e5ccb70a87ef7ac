package main

import (
	"context"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/spnego"
)

// acquire gets the credential of the service and an acceptor for it.
func acquire(ctx context.Context, opts options) (*krb5.Acceptor, *krb5.Credential, error) {
	var keytab *krb5.Keytab
	if opts.keytab != "" {
		var err error
		if keytab, err = krb5.OpenKeytab(opts.keytab); err != nil {
			return nil, nil, err
		}
	}
	cred, err := krb5.AcquireCredential(ctx, krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService(opts.service), Keytab: keytab,
	})
	if err != nil {
		return nil, nil, err
	}
	acceptor, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred})
	if err != nil {
		_ = cred.Release() // it holds nothing that could fail to be released
		return nil, nil, err
	}
	return acceptor, cred, nil
}

// negotiated offers the mechanism as -mech has it: without -mech both as it is
// and by negotiation.
func negotiated(kerberos *krb5.Acceptor, mech gss.OID) (gss.Acceptor, error) {
	if mech == gss.MechKrb5 {
		return kerberos, nil
	}
	acceptor, err := spnego.NewAcceptor(kerberos)
	if err != nil {
		return nil, err
	}
	if mech == gss.MechSPNEGO {
		acceptor = acceptor.NegotiatedOnly()
	}
	return acceptor, nil
}

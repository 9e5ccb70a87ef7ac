package spnego_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/spnego"
	"github.com/countersign-go/countersign/token"
)

// A client and a service that negotiate, over a pipe and within a realm that
// lives as long as the example.
func Example() {
	dir, err := os.MkdirTemp("", "spnego")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	client, service, err := credentials(dir)
	if err != nil {
		log.Fatal(err)
	}
	near, far := net.Pipe()

	go func() {
		kerberos, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: service})
		if err != nil {
			log.Fatal(err)
		}
		mech, err := spnego.NewAcceptor(kerberos)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := gss.Accept(context.Background(), token.NewConn(far), mech, nil); err != nil {
			log.Fatal(err)
		}
	}()

	kerberos, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: client})
	if err != nil {
		log.Fatal(err)
	}
	mech, err := spnego.NewInitiator(kerberos)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := token.Config{Version: token.V2}.NewConn(near)
	if err != nil {
		log.Fatal(err)
	}
	sec, err := gss.Initiate(context.Background(), conn, mech, gss.Request{Target: gss.HostService("host@localhost")})
	if err != nil {
		log.Fatal(err)
	}
	info := sec.Inquire()
	fmt.Println(info.Initiator, "to", info.Acceptor, "by", info.Mechanism.Name())
	// Output: alice@EXAMPLE.ORG to host/localhost@EXAMPLE.ORG by kerberos_v5
}

// credentials are those of alice and of host/localhost in a new realm, with
// files in dir.
func credentials(dir string) (client, service *krb5.Credential, err error) {
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "EXAMPLE.ORG"})
	if err != nil {
		return nil, nil, err
	}
	defer realm.Close()
	if err := realm.AddUser("alice", "secret"); err != nil {
		return nil, nil, err
	}
	if err := realm.AddService("host/localhost"); err != nil {
		return nil, nil, err
	}
	conf, ccache := filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "ccache")
	if err := os.WriteFile(conf, realm.Krb5Conf(), 0o600); err != nil {
		return nil, nil, err
	}
	tickets, err := realm.CCache("alice", "host/localhost")
	if err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(ccache, tickets, 0o600); err != nil {
		return nil, nil, err
	}
	keys, err := realm.Keytab("host/localhost")
	if err != nil {
		return nil, nil, err
	}

	profile, err := krb5.ReadProfile(conf)
	if err != nil {
		return nil, nil, err
	}
	cache, err := krb5.OpenCache(ccache)
	if err != nil {
		return nil, nil, err
	}
	keytab, err := krb5.ParseKeytab(keys)
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	if client, err = krb5.AcquireCredential(ctx, krb5.CredentialConfig{Usage: gss.InitiateOnly, Profile: profile, Cache: cache}); err != nil {
		return nil, nil, err
	}
	service, err = krb5.AcquireCredential(ctx, krb5.CredentialConfig{Usage: gss.AcceptOnly, Profile: profile, Keytab: keytab})
	return client, service, err
}

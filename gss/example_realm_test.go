package gss_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
)

// exampleRealm stands in for an organisation's realm: alice has her ticket, as
// after kinit, and the service host@localhost its keytab. Where KRB5_CONFIG,
// KRB5CCNAME and KRB5_KTNAME say all that, krb5.InitiatorConfig{} and
// krb5.AcceptorConfig{Service: "host@localhost"} are enough.
func exampleRealm() (user *krb5.Initiator, service *krb5.Acceptor, end func()) {
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "EXAMPLE.ORG"})
	check(err)
	check(realm.AddUser("alice", "secret"))
	check(realm.AddService("host/localhost"))
	dir, err := os.MkdirTemp("", "gss")
	check(err)
	end = func() {
		realm.Close()
		check(os.RemoveAll(dir))
	}

	conf := filepath.Join(dir, "krb5.conf")
	check(os.WriteFile(conf, realm.Krb5Conf(), 0o600))
	profile, err := krb5.ReadProfile(conf)
	check(err)
	ctx := context.Background()

	tickets, err := realm.CCache("alice")
	check(err)
	cacheFile := filepath.Join(dir, "ccache")
	check(os.WriteFile(cacheFile, tickets, 0o600))
	cache, err := krb5.OpenCache(cacheFile)
	check(err)
	cred, err := krb5.AcquireCredential(ctx, krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: cache, Profile: profile})
	check(err)
	user, err = krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	check(err)

	keys, err := realm.Keytab("host/localhost")
	check(err)
	keytab, err := krb5.ParseKeytab(keys)
	check(err)
	cred, err = krb5.AcquireCredential(ctx, krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService("host@localhost"), Keytab: keytab, Profile: profile,
	})
	check(err)
	service, err = krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred})
	check(err)
	return user, service, end
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	return l
}

// exampleTLS gives the two sides' configuration of a TLS service.
func exampleTLS() (client, server *tls.Config) {
	cert, err := newSelfSigned()
	check(err)
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	check(err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{RootCAs: roots, ServerName: "server.example"}, &tls.Config{Certificates: []tls.Certificate{cert}}
}

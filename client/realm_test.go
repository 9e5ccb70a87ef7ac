package client_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/client/clienttest"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
)

// a realm is an embedded KDC with alice as client and host/localhost as
// service, each with a credential of its own.
type realm struct {
	initiator *krb5.Initiator
	acceptor  *krb5.Acceptor
}

func newRealm(t testing.TB) realm {
	t.Helper()
	kdc, err := gsstest.NewRealm(gsstest.Config{})
	check(t, err)
	t.Cleanup(kdc.Close)
	check(t, kdc.AddUser("alice", "alicepw"))
	check(t, kdc.AddService("host/localhost"))
	keytab, err := kdc.Keytab("host/localhost")
	check(t, err)
	ccache, err := kdc.CCache("alice")
	check(t, err)

	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, content, 0o600))
		return path
	}
	profile, err := krb5.ReadProfile(write("krb5.conf", kdc.Krb5Conf()))
	check(t, err)
	cache, err := krb5.OpenCache(write("ccache", ccache))
	check(t, err)
	keys, err := krb5.ParseKeytab(keytab)
	check(t, err)

	alice, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: cache, Profile: profile})
	check(t, err)
	host, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: keys, Profile: profile})
	check(t, err)
	var r realm
	r.initiator, err = krb5.NewInitiator(krb5.InitiatorConfig{Credential: alice})
	check(t, err)
	r.acceptor, err = krb5.NewAcceptor(krb5.AcceptorConfig{Credential: host})
	check(t, err)
	return r
}

// serve starts a server and gives the config of a client for it.
func (r realm) serve(t testing.TB, fault clienttest.Fault) (*clienttest.Server, client.Config) {
	t.Helper()
	server, err := clienttest.NewServer(r.acceptor, fault)
	check(t, err)
	t.Cleanup(server.Close)
	return server, client.Config{Addr: server.Addr(), Initiator: r.initiator, Target: gss.HostService("host@localhost")}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

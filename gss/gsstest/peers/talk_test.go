package peers_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/gsstest/peers"
)

var implementations = []peers.Implementation{peers.MIT, peers.Heimdal, peers.Java}

// realmEnv is an environment in which a peer is alice and has the keys of
// host/localhost, in an embedded realm.
func realmEnv(t *testing.T) []string {
	t.Helper()
	realm, err := gsstest.NewRealm(gsstest.Config{Enctypes: []int32{18}})
	must(t, err)
	t.Cleanup(realm.Close)
	must(t, realm.AddUser("alice", "secret"))
	must(t, realm.AddService("host/localhost"))
	cache, err := realm.CCache("alice")
	must(t, err)
	keytab, err := realm.Keytab("host/localhost")
	must(t, err)
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, data, 0o600))
		return path
	}
	return peers.Env(os.Environ(), file("krb5.conf", realm.Krb5Conf()), file("ccache", cache), file("keytab", keytab), dir)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// establish steps both ends until the context stands.
func establish(t *testing.T, i gss.Initiator, a gss.Acceptor) (ic, ac gss.Context) {
	t.Helper()
	ic, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService("host@localhost")})
	must(t, err)
	ac, err = a.Accept(nil)
	must(t, err)
	var token []byte
	for !ic.Established() || !ac.Established() {
		token, err = ic.Step(token)
		must(t, err)
		if len(token) == 0 {
			break
		}
		token, err = ac.Step(token)
		must(t, err)
	}
	return ic, ac
}

// TestPeersTalk: the implementations talk to each other.
func TestPeersTalk(t *testing.T) {
	env := realmEnv(t)
	for n, from := range implementations {
		to := implementations[(n+1)%len(implementations)]
		t.Run(from.String()+" to "+to.String(), func(t *testing.T) {
			i := peers.Build(t, from).Start(t, env).Initiator(gss.MechKrb5)
			a := peers.Build(t, to).Start(t, env).Acceptor(gss.MechKrb5, "host@localhost")
			ic, ac := establish(t, i, a)
			if got := ac.Inquire().Initiator.String(); got != "alice@GSSTEST.EXAMPLE" {
				t.Errorf("the initiator is %s", got)
			}
			token, err := ic.Wrap(nil, []byte("hello"), true)
			must(t, err)
			msg, sealed, err := ac.Unwrap(nil, token)
			if err != nil || !sealed || string(msg) != "hello" {
				t.Errorf("%q, sealed %t, %v", msg, sealed, err)
			}
			mic, err := ac.MIC(nil, msg)
			must(t, err)
			must(t, ic.VerifyMIC([]byte("hello"), mic))
			mic, err = ac.MIC(nil, msg)
			must(t, err)
			if err := ic.VerifyMIC([]byte("hallo"), mic); !errors.Is(err, gss.ErrBadMIC) {
				t.Errorf("the MIC of another message: %v", err)
			}
		})
	}
}

// TestSPNEGO: the mechanism is the caller's to choose.
func TestSPNEGO(t *testing.T) {
	env := realmEnv(t)
	for _, implementation := range implementations {
		t.Run(implementation.String(), func(t *testing.T) {
			program := peers.Build(t, implementation)
			ic, _ := establish(t, program.Start(t, env).Initiator(gss.MechSPNEGO), program.Start(t, env).Acceptor(gss.MechSPNEGO, "host@localhost"))
			if ic.Inquire().Flags&gss.Mutual == 0 {
				t.Error("not mutual")
			}
		})
	}
}

// TestDefectiveToken: what a library says of a failure is a *gss.Error.
func TestDefectiveToken(t *testing.T) {
	env := realmEnv(t)
	for _, implementation := range implementations {
		t.Run(implementation.String(), func(t *testing.T) {
			ac, err := peers.Build(t, implementation).Start(t, env).Acceptor(gss.MechKrb5, "").Accept(nil)
			must(t, err)
			_, err = ac.Step([]byte("no token"))
			var e *gss.Error
			if !errors.As(err, &e) || e.Major&^0xff0000 != 0 || e.Err == nil {
				t.Errorf("%#v", err)
			}
			if ac.Established() {
				t.Error("established")
			}
		})
	}
}

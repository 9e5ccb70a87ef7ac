package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/spnego"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/sign"
)

// TestOurServer runs this client against this module's server in an embedded
// realm of each enctype: with all that MIT's server serves, and what it does
// not.
func TestOurServer(t *testing.T) {
	cases := append(sessionCases(t),
		sessionCase{name: "v1", args: "-v1 -mcount 3", line: signed, lines: 3},
		sessionCase{name: "v1 nx", args: "-v1 -nx", line: signed},
		sessionCase{name: "v1 nomutual", args: "-v1 -nomutual", line: signed},
		sessionCase{name: "empty", message: []string{""}, line: signed},
		sessionCase{name: "empty v1", args: "-v1", message: []string{""}, line: signed},
	)
	for _, enctype := range []int32{17, 18, 19, 20} {
		t.Run(strconv.Itoa(int(enctype)), func(t *testing.T) {
			realm, err := gsstest.NewRealm(gsstest.Config{Name: "EXAMPLE.TEST", Enctypes: []int32{enctype}})
			check(t, err)
			defer realm.Close()
			acceptor := join(t, realm)
			ccache := os.Getenv("KRB5CCNAME")
			for _, tc := range cases {
				t.Run(tc.name, func(t *testing.T) {
					t.Setenv("KRB5CCNAME", ccache)
					if tc.nocache {
						t.Setenv("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "none"))
					}
					connections := 1
					if tc.many {
						connections = tc.count()
					}
					addr, served := serveSign(t, acceptor, connections)
					var stdout, stderr bytes.Buffer
					if code := run(t.Context(), tc.commandLine(addr), &stdout, &stderr); code != exitVerified {
						t.Fatalf("exit status %d\n%s%s", code, &stdout, &stderr)
					}
					tc.checkClient(t, stdout.String(), stderr.String())
					s := <-served
					if s.err != nil {
						t.Errorf("server: %v", s.err)
					}
					tc.checkServer(t, s.output, "EXAMPLE.TEST")
				})
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// join points the environment at a realm, as alice, and gives its acceptor.
func join(t *testing.T, realm *gsstest.Realm) gss.Acceptor {
	t.Helper()
	check(t, errors.Join(realm.AddUser("alice", "alicepw"), realm.AddService("host/localhost")))
	keytab, err := realm.Keytab("host/localhost")
	check(t, err)
	ccache, err := realm.CCache("alice")
	check(t, err)
	dir := t.TempDir()
	for name, content := range map[string][]byte{"krb5.conf": realm.Krb5Conf(), "ccache": ccache} {
		check(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	t.Setenv("KRB5_CONFIG", filepath.Join(dir, "krb5.conf"))
	t.Setenv("KRB5CCNAME", "FILE:"+filepath.Join(dir, "ccache"))
	keys, err := krb5.ParseKeytab(keytab)
	check(t, err)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: keys})
	check(t, err)
	iakerb, err := krb5.NewIAKERBAcceptor(krb5.IAKERBAcceptorConfig{AcceptorConfig: krb5.AcceptorConfig{Credential: cred}})
	check(t, err)
	acceptor, err := spnego.NewAcceptor(iakerb.Acceptor, iakerb)
	check(t, err)
	return acceptor
}

type served struct {
	output string
	err    error
}

// serveSign serves so many connections, one after the other, and then tells.
func serveSign(t *testing.T, acceptor gss.Acceptor, connections int) (addr string, done <-chan served) {
	t.Helper()
	var output bytes.Buffer
	service, err := sign.New(sign.Config{Acceptor: acceptor, AllowUnauthenticated: true, Output: &output})
	check(t, err)
	engine, err := server.New(server.Config{Service: service})
	check(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { listener.Close() })
	result := make(chan served, 1)
	go func() {
		var err error
		for range connections {
			conn, aerr := listener.Accept()
			if aerr != nil {
				err = errors.Join(err, aerr)
				break
			}
			err = errors.Join(err, engine.ServeConn(t.Context(), conn))
		}
		result <- served{output.String(), err}
	}()
	return listener.Addr().String(), result
}

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign-go/countersign/client/clienttest"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/spnego"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/policy"
)

// hurry keeps a program with the race detector from sleeping a second at exit.
const hurry = "atexit_sleep_ms=10"

func TestMain(m *testing.M) {
	os.Setenv("GORACE", hurry)
	testscript.Main(m, map[string]func(){"gss-client": main})
}

// TestScript runs command lines in an embedded realm that knows alice and
// host/localhost. Scripts have these commands of their own:
//
//	serve FAULT       a server with that fault of package clienttest; $PORT is its port
//	serve skew        an honest one whose clock is ten minutes ahead
//	push N=NAME...    a push server with these groups; $PUSH is its URL
//	kdc FAULT         stopped; silent; or alice's ticket-granting ticket is expired
//	exits N COMMAND   exec, with that exit status
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setUp,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serve,
			"push":  servePush,
			"kdc":   changeKDC,
			"exits": exits,
		},
	})
}

type realmKey struct{}

func setUp(env *testscript.Env) error {
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "EXAMPLE.TEST"})
	if err != nil {
		return err
	}
	env.Defer(realm.Close)
	env.Values[realmKey{}] = realm
	err = errors.Join(realm.AddUser("alice", "alicepw"), realm.AddService("host/localhost"))
	if err != nil {
		return err
	}
	keytab, kerr := realm.Keytab("host/localhost")
	ccache, cerr := realm.CCache("alice")
	env.Setenv("GORACE", hurry)
	env.Setenv("KRB5_CONFIG", filepath.Join(env.WorkDir, "krb5.conf"))
	env.Setenv("KRB5CCNAME", "FILE:"+filepath.Join(env.WorkDir, "ccache"))
	return errors.Join(kerr, cerr,
		os.WriteFile(filepath.Join(env.WorkDir, "krb5.conf"), realm.Krb5Conf(), 0o600),
		os.WriteFile(filepath.Join(env.WorkDir, "keytab"), keytab, 0o600),
		os.WriteFile(filepath.Join(env.WorkDir, "ccache"), ccache, 0o600))
}

func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve FAULT")
	}
	fault := clienttest.Fault(args[0])
	clock := time.Now
	if args[0] == "skew" {
		fault = clienttest.Honest
		clock = func() time.Time { return time.Now().Add(10 * time.Minute) }
	}
	sham, err := clienttest.NewServer(newAcceptor(ts, clock), fault)
	ts.Check(err)
	ts.Defer(sham.Close)
	_, port, err := net.SplitHostPort(sham.Addr())
	ts.Check(err)
	ts.Setenv("PORT", port)
}

// newAcceptor accepts by the script's keytab.
func newAcceptor(ts *testscript.TestScript, clock func() time.Time) gss.Acceptor {
	profile, err := krb5.ReadProfile(ts.MkAbs("krb5.conf"))
	ts.Check(err)
	keytab, err := krb5.OpenKeytab(ts.MkAbs("keytab"))
	ts.Check(err)
	cred, err := krb5.AcquireCredential(context.Background(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: keytab, Profile: profile})
	ts.Check(err)
	iakerb, err := krb5.NewIAKERBAcceptor(krb5.IAKERBAcceptorConfig{AcceptorConfig: krb5.AcceptorConfig{Credential: cred, Time: clock}})
	ts.Check(err)
	acceptor, err := spnego.NewAcceptor(iakerb.Acceptor, iakerb)
	ts.Check(err)
	return acceptor
}

func servePush(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: push N=NAME...")
	}
	var groups []push.Group
	for _, arg := range args {
		g, err := policy.ParseGroup(arg)
		ts.Check(err)
		groups = append(groups, g)
	}
	service, err := push.New(push.Config{
		Acceptor:  newAcceptor(ts, time.Now),
		LocalName: func(n gss.Name) (string, error) { local, _, _ := strings.Cut(n.String(), "@"); return local, nil },
		Setup:     func(h *push.Hub) error { return h.SetGroups(groups) },
	})
	ts.Check(err)
	engine, err := server.New(server.Config{Service: service})
	ts.Check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx, l) }()
	ts.Defer(func() {
		stop()
		ts.Check(errors.Join(<-done, service.Close()))
	})
	ts.Setenv("PUSH", "tcp://"+l.Addr().String())
}

func changeKDC(ts *testscript.TestScript, neg bool, args []string) {
	realm := ts.Value(realmKey{}).(*gsstest.Realm)
	switch {
	case len(args) == 1 && args[0] == "stopped":
		realm.Close()
	case len(args) == 1 && args[0] == "silent":
		realm.SetFaults(gsstest.Faults{Drop: true})
	case len(args) == 1 && args[0] == "expired":
		long := time.Now().Add(-time.Hour)
		ticket, err := realm.MintTicket(gsstest.TicketOptions{
			Client: "alice", Service: "krbtgt/EXAMPLE.TEST",
			AuthTime: long, StartTime: long, EndTime: long.Add(time.Minute),
		})
		ts.Check(err)
		ccache, err := gsstest.MarshalCCache(ticket)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs("ccache"), ccache, 0o600))
	default:
		ts.Fatalf("usage: kdc stopped|silent|expired")
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit status %d, want %d", code, want)
	}
}

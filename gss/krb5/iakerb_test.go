package krb5_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
	"github.com/countersign-go/countersign/token"
)

// farProfile is the krb5.conf of a host that no KDC can be reached from.
func farProfile(t testing.TB, defaultRealm string) *krb5.Profile {
	t.Helper()
	conf := "[libdefaults]\nforwardable = true\ndns_lookup_kdc = false\ndns_canonicalize_hostname = false\nrdns = false\n"
	if defaultRealm != "" {
		conf += "default_realm = " + defaultRealm + "\n"
	}
	p, err := krb5.ReadProfile(writeFile(t, "krb5.conf", []byte(conf)))
	must(t, err)
	return p
}

func (s *setup) iakerbAcceptor(t testing.TB) *krb5.IAKERBAcceptor {
	t.Helper()
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService(service), Keytab: s.keytab, Profile: s.profile,
	})
	must(t, err)
	a, err := krb5.NewIAKERBAcceptor(krb5.IAKERBAcceptorConfig{
		AcceptorConfig: krb5.AcceptorConfig{Credential: cred, ReplayCache: krb5.NewMemoryReplayCache(s.profile)},
	})
	must(t, err)
	return a
}

func iakerbInitiator(t testing.TB, profile *krb5.Profile, user, password string) *krb5.IAKERBInitiator {
	t.Helper()
	i, err := krb5.NewIAKERBInitiator(krb5.IAKERBInitiatorConfig{Name: gss.UserName(user), Password: password, Profile: profile})
	must(t, err)
	return i
}

func TestIAKERB(t *testing.T) {
	for _, enctype := range allEnctypes {
		for _, flags := range []gss.Flags{gss.DefaultFlags, gss.Integrity, gss.DefaultFlags | gss.DCEStyle, gss.DefaultFlags | gss.Delegation} {
			s := newSetup(t, enctype)
			i, a := iakerbInitiator(t, farProfile(t, "TEST.EXAMPLE"), "alice", "secret"), s.iakerbAcceptor(t)
			// The second context has the first one's ticket-granting ticket.
			for _, want := range [][2]int{{2, 1}, {0, 1}} {
				if flags&gss.Delegation != 0 {
					want[1]++
				}
				before := s.realm.Stats()
				ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service), Flags: flags})
				for _, c := range []gss.Context{ic, ac} {
					info := c.Inquire()
					if info.Mechanism != gss.MechIAKERB || info.Initiator.String() != "alice@TEST.EXAMPLE" || info.Acceptor.String() != "host/localhost@TEST.EXAMPLE" {
						t.Errorf("%+v", info)
					}
					if got := info.Flags & (gss.Delegation | gss.Mutual); got&^(flags|gss.Mutual) != 0 || got&gss.Delegation != flags&gss.Delegation {
						t.Errorf("flags %s of %s", info.Flags, flags)
					}
				}
				if ac.Inquire().Delegated == nil != (flags&gss.Delegation == 0) {
					t.Errorf("delegated %v", ac.Inquire().Delegated)
				}
				exchange(t, ic, ac)
				exchange(t, ac, ic)
				after := s.realm.Stats()
				if got := [2]int{int(after.AS - before.AS), int(after.TGS - before.TGS)}; got != want {
					t.Errorf("enctype %d, %s: %d AS and TGS requests, want %d", enctype, flags, got, want)
				}
			}
		}
	}
}

// The target's host is looked up before there is a token: what comes after
// does not depend on a context that may have ended by then.
func TestIAKERBLooksUpFirst(t *testing.T) {
	resolver := net.DefaultResolver
	defer func() { net.DefaultResolver = resolver }()
	var asked atomic.Int32
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		asked.Add(1)
		return nil, errors.New("no DNS here")
	}}
	far, err := krb5.ReadProfile(writeFile(t, "krb5.conf", []byte("[libdefaults]\ndefault_realm = TEST.EXAMPLE\ndns_lookup_kdc = false\n")))
	must(t, err)
	s := newSetup(t)
	must(t, s.realm.AddService("host/far.test.example"))
	ctx, cancel := context.WithCancel(t.Context())
	ic, err := iakerbInitiator(t, far, "alice", "secret").Initiate(ctx, gss.Request{Target: gss.HostService("host@far.test.example")})
	must(t, err)
	defer ic.Delete()
	cancel()
	before := asked.Load()
	if before == 0 {
		t.Error("the host was not looked up")
	}
	ac, err := s.iakerbAcceptor(t).Accept(nil)
	must(t, err)
	defer ac.Delete()
	var out []byte
	for range 3 { // AS, TGS, and the ticket, which is of another service than the acceptor's
		out, err = ic.Step(out)
		must(t, err)
		out, _ = ac.Step(out)
	}
	if after := asked.Load(); after != before {
		t.Errorf("it was looked up again, %d times", after-before)
	}
}

func TestIAKERBExport(t *testing.T) {
	s := newSetup(t)
	ic, ac := pair(t, iakerbInitiator(t, farProfile(t, "TEST.EXAMPLE"), "alice", "secret"), s.iakerbAcceptor(t), gss.Request{Target: gss.HostService(service)})
	exported, err := ac.Export()
	must(t, err)
	imported, err := krb5.ImportContext(exported, krb5.ImportConfig{})
	must(t, err)
	if got := imported.Inquire().Mechanism; got != gss.MechIAKERB {
		t.Errorf("mechanism %s", got)
	}
	exchange(t, ic, imported)
}

// TestIAKERBTimeout has the initiator told of a KDC that does not answer in the
// time that the acceptor gives it.
func TestIAKERBTimeout(t *testing.T) {
	s := newSetup(t)
	s.realm.SetFaults(gsstest.Faults{Drop: true})
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: s.keytab, Profile: s.profile})
	must(t, err)
	a, err := krb5.NewIAKERBAcceptor(krb5.IAKERBAcceptorConfig{AcceptorConfig: krb5.AcceptorConfig{Credential: cred, ReplayCache: krb5.NewMemoryReplayCache(s.profile)}, Timeout: 50 * time.Millisecond})
	must(t, err)
	ic, err := iakerbInitiator(t, farProfile(t, "TEST.EXAMPLE"), "alice", "secret").Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
	must(t, err)
	ac, err := a.Accept(nil)
	must(t, err)
	request, err := ic.Step(nil)
	must(t, err)
	began := time.Now()
	answer, err := ac.Step(request)
	must(t, err)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if _, err := ic.Step(answer); err == nil || !strings.Contains(err.Error(), "The KDC did not respond to the IAKERB proxy") {
		t.Error(err)
	}
}

// TestIAKERBClock initiates where the clock is ten minutes fast: the KDC's is
// learnt by way of the acceptor.
func TestIAKERBClock(t *testing.T) {
	s := newSetup(t)
	i, err := krb5.NewIAKERBInitiator(krb5.IAKERBInitiatorConfig{
		Name:     gss.UserName("alice"),
		Password: "secret",
		Profile:  farProfile(t, "TEST.EXAMPLE"),
		Time:     func() time.Time { return time.Now().Add(10 * time.Minute) },
	})
	must(t, err)
	for range 2 {
		ic, ac := pair(t, i, s.iakerbAcceptor(t), gss.Request{Target: gss.HostService(service)})
		exchange(t, ic, ac)
	}
}

// TestIAKERBConcurrent initiates many contexts with one initiator, of which
// several find no ticket-granting ticket yet.
func TestIAKERBConcurrent(t *testing.T) {
	s := newSetup(t)
	i, a := iakerbInitiator(t, farProfile(t, ""), "alice", "secret"), s.iakerbAcceptor(t)
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service)})
			exchange(t, ic, ac)
		})
	}
}

// TestIAKERBCredential uses a ticket-granting ticket from a cache.
func TestIAKERBCredential(t *testing.T) {
	s := newSetup(t)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: s.cache, Profile: farProfile(t, "TEST.EXAMPLE")})
	must(t, err)
	i, err := krb5.NewIAKERBInitiator(krb5.IAKERBInitiatorConfig{Credential: cred})
	must(t, err)
	for range 2 {
		before := s.realm.Stats()
		ic, ac := pair(t, i, s.iakerbAcceptor(t), gss.Request{Target: gss.HostService(service)})
		exchange(t, ic, ac)
		after := s.realm.Stats()
		if after.AS != before.AS || after.TGS != before.TGS+1 {
			t.Errorf("%+v, then %+v", before, after)
		}
	}
}

// TestIAKERBRealm has the acceptor tell the realm.
func TestIAKERBRealm(t *testing.T) {
	s := newSetup(t)
	i := iakerbInitiator(t, farProfile(t, ""), "alice", "secret")
	for range 2 {
		ic, ac := pair(t, i, s.iakerbAcceptor(t), gss.Request{Target: gss.HostService(service)})
		exchange(t, ic, ac)
		if got := ac.Inquire().Initiator.String(); got != "alice@TEST.EXAMPLE" {
			t.Error(got)
		}
	}
}

// TestIAKERBErrors has the initiator told what went wrong behind the acceptor.
func TestIAKERBErrors(t *testing.T) {
	s := newSetup(t)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	dead.Close()
	unreachable, err := krb5.ReadProfile(writeFile(t, "krb5.conf", []byte("[libdefaults]\ndefault_realm = TEST.EXAMPLE\n[realms]\nTEST.EXAMPLE = {\n kdc = "+dead.Addr().String()+"\n}\n")))
	must(t, err)
	tests := []struct {
		name           string
		user, password string
		acceptor       *krb5.Profile
		target         string
		code           kmsg.ErrorCode
		text           string
	}{
		{"wrong password", "alice", "wrong", s.profile, service, kmsg.KDCErrPreauthFailed, "Password incorrect"},
		{"no such user", "bob", "secret", s.profile, service, kmsg.KDCErrCPrincipalUnknown, "not found in Kerberos database"},
		{"no such service", "alice", "secret", s.profile, "http@localhost", kmsg.KDCErrSPrincipalUnknown, "not found in Kerberos database"},
		{"realm not known", "alice@OTHER.EXAMPLE", "secret", s.profile, service, kmsg.APErrIAKERBKDCNotFound, "The IAKERB proxy could not find a KDC"},
		{"KDC dead", "alice", "secret", unreachable, service, kmsg.APErrIAKERBKDCNoResponse, "The KDC did not respond to the IAKERB proxy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			near := *s
			near.profile = tt.acceptor
			i := iakerbInitiator(t, farProfile(t, "TEST.EXAMPLE"), tt.user, tt.password)
			ic, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService(tt.target)})
			must(t, err)
			ac, err := near.iakerbAcceptor(t).Accept(nil)
			must(t, err)
			var out []byte
			for err == nil {
				if out, err = ic.Step(out); err == nil {
					out, err = ac.Step(out)
					must(t, err)
				}
			}
			if e, ok := errors.AsType[*gss.Error](err); !ok || uint32(e.Minor) != tt.code.Minor() || !strings.Contains(e.Error(), tt.text) {
				t.Errorf("%v", err)
			}
			if _, again := ic.Step(nil); again != err {
				t.Errorf("the failure does not stick: %v", again)
			}
			ic.Delete()
		})
	}
}

// talk sends one message over an established context to MIT's server.
func talk(t *testing.T, conn *token.Conn, sec gss.Context) {
	t.Helper()
	msg := []byte("hello")
	wrapped, err := sec.Wrap(nil, msg, true)
	must(t, err)
	must(t, conn.WriteFrame(token.Data|token.Wrapped|token.Encrypted|token.SendMIC, wrapped))
	frame, err := conn.ReadFrame()
	must(t, err)
	if err := sec.VerifyMIC(msg, frame.Data); err != nil || frame.Flags != token.MIC {
		t.Errorf("%s: %v", frame.Flags, err)
	}
	must(t, conn.WriteFrame(token.NOOP, nil))
}

// TestIAKERBToMIT initiates to MIT's acceptor.
func TestIAKERBToMIT(t *testing.T) {
	mitrealm.Need(t, "gss-server")
	for _, enctype := range []string{"aes128-cts", "aes256-cts", "aes128-sha2", "aes256-sha2"} {
		t.Run(enctype, func(t *testing.T) {
			mit := mitrealm.New(t, mitrealm.Config{Enctypes: []string{enctype}})
			i := iakerbInitiator(t, farProfile(t, mit.Name), "alice", "alicepw")
			for _, flags := range []gss.Flags{gss.DefaultFlags, gss.DefaultFlags &^ gss.Mutual, gss.DefaultFlags | gss.Delegation} {
				server := mit.GSSServer("-once", "-iakerb", "-verbose", service)
				raw, err := net.Dial("tcp", server.Addr)
				must(t, err)
				defer raw.Close()
				conn, err := token.Config{Version: token.V2}.NewConn(raw)
				must(t, err)
				sec, err := gss.Initiate(t.Context(), conn, i, gss.Request{Target: gss.HostService(service), Flags: flags})
				if err != nil {
					t.Fatalf("%v\n%s", err, server.Output())
				}
				talk(t, conn, sec)
				must(t, server.Wait())
				if out := server.Output(); !strings.Contains(out, `Accepted connection: "alice@`+mit.Name+`"`) || !strings.Contains(out, `Received message: "hello"`) {
					t.Errorf("%s", out)
				}
			}
		})
	}
}

// TestIAKERBFromMIT accepts MIT's initiator.
func TestIAKERBFromMIT(t *testing.T) {
	mitrealm.Need(t, "gss-client")
	for _, enctype := range []string{"aes128-cts", "aes256-cts", "aes128-sha2", "aes256-sha2"} {
		t.Run(enctype, func(t *testing.T) {
			mit := mitrealm.New(t, mitrealm.Config{Enctypes: []string{enctype}})
			far := writeFile(t, "krb5.conf", []byte("[libdefaults]\ndns_lookup_kdc = false\ndns_canonicalize_hostname = false\nrdns = false\ndefault_realm = "+mit.Name+"\n"))
			s := &setup{}
			var err error
			s.profile, err = krb5.ReadProfile(mit.ConfigFile)
			must(t, err)
			s.keytab, err = krb5.OpenKeytab(mit.KeytabFile)
			must(t, err)
			a := s.iakerbAcceptor(t)
			for _, option := range []string{"-seq", "-nomutual", "-d"} {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				must(t, err)
				defer l.Close()
				_, port, _ := net.SplitHostPort(l.Addr().String())
				client := mit.Command("gss-client", "-port", port, "-iakerb", "-user", "alice", "-pass", "alicepw", option, "localhost", service, "hello")
				client.Env = append(client.Env, "KRB5_CONFIG="+far, "KRB5CCNAME=MEMORY:")
				var out bytes.Buffer
				client.Stdout, client.Stderr = &out, &out
				must(t, client.Start())
				raw, err := l.Accept()
				must(t, err)
				defer raw.Close()
				must(t, raw.SetDeadline(time.Now().Add(30*time.Second)))
				conn := token.NewConn(raw)
				sec, err := gss.Accept(t.Context(), conn, a, nil)
				if err != nil {
					raw.Close()
					client.Wait()
					t.Fatalf("%v\n%s", err, &out)
				}
				frame, err := conn.ReadFrame()
				must(t, err)
				msg, sealed, err := sec.Unwrap(nil, frame.Data)
				if err != nil || !sealed || string(msg) != "hello" {
					t.Errorf("%q, %v", msg, err)
				}
				mic, err := sec.MIC(nil, msg)
				must(t, err)
				must(t, conn.WriteFrame(token.MIC, mic))
				if err := client.Wait(); err != nil || !strings.Contains(out.String(), "Signature verified.") {
					t.Errorf("%v\n%s", err, &out)
				}
				info := sec.Inquire()
				if info.Initiator.String() != "alice@"+mit.Name || info.Mechanism != gss.MechIAKERB {
					t.Errorf("%+v", info)
				}
			}
		})
	}
}

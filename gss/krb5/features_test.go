package krb5_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

func TestPseudoRandom(t *testing.T) {
	for _, enctype := range allEnctypes {
		s := newSetup(t, enctype)
		ic, ac := pair(t, s.initiator(t), s.acceptor(t), gss.Request{Target: gss.HostService(service)})
		seen := map[string]bool{}
		for _, key := range []gss.PRFKey{gss.PRFKeyFull, gss.PRFKeyPartial} {
			long, err := ic.PseudoRandom(key, []byte("input"), 500)
			must(t, err)
			for _, n := range []int{0, 1, 16, 31, 64, 500} {
				got, err := ac.PseudoRandom(key, []byte("input"), n)
				if err != nil || !bytes.Equal(got, long[:n]) {
					t.Errorf("enctype %d: the two ends differ at %d octets: %v", enctype, n, err)
				}
			}
			other, err := ic.PseudoRandom(key, []byte("inpuu"), 500)
			must(t, err)
			if seen[string(long)] = true; bytes.Equal(long, other) || bytes.Equal(long[:32], long[64:96]) {
				t.Errorf("enctype %d: output repeats", enctype)
			}
		}
		if len(seen) != 2 {
			t.Error("full and partial key give the same")
		}
		if _, err := ic.PseudoRandom(gss.PRFKeyFull, nil, -1); err == nil {
			t.Error("a negative length is accepted")
		}
	}
}

func TestWrapSizeLimit(t *testing.T) {
	for _, enctype := range allEnctypes {
		s := newSetup(t, enctype)
		ic, _ := pair(t, s.initiator(t), s.acceptor(t), gss.Request{Target: gss.HostService(service)})
		for _, seal := range []bool{true, false} {
			for _, size := range []int{100, 1000, 65536} {
				n, err := ic.WrapSizeLimit(size, seal)
				must(t, err)
				token, err := ic.Wrap(nil, make([]byte, n), seal)
				must(t, err)
				if len(token) != size {
					t.Errorf("enctype %d, seal %t: a message of %d octets takes %d, not %d", enctype, seal, n, len(token), size)
				}
			}
			if n, err := ic.WrapSizeLimit(3, seal); n != 0 || err != nil {
				t.Errorf("a limit below the overhead gives %d, %v", n, err)
			}
		}
	}
}

func TestSessionKey(t *testing.T) {
	s := newSetup(t)
	ic, ac := pair(t, s.initiator(t), s.acceptor(t), gss.Request{Target: gss.HostService(service)})
	ik, err := ic.SessionKey()
	must(t, err)
	ak, err := ac.SessionKey()
	if err != nil || !bytes.Equal(ik, ak) || len(ik) != 32 {
		t.Errorf("%d and %d octets, equal: %t, %v", len(ik), len(ak), bytes.Equal(ik, ak), err)
	}
}

func TestChannelBindings(t *testing.T) {
	s := newSetup(t)
	aware, err := krb5.ReadProfile(writeFile(t, "krb5.conf", append([]byte("[libdefaults]\nclient_aware_channel_bindings = true\n"), s.realm.Krb5Conf()...)))
	must(t, err)
	here := &gss.ChannelBindings{ApplicationData: []byte("tls-exporter:here")}
	there := &gss.ChannelBindings{ApplicationData: []byte("tls-exporter:there")}
	either := &gss.ChannelBindings{ApplicationData: []byte("tls-exporter:mine"), Alternative: here}
	tests := []struct {
		name      string
		policy    krb5.BindingsPolicy
		profile   *krb5.Profile // of the initiator
		initiator *gss.ChannelBindings
		acceptor  *gss.ChannelBindings
		bound, ok bool
	}{
		{"same", krb5.BindingsCheck, s.profile, here, here, true, true},
		{"different", krb5.BindingsCheck, s.profile, here, there, false, false},
		{"initiator has none", krb5.BindingsCheck, s.profile, nil, here, false, true},
		{"initiator has none and says so", krb5.BindingsCheck, aware, nil, here, false, false},
		{"acceptor has none", krb5.BindingsCheck, s.profile, here, nil, false, true},
		{"neither, initiator says so", krb5.BindingsCheck, aware, nil, nil, false, true},
		{"required, same", krb5.BindingsRequire, s.profile, here, here, true, true},
		{"required, different", krb5.BindingsRequire, s.profile, here, there, false, false},
		{"required, initiator has none", krb5.BindingsRequire, s.profile, nil, here, false, false},
		{"required, acceptor has none", krb5.BindingsRequire, s.profile, here, nil, false, false},
		{"ignored, different", krb5.BindingsIgnore, s.profile, here, there, false, true},
		{"required, the acceptor's alternative", krb5.BindingsRequire, s.profile, here, either, true, true},
		{"required, neither the acceptor's nor its alternative", krb5.BindingsRequire, s.profile, there, either, false, false},
		{"the initiator's alternative", krb5.BindingsCheck, s.profile, either, here, false, false},
		{"ignored, same", krb5.BindingsIgnore, s.profile, here, here, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := s.acceptorWith(t, krb5.AcceptorConfig{Bindings: tt.policy, ReplayCache: krb5.NewMemoryReplayCache(s.profile)})
			i := (&setup{cache: s.cache, profile: tt.profile}).initiator(t)
			ic, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService(service), Bindings: tt.initiator})
			must(t, err)
			token, err := ic.Step(nil)
			must(t, err)
			ac, err := a.Accept(tt.acceptor)
			must(t, err)
			_, err = ac.Step(token)
			if tt.ok != (err == nil) || err != nil && !errors.Is(err, gss.ErrBadBindings) {
				t.Errorf("accepted: %t, %v", err == nil, err)
			}
			if bound := ac.Inquire().Flags&gss.ChannelBound != 0; bound != tt.bound {
				t.Errorf("channel bound: %t", bound)
			}
		})
	}
}

func TestDelegation(t *testing.T) {
	s := newSetup(t)
	must(t, s.realm.AddService("http/localhost"))
	ic, ac := pair(t, s.initiator(t), s.acceptor(t), gss.Request{Target: gss.HostService(service), Flags: gss.DefaultFlags | gss.Delegation})
	if ic.Inquire().Flags&gss.Delegation == 0 || ac.Inquire().Flags&gss.Delegation == 0 {
		t.Fatal("no delegation flag")
	}
	cred, ok := ac.Inquire().Delegated.(*krb5.Credential)
	if !ok || cred.Name().String() != "alice@TEST.EXAMPLE" || cred.Usage() != gss.InitiateOnly {
		t.Fatalf("delegated credential: %v", cred)
	}
	// Onwards, as alice, to another service.
	onward, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	must(t, err)
	kt, err := s.realm.Keytab("http/localhost")
	must(t, err)
	keytab, err := krb5.ParseKeytab(kt)
	must(t, err)
	httpCred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: keytab, Profile: s.profile})
	must(t, err)
	a, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: httpCred, ReplayCache: krb5.NewMemoryReplayCache(s.profile)})
	must(t, err)
	_, hc := pair(t, onward, a, gss.Request{Target: gss.HostService("http@localhost")})
	if got := hc.Inquire().Initiator.String(); got != "alice@TEST.EXAMPLE" {
		t.Errorf("onwards as %s", got)
	}
	// Stored in a cache, and used from there.
	stored, err := krb5.OpenCache("FILE:" + t.TempDir() + "/delegated")
	must(t, err)
	must(t, cred.Store(stored))
	must(t, cred.Release())
	_, hc = pair(t, (&setup{cache: stored, profile: s.profile}).initiator(t), a, gss.Request{Target: gss.HostService("http@localhost")})
	if got := hc.Inquire().Initiator.String(); got != "alice@TEST.EXAMPLE" {
		t.Errorf("from the stored cache as %s", got)
	}
}

// TestDelegationPolicy: by policy only services that the KDC marks
// ok-as-delegate get a credential, and an unforwardable ticket gives none.
func TestDelegationPolicy(t *testing.T) {
	s := newSetup(t)
	cacheWith := func(tgt, svc gsstest.TicketFlags) *krb5.Cache {
		tgtTicket, err := s.realm.MintTicket(gsstest.TicketOptions{Client: "alice", Service: "krbtgt/TEST.EXAMPLE", Flags: tgt})
		must(t, err)
		ticket, err := s.realm.MintTicket(gsstest.TicketOptions{Client: "alice", Service: "host/localhost", Flags: svc})
		must(t, err)
		data, err := gsstest.MarshalCCache(tgtTicket, ticket)
		must(t, err)
		c, err := krb5.OpenCache(writeFile(t, "ccache", data))
		must(t, err)
		return c
	}
	const fwd = gsstest.Forwardable | gsstest.Initial
	for _, tt := range []struct {
		name     string
		tgt, svc gsstest.TicketFlags
		flags    gss.Flags
		want     bool
	}{
		{"policy, not ok", fwd, gsstest.Forwardable, gss.DelegationPolicy, false},
		{"policy, ok", fwd, gsstest.Forwardable | gsstest.OKAsDelegate, gss.DelegationPolicy, true},
		{"asked for, not ok", fwd, gsstest.Forwardable, gss.Delegation, true},
		{"asked for and policy, not ok", fwd, gsstest.Forwardable, gss.Delegation | gss.DelegationPolicy, true}, // RFC 5896
		{"asked for, not forwardable", gsstest.Initial, gsstest.Forwardable, gss.Delegation, false},
		{"not asked for", fwd, gsstest.OKAsDelegate, 0, false},
	} {
		s.cache = cacheWith(tt.tgt, tt.svc)
		ic, ac := pair(t, s.initiator(t), s.acceptor(t), gss.Request{Target: gss.HostService(service), Flags: gss.DefaultFlags | tt.flags})
		for _, info := range []gss.Info{ic.Inquire(), ac.Inquire()} {
			if got := info.Flags&gss.Delegation != 0; got != tt.want || (info.Delegated != nil) != (tt.want && !info.Local) {
				t.Errorf("%s (local %t): flag %t, credential %v", tt.name, info.Local, got, info.Delegated)
			}
		}
	}
}

func TestExport(t *testing.T) {
	for _, enctype := range allEnctypes {
		s := newSetup(t, enctype)
		for _, flags := range []gss.Flags{gss.DefaultFlags, gss.Sequencing} {
			ic, ac := pair(t, s.initiator(t), s.acceptor(t), gss.Request{Target: gss.HostService(service), Flags: flags})
			exchange(t, ic, ac)
			mic, err := ic.MIC(nil, []byte("seen before"))
			must(t, err)
			must(t, ac.VerifyMIC([]byte("seen before"), mic))
			before := ac.Inquire()
			token, err := ac.Export()
			must(t, err)
			if _, err := ac.MIC(nil, nil); !errors.Is(err, gss.ErrNoContext) {
				t.Errorf("the exported context still works: %v", err)
			}
			imported, err := krb5.ImportContext(token, krb5.ImportConfig{})
			must(t, err)
			after := imported.Inquire()
			before.Expires, after.Expires = before.Expires.UTC(), after.Expires.UTC()
			if before != after || !imported.Established() {
				t.Errorf("before:\n%v\nafter:\n%v", before, after)
			}
			if err := imported.VerifyMIC([]byte("seen before"), mic); err == nil {
				t.Error("the imported context forgot what it had seen")
			}
			exchange(t, ic, imported)
			exchange(t, imported, ic)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	s := newSetup(t)
	_, ac := pair(t, s.initiator(t), s.acceptor(t), gss.Request{Target: gss.HostService(service)})
	token, err := ac.Export()
	must(t, err)
	for n := range token {
		if c, err := krb5.ImportContext(token[:n], krb5.ImportConfig{}); !errors.Is(err, gss.ErrDefectiveToken) || c != nil {
			t.Fatalf("the first %d octets: %v", n, err)
		}
		altered := bytes.Clone(token)
		altered[n] ^= 1
		if c, err := krb5.ImportContext(altered, krb5.ImportConfig{}); !errors.Is(err, gss.ErrDefectiveToken) || c != nil {
			t.Fatalf("octet %d altered: %v", n, err)
		}
	}
	if _, err := krb5.ImportContext(append(token, 0), krb5.ImportConfig{}); err == nil {
		t.Error("an octet more is accepted")
	}
}

// TestExpiry: a context ends with its ticket, on the acceptor's side after the
// clock skew.
func TestExpiry(t *testing.T) {
	s := newSetup(t)
	now := time.Now()
	clock := func() time.Time { return now }
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: s.cache, Profile: s.profile})
	must(t, err)
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred, Time: clock})
	must(t, err)
	a := s.acceptorWith(t, krb5.AcceptorConfig{Time: clock, ReplayCache: krb5.NewMemoryReplayCache(s.profile)})
	ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service)})
	end := ic.Inquire().Expires
	check := func(at time.Time, c gss.Context, alive bool) {
		t.Helper()
		now = at
		if _, err := c.MIC(nil, nil); alive && err != nil || !alive && !errors.Is(err, gss.ErrContextExpired) {
			t.Errorf("%s after the ticket's end: %v", at.Sub(end), err)
		}
	}
	check(end.Add(-time.Second), ic, true)
	check(end.Add(time.Second), ic, false)
	check(end.Add(299*time.Second), ac, true)
	check(end.Add(301*time.Second), ac, false)
}

// TestRemoteError: what the acceptor says in its error token reaches the
// initiator as a remote error.
func TestRemoteError(t *testing.T) {
	s := newSetup(t)
	for _, dce := range []gss.Flags{0, gss.DCEStyle} {
		a := s.acceptorWith(t, krb5.AcceptorConfig{
			Time:        func() time.Time { return time.Now().Add(time.Hour) },
			ReplayCache: krb5.NewMemoryReplayCache(s.profile),
		})
		ic, err := s.initiator(t).Initiate(t.Context(), gss.Request{Target: gss.HostService(service), Flags: gss.DefaultFlags | dce})
		must(t, err)
		token, err := ic.Step(nil)
		must(t, err)
		ac, err := a.Accept(nil)
		must(t, err)
		token, err = ac.Step(token)
		if !errors.Is(err, kmsg.APErrSkew) {
			t.Fatal(err)
		}
		_, err = ic.Step(token)
		e, ok := errors.AsType[*gss.Error](err)
		if !ok || !e.Remote || e.Minor != -1765328347 || !errors.Is(err, kmsg.APErrSkew) {
			t.Errorf("%v", err)
		}
		if !strings.Contains(err.Error(), "Clock skew too great") || !strings.Contains(err.Error(), "1h0m") || !strings.Contains(e.Hint, "NTP") {
			t.Errorf("error %v, hint %s", err, e.Hint)
		}
	}
}

// TestDelegationUnavailable: without a ticket to forward the context stands
// without delegation, as RFC 2743 has it.
func TestDelegationUnavailable(t *testing.T) {
	s := newSetup(t)
	i := s.initiator(t)
	pair(t, i, s.acceptor(t), gss.Request{Target: gss.HostService(service)}) // gets the service ticket
	s.realm.SetFaults(gsstest.Faults{ErrorCode: 12})                         // KDC_ERR_POLICY
	ic, ac := pair(t, i, s.acceptor(t), gss.Request{Target: gss.HostService(service), Flags: gss.DefaultFlags | gss.Delegation})
	if ic.Inquire().Flags&gss.Delegation != 0 || ac.Inquire().Flags&gss.Delegation != 0 || ac.Inquire().Delegated != nil {
		t.Error("delegated without a ticket")
	}
}

// TestReplayCacheOfAnotherClock: a cache that would forget what the acceptor
// still accepts has contexts refused.
func TestReplayCacheOfAnotherClock(t *testing.T) {
	s := newSetup(t)
	for _, off := range []time.Duration{20 * time.Minute, -20 * time.Minute} {
		clock := func() time.Time { return time.Now().Add(off) }
		a := s.acceptorWith(t, krb5.AcceptorConfig{Time: clock, ReplayCache: krb5.NewMemoryReplayCache(s.profile)})
		sec, err := a.Accept(nil)
		must(t, err)
		token := forgery{
			ticket: gsstest.TicketOptions{AuthTime: clock().Add(-time.Hour), EndTime: clock().Add(time.Hour)},
			auth:   func(a *kmsg.Authenticator) { a.CTime = clock().UTC().Truncate(time.Second) },
		}.make(t, s.realm)
		if _, err := sec.Step(token); err == nil || !strings.Contains(err.Error(), "one clock") {
			t.Errorf("%v off: %v", off, err)
		}
	}
}

package krb5_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/peers"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// bindings of one channel, of two, and of one side alone.
func (s *stage) bindings(t *testing.T) {
	here := &gss.ChannelBindings{ApplicationData: []byte("tls-exporter:\x00here")}
	there := &gss.ChannelBindings{ApplicationData: []byte("tls-exporter:\x00there")}
	s.bothRoles(t, func(t *testing.T, i gss.Initiator, a gss.Acceptor) {
		_, theirs := a.(*krb5.Acceptor)
		theirs = !theirs
		for _, tt := range []struct {
			name      string
			initiator *gss.ChannelBindings
			acceptor  *gss.ChannelBindings
			bound, ok bool
		}{
			{"same", here, here, true, true},
			{"different", here, there, false, false},
			{"initiator has none", nil, here, false, true},
			{"acceptor has none", here, nil, false, true},
			{"neither", nil, nil, false, true},
		} {
			ic, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService(service), Bindings: tt.initiator})
			must(t, err)
			token, err := ic.Step(nil)
			must(t, err)
			ac, err := a.Accept(tt.acceptor)
			must(t, err)
			_, err = ac.Step(token)
			if theirs && s.program.Implementation != peers.MIT && tt.initiator == nil && tt.acceptor != nil {
				// Bindings that only the acceptor has are an error to
				// Java and to older Heimdal, as RFC 2743 has it.
				t.Logf("%s: %v", tt.name, err)
				continue
			}
			if tt.ok != (err == nil) || err != nil && !errors.Is(err, gss.ErrBadBindings) {
				t.Errorf("%s: accepted: %t, %v", tt.name, err == nil, err)
			}
			if err == nil && (!theirs || s.program.Implementation == peers.MIT) {
				if bound := ac.Inquire().Flags&gss.ChannelBound != 0; bound != tt.bound {
					t.Errorf("%s: channel bound: %t", tt.name, bound)
				}
			}
		}
	})
}

// delegation: the credential that arrives initiates onwards and can be stored.
func (s *stage) delegation(t *testing.T) {
	const flags = gss.DefaultFlags | gss.Delegation
	req := gss.Request{Target: gss.HostService(service), Flags: flags}
	http := s.httpAcceptor(t)
	onward := func(t *testing.T, i gss.Initiator) {
		t.Helper()
		_, ac := pair(t, i, http, gss.Request{Target: gss.HostService("http@localhost")})
		if got := ac.Inquire().Initiator.String(); got != "alice@TEST.EXAMPLE" {
			t.Errorf("onwards as %s", got)
		}
	}
	t.Run("ours to theirs", func(t *testing.T) {
		ic, ac := pair(t, s.initiator(t), s.peerAcceptor(), req)
		if ic.Inquire().Flags&gss.Delegation == 0 || ac.Inquire().Flags&gss.Delegation == 0 {
			t.Fatal("no delegation flag")
		}
		theirs := ac.(*peers.Context)
		if s.isC() {
			name := "FILE:" + t.TempDir() + "/delegated"
			must(t, theirs.StoreDelegated(name))
			cache, err := krb5.OpenCache(name)
			must(t, err)
			onward(t, (&setup{cache: cache, profile: s.profile}).initiator(t))
		}
		name, err := theirs.UseDelegated()
		if err != nil || name != "alice@TEST.EXAMPLE" {
			t.Errorf("delegated credential of %q, %v", name, err)
		}
		onward(t, s.peerInitiator())
	})
	t.Run("theirs to ours", func(t *testing.T) {
		ic, ac := pair(t, s.peerInitiator(), s.acceptor(t), req)
		if ic.Inquire().Flags&gss.Delegation == 0 || ac.Inquire().Flags&gss.Delegation == 0 {
			t.Fatal("no delegation flag")
		}
		cred, ok := ac.Inquire().Delegated.(*krb5.Credential)
		if !ok || cred.Name().String() != "alice@TEST.EXAMPLE" {
			t.Fatalf("delegated credential: %v", cred)
		}
		i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
		must(t, err)
		onward(t, i)
	})
}

func (s *stage) httpAcceptor(t *testing.T) gss.Acceptor {
	t.Helper()
	kt, err := s.realm.Keytab("http/localhost")
	must(t, err)
	keytab, err := krb5.ParseKeytab(kt)
	must(t, err)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: keytab, Profile: s.profile})
	must(t, err)
	a, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred, ReplayCache: krb5.NewMemoryReplayCache(s.profile)})
	must(t, err)
	return a
}

// names are exported as the same octets, and read back.
func (s *stage) names(t *testing.T) {
	s.bothRoles(t, func(t *testing.T, i gss.Initiator, a gss.Acceptor) {
		ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service)})
		ours, theirs := ic, ac
		if _, ok := ours.(*peers.Context); ok {
			ours, theirs = ac, ic
		}
		initiator, acceptor, err := theirs.(*peers.Context).ExportedNames()
		must(t, err)
		for _, tt := range []struct {
			name gss.Name
			want []byte
		}{{ours.Inquire().Initiator, initiator}, {ours.Inquire().Acceptor, acceptor}} {
			got, err := tt.name.Export()
			if err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("%s is exported as\n%x, by the peer as\n%x, %v", tt.name, got, tt.want, err)
			}
			if back, err := gss.ImportName(string(tt.want), gss.NTExportName); err != nil || back != tt.name {
				t.Errorf("the peer's exported name reads as %q, %v", back, err)
			}
		}
	})
}

// firstTokens gives an initiator's first token to an acceptor, and what the
// acceptor answers, as a rule an error token, back to the initiator.
func firstTokens(t *testing.T, i gss.Initiator, a gss.Acceptor) (acceptorErr, initiatorErr error, answer []byte) {
	t.Helper()
	ic, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
	must(t, err)
	token, err := ic.Step(nil)
	must(t, err)
	ac, err := a.Accept(nil)
	must(t, err)
	answer, acceptorErr = ac.Step(token)
	if len(answer) > 0 {
		_, initiatorErr = ic.Step(answer)
	}
	return acceptorErr, initiatorErr, answer
}

// skew: clocks an hour apart are found by either acceptor, and the initiator
// learns it from the error token.
func (s *stage) skew(t *testing.T) {
	ahead := func() time.Time { return time.Now().Add(time.Hour) }
	t.Run("ours to theirs", func(t *testing.T) {
		cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: s.cache, Profile: s.profile})
		must(t, err)
		i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred, Time: ahead})
		must(t, err)
		acceptorErr, initiatorErr, answer := firstTokens(t, i, s.peerAcceptor())
		if acceptorErr == nil || !strings.Contains(strings.ToLower(acceptorErr.Error()), "clock skew too great") {
			t.Errorf("the peer: %v", acceptorErr)
		}
		if s.noErrorToken(t, answer) {
			return
		}
		var e *gss.Error
		if !errors.As(initiatorErr, &e) || !e.Remote || !errors.Is(initiatorErr, kmsg.APErrSkew) {
			t.Errorf("ours, of the error token: %v", initiatorErr)
		}
	})
	t.Run("theirs to ours", func(t *testing.T) {
		a := s.acceptorWith(t, krb5.AcceptorConfig{Time: ahead, ReplayCache: krb5.NewMemoryReplayCache(s.profile)})
		acceptorErr, initiatorErr, _ := firstTokens(t, s.peerInitiator(), a)
		if !errors.Is(acceptorErr, kmsg.APErrSkew) {
			t.Errorf("ours: %v", acceptorErr)
		}
		if initiatorErr == nil || !strings.Contains(strings.ToLower(initiatorErr.Error()), "clock skew too great") {
			t.Errorf("the peer, of our error token: %v", initiatorErr)
		}
	})
}

// noErrorToken reports whether the peer is one that sends no error tokens, and
// has sent none.
func (s *stage) noErrorToken(t *testing.T, answer []byte) bool {
	t.Helper()
	if (len(answer) > 0) != s.isC() {
		t.Errorf("an error token of %d octets", len(answer))
	}
	return len(answer) == 0
}

// wrongService: the ticket is for a service of which the acceptor has no key.
func (s *stage) wrongService(t *testing.T) {
	t.Run("ours to theirs", func(t *testing.T) {
		peer := s.startPeer(t, "http/localhost")
		acceptorErr, initiatorErr, answer := firstTokens(t, s.initiator(t), peer.Acceptor(gss.MechKrb5, ""))
		if acceptorErr == nil {
			t.Error("the peer accepted")
		}
		t.Log(acceptorErr)
		if s.noErrorToken(t, answer) {
			return
		}
		var e *gss.Error
		if !errors.As(initiatorErr, &e) || !e.Remote {
			t.Errorf("ours, of the error token: %v", initiatorErr)
		}
		t.Log(initiatorErr)
	})
	t.Run("theirs to ours", func(t *testing.T) {
		acceptorErr, initiatorErr, _ := firstTokens(t, s.peerInitiator(), s.httpAcceptor(t))
		if !errors.Is(acceptorErr, kmsg.APErrNotUs) {
			t.Errorf("ours: %v", acceptorErr)
		}
		if initiatorErr == nil {
			t.Error("the peer takes our error token for none")
		}
		t.Log(initiatorErr)
	})
}

// replay: neither acceptor takes a token twice.
func (s *stage) replay(t *testing.T) {
	s.bothRoles(t, func(t *testing.T, i gss.Initiator, a gss.Acceptor) {
		ic, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
		must(t, err)
		token, err := ic.Step(nil)
		must(t, err)
		ac, err := a.Accept(nil)
		must(t, err)
		_, err = ac.Step(token)
		must(t, err)
		again, err := a.Accept(nil)
		must(t, err)
		_, err = again.Step(token)
		t.Log(err)
		if err == nil {
			t.Error("accepted twice")
		}
	})
}

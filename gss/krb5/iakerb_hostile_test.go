package krb5_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// proxy frames a header for a realm and a message as MIT's library does.
func proxy(realm, message string) []byte {
	header := fmt.Sprintf("\xa1%c\x04%c%s", len(realm)+2, len(realm), realm)
	return frame(fmt.Sprintf("\x06\x06\x2b\x06\x01\x05\x02\x05\x05\x01\x30%c%s%s", len(header), header, message))
}

// iakerbForged is an AP-REQ of IAKERB that vouches for nothing.
func iakerbForged(t testing.TB, realm *gsstest.Realm) []byte {
	return forgery{token: func(token []byte) []byte {
		i := bytes.Index(token, []byte("\x06\x09\x2a"))
		return frame("\x06\x06\x2b\x06\x01\x05\x02\x05" + string(token[i+11:]))
	}}.make(t, realm)
}

func TestHostileIAKERBInitiator(t *testing.T) {
	s := newSetup(t)
	i, a := iakerbInitiator(t, farProfile(t, "TEST.EXAMPLE"), "alice", "secret"), s.iakerbAcceptor(t)
	ic, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
	must(t, err)
	defer ic.Delete()
	first, err := ic.Step(nil)
	must(t, err)
	before := s.realm.Stats()
	steps := func(tokens ...[]byte) error {
		sec, err := a.Accept(nil)
		must(t, err)
		defer sec.Delete()
		for _, token := range tokens {
			if _, err = sec.Step(token); err != nil {
				break
			}
		}
		if established := err == nil || strings.Contains(err.Error(), "already established"); established != sec.Established() {
			t.Errorf("the context stands: %v, error %v", sec.Established(), err)
		}
		return err
	}
	for n := range first {
		if err := steps(first[:n]); err == nil {
			t.Errorf("the first %d of %d octets are accepted", n, len(first))
		}
	}
	tests := []struct {
		name   string
		tokens [][]byte
		major  gss.Major
		text   string
	}{
		{"Kerberos token", [][]byte{forgery{}.make(t, s.realm)}, gss.ErrBadMech, "not of iakerb"},
		{"AP-REQ to be relayed", [][]byte{proxy("TEST.EXAMPLE", "\x6e\x00")}, gss.ErrDefectiveToken, "neither an AS-REQ nor"},
		{"password change to be relayed", [][]byte{proxy("TEST.EXAMPLE", "\x00\x10\x00\x01\x00\x00")}, gss.ErrDefectiveToken, "neither an AS-REQ nor"},
		{"realm without a message", [][]byte{proxy("TEST.EXAMPLE", "")}, gss.ErrDefectiveToken, "neither an AS-REQ nor"},
		{"too large", [][]byte{proxy("TEST.EXAMPLE", "\x6a"+strings.Repeat("x", 1<<17))}, gss.ErrDefectiveToken, "neither an AS-REQ nor"},
		{"too many", repeated(proxy("", ""), 27), gss.ErrDefectiveToken, "more than 26"},
		{"vouching for nothing", [][]byte{proxy("", ""), iakerbForged(t, s.realm)}, gss.ErrBadMIC, "does not vouch"},
		{"proxy token after the AP-REQ", [][]byte{iakerbForged(t, s.realm), first}, gss.ErrFailure, "already established"},
	}
	for _, tt := range tests {
		if err := steps(tt.tokens...); !errors.Is(err, tt.major) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if after := s.realm.Stats(); after != before {
		t.Errorf("the KDC was asked: %+v, then %+v", before, after)
	}
	// Realms that krb5.conf does not describe are not looked for.
	for _, realm := range []string{"EVIL.EXAMPLE", "localhost", "\x00", "TEST.EXAMPLE\n", "é"} {
		sec, err := a.Accept(nil)
		must(t, err)
		reply, err := sec.Step(proxy(realm, "\x6a\x00"))
		must(t, err)
		i := bytes.IndexByte(reply, 0x7e)
		if i < 0 {
			t.Errorf("%q: %x", realm, reply)
			continue
		}
		if e, err := kmsg.ParseKRBError(reply[i:]); err != nil || e.ErrorCode != kmsg.APErrIAKERBKDCNotFound {
			t.Errorf("%q: %v, %v", realm, e, err)
		}
	}
	// An AP-REQ by itself is no different from Kerberos'.
	if err := steps(iakerbForged(t, s.realm)); err != nil {
		t.Error(err)
	}
	krb, err := s.acceptor(t).Accept(nil)
	must(t, err)
	if _, err := krb.Step(first); !errors.Is(err, gss.ErrBadMech) {
		t.Errorf("an IAKERB token to the Kerberos acceptor: %v", err)
	}
}

func repeated(token []byte, n int) (tokens [][]byte) {
	for range n {
		tokens = append(tokens, token)
	}
	return tokens
}

// TestIAKERBAltered has somebody between the two change what neither would see
// by itself: the form of the realm in a header.
func TestIAKERBAltered(t *testing.T) {
	s := newSetup(t)
	ic, err := iakerbInitiator(t, farProfile(t, "TEST.EXAMPLE"), "alice", "secret").Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
	must(t, err)
	defer ic.Delete()
	ac, err := s.iakerbAcceptor(t).Accept(nil)
	must(t, err)
	var out []byte
	for legs := 0; err == nil; legs++ {
		out, err = ic.Step(out)
		must(t, err)
		if out, err = ac.Step(out); err == nil && legs == 0 {
			i := bytes.Index(out, []byte("\x04\x0cTEST.EXAMPLE"))
			out[i] = 0x0c
		}
	}
	if !errors.Is(err, gss.ErrBadMIC) || !strings.Contains(err.Error(), "saw other messages") {
		t.Error(err)
	}
}

// TestHostileIAKERBAcceptor answers an initiator with what no KDC said.
func TestHostileIAKERBAcceptor(t *testing.T) {
	s := newSetup(t)
	realm := func(realm, message string) []byte {
		token := proxy(realm, message)
		return token[bytes.Index(token, []byte("\x05\x01\x30")):]
	}
	tests := []struct {
		name         string
		defaultRealm string
		answer       []byte
	}{
		{"nothing", "TEST.EXAMPLE", nil},
		{"garbage", "TEST.EXAMPLE", []byte("garbage")},
		{"AP-REQ", "TEST.EXAMPLE", iakerbForged(t, s.realm)},
		{"no message", "TEST.EXAMPLE", realm("TEST.EXAMPLE", "")},
		{"no reply", "TEST.EXAMPLE", realm("TEST.EXAMPLE", "\x30\x00")},
		{"empty AS-REP", "TEST.EXAMPLE", realm("TEST.EXAMPLE", "\x6b\x00")},
		{"empty error", "TEST.EXAMPLE", realm("TEST.EXAMPLE", "\x7e\x00")},
		{"too long a conversation", "TEST.EXAMPLE", realm("TEST.EXAMPLE", strings.Repeat("x", 1<<20))},
		{"no realm told", "", realm("", "")},
		{"realm and message", "", realm("TEST.EXAMPLE", "x")},
	}
	for _, tt := range tests {
		before := runtime.NumGoroutine()
		ic, err := iakerbInitiator(t, farProfile(t, tt.defaultRealm), "alice", "secret").Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
		must(t, err)
		_, err = ic.Step(nil)
		must(t, err)
		if reply, err := ic.Step(tt.answer); err == nil || reply != nil || ic.Established() {
			t.Errorf("%s: %x, %v", tt.name, reply, err)
		}
		if after := runtime.NumGoroutine(); after > before {
			t.Errorf("%s: %d goroutines were %d", tt.name, after, before)
		}
	}
	// So does giving up half-way leave nothing behind.
	before := runtime.NumGoroutine()
	ic, err := iakerbInitiator(t, farProfile(t, "TEST.EXAMPLE"), "alice", "secret").Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
	must(t, err)
	_, err = ic.Step(nil)
	must(t, err)
	during := runtime.NumGoroutine()
	ic.Delete()
	if after := runtime.NumGoroutine(); during <= before || after > before {
		t.Errorf("%d goroutines, %d, %d", before, during, after)
	}
}

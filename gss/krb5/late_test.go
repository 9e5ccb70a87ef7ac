package krb5_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// A ticket that the KDC marks anonymous makes an anonymous context, another one
// does not.
func TestAnonymousTicket(t *testing.T) {
	s := newSetup(t)
	for client, flags := range map[string]uint32{"alice": 0, "WELLKNOWN/ANONYMOUS": kmsg.TicketAnonymous} {
		tok := forgery{ticket: gsstest.TicketOptions{Client: client, Flags: gsstest.TicketFlags(flags)}}.make(t, s.realm)
		ac, err := s.acceptor(t).Accept(nil)
		must(t, err)
		_, err = ac.Step(tok)
		must(t, err)
		if info := ac.Inquire(); info.Flags&gss.Anonymous != 0 != (flags != 0) || info.Initiator.String() != client+"@TEST.EXAMPLE" {
			t.Errorf("%s: context of %s with %s", client, info.Initiator, info.Flags)
		}
	}
}

// Without mutual authentication the acceptor's error comes when the initiator's
// context stands. It is read, and as nothing proves who sent it, changes nothing.
func TestErrorTokenAfterwards(t *testing.T) {
	s := newSetup(t)
	ic, err := s.initiator(t).Initiate(t.Context(), gss.Request{Target: gss.HostService(service), Flags: gss.Integrity})
	must(t, err)
	tok, err := ic.Step(nil)
	must(t, err)
	a := s.acceptor(t)
	ac, err := a.Accept(nil)
	must(t, err)
	_, err = ac.Step(tok)
	must(t, err)

	again, err := a.Accept(nil)
	must(t, err)
	errorToken, err := again.Step(tok)
	if !errors.Is(err, gss.ErrDuplicateToken) || len(errorToken) == 0 {
		t.Fatalf("a replay: %v with %x", err, errorToken)
	}
	var e *gss.Error
	if _, err := ic.Step(errorToken); !errors.As(err, &e) || !e.Remote || !strings.Contains(err.Error(), "Request is a replay") {
		t.Errorf("initiator: %v", err)
	}
	if _, err := ic.Step(tok); !errors.As(err, &e) || e.Remote {
		t.Errorf("another token: %v", err)
	}
	mic, err := ic.MIC(nil, []byte("hello"))
	must(t, err)
	must(t, ac.VerifyMIC([]byte("hello"), mic))
}

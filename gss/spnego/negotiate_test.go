package spnego

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
)

// Every way that two ends with two mechanisms can agree, with what they say to
// each other: the rules of RFC 4178, sections 4.2.2 and 5.
func TestNegotiation(t *testing.T) {
	noMIC := gss.Confidentiality // anything but Integrity
	tests := []struct {
		name      string
		initiator []fake
		acceptor  []fake
		mech      gss.OID
		said      string
	}{
		{"preferred, one leg",
			[]fake{{mech: mechA, legs: 1}}, []fake{{mech: mechA, legs: 1}},
			mechA, "init A token; completed A"},
		{"preferred, two legs",
			[]fake{{mech: mechA, legs: 2}}, []fake{{mech: mechA, legs: 2}},
			mechA, "init A token; completed A token"},
		{"preferred, three legs",
			[]fake{{mech: mechA, legs: 3}}, []fake{{mech: mechA, legs: 3}},
			mechA, "init A token; incomplete A token; incomplete token; completed"},
		{"preferred, four legs",
			[]fake{{mech: mechA, legs: 4}}, []fake{{mech: mechA, legs: 4}},
			mechA, "init A token; incomplete A token; incomplete token; completed token"},
		{"preferred of two",
			[]fake{{mech: mechA, legs: 2}, {mech: mechB, legs: 1}}, []fake{{mech: mechB, legs: 1}, {mech: mechA, legs: 2}},
			mechA, "init A B token; completed A token"},
		{"fallback, one leg",
			[]fake{{mech: mechA, legs: 2}, {mech: mechB, legs: 1}}, []fake{{mech: mechB, legs: 1}},
			mechB, "init A B token; request-mic B; incomplete token mic; completed mic"},
		{"fallback, two legs",
			[]fake{{mech: mechA, legs: 1}, {mech: mechB, legs: 2}}, []fake{{mech: mechB, legs: 2}},
			mechB, "init A B token; request-mic B; incomplete token; incomplete token mic; completed mic"},
		{"fallback, three legs",
			[]fake{{mech: mechA, legs: 2}, {mech: mechB, legs: 3}}, []fake{{mech: mechB, legs: 3}},
			mechB, "init A B token; request-mic B; incomplete token; incomplete token; incomplete token mic; completed mic"},
		{"fallback, four legs",
			[]fake{{mech: mechA, legs: 2}, {mech: mechB, legs: 4}}, []fake{{mech: mechB, legs: 4}},
			mechB, "init A B token; request-mic B; incomplete token; incomplete token; incomplete token; incomplete token mic; completed mic"},
		{"the initiator's order decides",
			[]fake{{mech: mechC, legs: 1}, {mech: mechA, legs: 1}, {mech: mechB, legs: 1}}, []fake{{mech: mechB, legs: 1}, {mech: mechA, legs: 1}},
			mechA, "init C A B token; request-mic A; incomplete token mic; completed mic"},
		{"fallback to a mechanism without integrity",
			[]fake{{mech: mechA, legs: 2}, {mech: mechB, legs: 1, flags: noMIC}}, []fake{{mech: mechB, legs: 1, flags: noMIC}},
			mechB, "init A B token; request-mic B; incomplete token; completed"},
		{"a mechanism that cannot initiate is not offered",
			[]fake{{mech: mechA, initiateIs: errFake}, {mech: mechB, legs: 2}}, []fake{{mech: mechA, legs: 2}, {mech: mechB, legs: 2}},
			mechB, "init B token; completed B token"},
		{"a mechanism that cannot begin is not offered",
			[]fake{{mech: mechA, legs: 2, beginIs: errFake}, {mech: mechB, legs: 2}}, []fake{{mech: mechA, legs: 2}, {mech: mechB, legs: 2}},
			mechB, "init B token; completed B token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var live int
			for i := range tt.initiator {
				tt.initiator[i].live = &live
			}
			for i := range tt.acceptor {
				tt.acceptor[i].live = &live
			}
			ic, token := initiate(t, initiators(tt.initiator...)...)
			ac := accept(t, acceptors(tt.acceptor...)...)
			said, ierr, aerr := run(t, ic, token, ac, func(_ int, token []byte) []byte {
				for _, c := range []gss.Context{ic, ac} {
					if info := c.Inquire(); !c.Established() && (info.Flags&(gss.ProtReady|gss.Transferable) != 0 || info.Delegated != nil || info.Established) {
						t.Errorf("shown before the list is known to be genuine: %+v", info)
					}
				}
				return token
			})
			if ierr != nil || aerr != nil {
				t.Fatalf("initiator: %v, acceptor: %v\n%s", ierr, aerr, strings.Join(said, "; "))
			}
			if got := strings.Join(said, "; "); got != tt.said {
				t.Errorf("said %s\nwant %s", got, tt.said)
			}
			for _, c := range []gss.Context{ic, ac} {
				info := c.Inquire()
				if !c.Established() || !info.Established || info.Mechanism != tt.mech || info.Local != (c == ic) || info.Delegated == nil {
					t.Errorf("established %t, %+v", c.Established(), info)
				}
				if _, err := c.Step(nil); err == nil {
					t.Error("an established context can be stepped")
				}
			}
			if live != 2 {
				t.Errorf("%d mechanism contexts live on, want one at each end", live)
			}
			if msg := []byte("message"); ic.Inquire().Flags&gss.Integrity != 0 {
				mic, err := ic.MIC(nil, msg)
				must(t, err)
				must(t, ac.VerifyMIC(msg, mic))
			}
			ic.Delete()
			ac.Delete()
			if live != 0 {
				t.Errorf("%d mechanism contexts outlive the deletion", live)
			}
		})
	}
}

func TestNoCommonMechanism(t *testing.T) {
	ic, token := initiate(t, initiators(fake{mech: mechA, legs: 2}, fake{mech: mechB, legs: 2})...)
	ac := accept(t, fake{mech: mechC, legs: 2})
	reply, aerr := ac.Step(token)
	if !errors.Is(aerr, gss.ErrBadMech) || !strings.Contains(aerr.Error(), "SPNEGO failed to negotiate a mechanism") {
		t.Errorf("acceptor: %v", aerr)
	}
	for _, offered := range []gss.OID{mechA, mechB} {
		if !strings.Contains(aerr.Error(), offered.String()) {
			t.Errorf("the error does not tell that %s was offered: %v", offered, aerr)
		}
	}
	if got := describe(t, reply); got != "reject" {
		t.Fatalf("said %s", got)
	}
	reply, ierr := ic.Step(reply)
	var e *gss.Error
	if !errors.As(ierr, &e) || e.Major != gss.ErrBadMech || !e.Remote || len(reply) > 0 {
		t.Errorf("initiator: %v with %x", ierr, reply)
	}
}

// A mechanism's error token travels inside the reject, and the initiator's
// mechanism says what it means.
func TestMechanismErrorToken(t *testing.T) {
	for _, tt := range []struct {
		initiator []fake
		said      string
	}{
		{[]fake{{mech: mechA, legs: 2}}, "init A token; reject token"},
		{[]fake{{mech: mechB, legs: 2}, {mech: mechA, legs: 2}}, "init B A token; request-mic A; incomplete token; reject token"},
	} {
		ic, token := initiate(t, initiators(tt.initiator...)...)
		ac := accept(t, fake{mech: mechA, legs: 2, refuse: true})
		said, ierr, aerr := run(t, ic, token, ac, nil)
		if got := strings.Join(said, "; "); got != tt.said {
			t.Errorf("said %s\nwant %s", got, tt.said)
		}
		if !errors.Is(aerr, errFake) {
			t.Errorf("acceptor: %v", aerr)
		}
		var e *gss.Error
		if !errors.As(ierr, &e) || !e.Remote || e.Mech != mechA || e.Major != gss.ErrUnauthorized {
			t.Errorf("initiator: %v", ierr)
		}
	}
}

// When no mechanism can initiate the error is the preferred one's.
func TestInitiateFails(t *testing.T) {
	other := errors.New("another failure")
	for _, mechs := range [][]fake{
		{{mech: mechA, initiateIs: errFake}, {mech: mechB, initiateIs: other}},
		{{mech: mechA, legs: 1, beginIs: errFake}, {mech: mechB, legs: 1, beginIs: other}},
	} {
		i, err := NewInitiator(initiators(mechs...)...)
		must(t, err)
		c, err := i.Initiate(t.Context(), gss.Request{})
		if err == nil {
			var token []byte
			if token, err = c.Step(nil); len(token) > 0 {
				t.Errorf("a token with the error: %x", token)
			}
		}
		if !errors.Is(err, errFake) || errors.Is(err, other) {
			t.Errorf("error %v, want that of the first", err)
		}
	}
}

// A context that ended is not taken for a lack of credentials: the next
// mechanism is not tried.
func TestInitiateCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var live int
	i, err := NewInitiator(initiators(fake{mech: mechA, initiateIs: errFake}, fake{mech: mechB, live: &live})...)
	must(t, err)
	if c, err := i.Initiate(ctx, gss.Request{}); !errors.Is(err, errFake) || c != nil || live != 0 {
		t.Errorf("%v, %v, %d contexts", c, err, live)
	}
}

// asked notes the flags that a mechanism is asked for.
type asked struct {
	fake
	flags *gss.Flags
}

func (a asked) Initiate(ctx context.Context, req gss.Request) (gss.Context, error) {
	*a.flags = req.Flags
	return a.fake.Initiate(ctx, req)
}

// Only MICs protect a choice, so whoever offers one asks for integrity.
func TestChoiceAsksForIntegrity(t *testing.T) {
	var got gss.Flags
	first := asked{fake{mech: mechA, legs: 2}, &got}
	for _, tt := range []struct {
		mechs []gss.Initiator
		flags gss.Flags
		want  gss.Flags
	}{
		{[]gss.Initiator{first}, gss.Mutual, gss.Mutual},
		{[]gss.Initiator{first, fake{mech: mechB}}, gss.Mutual, gss.Mutual | gss.Integrity},
		{[]gss.Initiator{first, fake{mech: mechB}}, 0, gss.DefaultFlags},
	} {
		i, err := NewInitiator(tt.mechs...)
		must(t, err)
		_, err = i.Initiate(t.Context(), gss.Request{Flags: tt.flags})
		must(t, err)
		if got != tt.want {
			t.Errorf("%d mechanisms, flags %s: asked for %s, want %s", len(tt.mechs), tt.flags, got, tt.want)
		}
	}
}

func TestMechanismLists(t *testing.T) {
	var many []fake
	for i := range maxMechs + 1 {
		many = append(many, fake{mech: gss.OID([]byte{0x2a, 3, byte(i)})})
	}
	for _, tt := range []struct {
		name  string
		mechs []fake
		ok    bool
	}{
		{"none", nil, false},
		{"one", []fake{{mech: mechA}}, true},
		{"itself", []fake{{mech: mechA}, {mech: gss.MechSPNEGO}}, false},
		{"one twice", []fake{{mech: mechA}, {mech: mechB}, {mech: mechA}}, false},
		{"Kerberos by both its numbers", []fake{{mech: gss.MechKrb5}, {mech: mechMSKrb5}}, false},
		{"no identifier", []fake{{mech: "\x80"}}, false},
		{"as many as a list may have", many[:maxMechs], true},
		{"one more", many, false},
	} {
		_, ierr := NewInitiator(initiators(tt.mechs...)...)
		_, aerr := NewAcceptor(acceptors(tt.mechs...)...)
		for _, err := range []error{ierr, aerr} {
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, gss.ErrBadMech) {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	}
}

// The caller's slice is the caller's.
func TestMechanismsAreCopied(t *testing.T) {
	mechs := initiators(fake{mech: mechA, legs: 1}, fake{mech: mechB, legs: 1})
	i, err := NewInitiator(mechs...)
	must(t, err)
	mechs[0] = fake{mech: mechC}
	c, err := i.Initiate(t.Context(), gss.Request{})
	must(t, err)
	token, err := c.Step(nil)
	must(t, err)
	if got := readInit(t, token).mechs; !slices.Equal(got, []gss.OID{mechA, mechB}) {
		t.Errorf("offered %s", got)
	}
}

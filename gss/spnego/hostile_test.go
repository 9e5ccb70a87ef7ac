package spnego

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
)

// An initiator's table: what an acceptor says to an initiator that offers A and
// B, and what comes of it. The acceptor's mechanism contexts are real, so it can
// make real MICs.
type acceptorScript struct {
	init *negTokenInit
	a, b *fakeContext // the acceptor's contexts of the mechanisms
}

// mic is a MIC of the list by one of the acceptor's contexts.
func (s *acceptorScript) mic(c *fakeContext) []byte {
	c.leg = c.legs // whether it stands or not
	return c.sum(false, s.init.mechList)
}

func (s *acceptorScript) token(t testing.TB, c *fakeContext, in []byte) []byte {
	out, err := c.Step(in)
	must(t, err)
	return out
}

// What an initiator makes of what an acceptor may say, and may not.
func TestInitiatorReceives(t *testing.T) {
	wrong := []byte("not a MIC of the list")
	type resp = negTokenResp
	tests := []struct {
		name  string
		legsA int
		legsB int
		say   func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp)
		want  error  // nil: the context is established
		text  string // in the error
		said  string // the initiator's last word; "" is none
	}{
		{name: "good",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptCompleted, mech: mechA, token: s.token(t, s.a, s.init.token)})
			}},
		{name: "neither state nor mechanism, as old Java has it",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{token: s.token(t, s.a, s.init.token)})
			}},
		{name: "accept-incomplete where nothing is left to do",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptIncomplete, mech: mechA, token: s.token(t, s.a, s.init.token)})
			}},
		{name: "the mechanism named again",
			legsA: 4,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				r := step(resp{state: acceptIncomplete, mech: mechA, token: s.token(t, s.a, s.init.token)})
				step(resp{state: acceptCompleted, mech: mechA, token: s.token(t, s.a, r.token)})
			}},
		{name: "unsolicited MIC, the acceptor is done",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptCompleted, mech: mechA, token: s.token(t, s.a, s.init.token), mic: s.mic(s.a)})
			}},
		{name: "unsolicited MIC, the acceptor waits for ours",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptIncomplete, mech: mechA, token: s.token(t, s.a, s.init.token), mic: s.mic(s.a)})
			},
			said: "completed mic"},
		{name: "unsolicited MIC after the last token, the acceptor is done",
			legsA: 1,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptCompleted, mech: mechA, mic: s.mic(s.a)})
			}},
		{name: "unsolicited MIC that is wrong",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptCompleted, mech: mechA, token: s.token(t, s.a, s.init.token), mic: wrong})
			},
			want: gss.ErrBadMIC, text: "altered", said: "reject"},
		{name: "request-mic with the preferred mechanism",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: requestMIC, mech: mechA, token: s.token(t, s.a, s.init.token), mic: s.mic(s.a)})
			},
			said: "completed mic"},
		{name: "request-mic with the preferred mechanism of one token",
			legsA: 1,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: requestMIC, mech: mechA, mic: s.mic(s.a)})
			},
			said: "completed mic"},
		{name: "request-mic, but no MIC",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: requestMIC, mech: mechA, token: s.token(t, s.a, s.init.token)})
			},
			want: gss.ErrDefectiveToken, text: "missing", said: "reject"},
		{name: "request-mic, but no MIC after our last token",
			legsA: 3,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				r := step(resp{state: requestMIC, mech: mechA, token: s.token(t, s.a, s.init.token)})
				if r.mic == nil {
					t.Error("no MIC beside the last token")
				}
				step(resp{state: acceptCompleted})
			},
			want: gss.ErrDefectiveToken, text: "missing", said: "reject"},
		{name: "fallback, but the MIC is wrong",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				r := step(resp{state: requestMIC, mech: mechB})
				step(resp{state: acceptIncomplete, token: s.token(t, s.b, r.token), mic: wrong})
			},
			want: gss.ErrDefectiveToken, text: "altered", said: "reject"},
		{name: "fallback, but the MIC is of another mechanism",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				r := step(resp{state: requestMIC, mech: mechB})
				step(resp{state: acceptIncomplete, token: s.token(t, s.b, r.token), mic: s.mic(s.a)})
			},
			want: gss.ErrBadMIC, said: "reject"},
		{name: "fallback, but the MIC is our own, reflected",
			legsB: 3,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				r := step(resp{state: requestMIC, mech: mechB})
				r = step(resp{state: acceptIncomplete, token: s.token(t, s.b, r.token)})
				step(resp{state: acceptCompleted, mic: r.mic})
			},
			want: gss.ErrBadMIC, said: "reject"},
		{name: "fallback, but the MIC is missing",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				r := step(resp{state: requestMIC, mech: mechB})
				step(resp{state: acceptCompleted, token: s.token(t, s.b, r.token)})
			},
			want: gss.ErrDefectiveToken, text: "missing", said: "reject"},
		{name: "fallback, but the MIC is the token again (Windows 2000)",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				r := step(resp{state: requestMIC, mech: mechB})
				token := s.token(t, s.b, r.token)
				step(resp{state: acceptCompleted, token: token, mic: token})
			},
			want: gss.ErrDefectiveToken, text: "missing", said: "reject"},
		{name: "the token again for a MIC (Windows 2000)",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				token := s.token(t, s.a, s.init.token)
				step(resp{state: acceptCompleted, mech: mechA, token: token, mic: token})
			}},
		{name: "fallback without request-mic",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptIncomplete, mech: mechB})
			},
			want: gss.ErrDefectiveToken, text: "without asking for a mechListMIC", said: "reject"},
		{name: "fallback, already complete",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptCompleted, mech: mechB})
			},
			want: gss.ErrDefectiveToken, said: "reject"},
		{name: "fallback with a token",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: requestMIC, mech: mechB, token: []byte("token")})
			},
			want: gss.ErrDefectiveToken, said: "reject"},
		{name: "fallback with a MIC",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: requestMIC, mech: mechB, mic: s.mic(s.b)})
			},
			want: gss.ErrDefectiveToken, said: "reject"},
		{name: "a mechanism that was not offered",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: requestMIC, mech: mechC})
			},
			want: gss.ErrDefectiveToken, text: mechC.String(), said: "reject"},
		{name: "another mechanism later",
			legsA: 4,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptIncomplete, mech: mechA, token: s.token(t, s.a, s.init.token)})
				step(resp{state: requestMIC, mech: mechB})
			},
			want: gss.ErrDefectiveToken, said: "reject"},
		{name: "another mechanism's token later",
			legsA: 4,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptIncomplete, mech: mechA, token: s.token(t, s.a, s.init.token)})
				step(resp{state: acceptIncomplete, mech: mechB, token: []byte("token")})
			},
			want: gss.ErrDefectiveToken, text: "changed the mechanism", said: "reject"},
		{name: "request-mic later",
			legsA: 4,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				r := step(resp{state: acceptIncomplete, mech: mechA, token: s.token(t, s.a, s.init.token)})
				step(resp{state: requestMIC, token: s.token(t, s.a, r.token)})
			},
			want: gss.ErrDefectiveToken, text: "request-mic", said: "reject"},
		{name: "no token",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptIncomplete, mech: mechA})
			},
			want: gss.ErrDefectiveToken, text: "SPNEGO acceptor did not return a valid token", said: "reject"},
		{name: "a token too many",
			legsA: 1,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptCompleted, mech: mechA, token: []byte("token")})
			},
			want: gss.ErrDefectiveToken, said: "reject"},
		{name: "complete before we are",
			legsA: 3,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptCompleted, mech: mechA, token: s.token(t, s.a, s.init.token)})
			},
			want: gss.ErrDefectiveToken, text: "accept-completed", said: "reject"},
		{name: "complete long before we are",
			legsA: 5,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptCompleted, mech: mechA, token: s.token(t, s.a, s.init.token)})
			},
			want: gss.ErrDefectiveToken, text: "accept-completed", said: "reject"},
		{name: "a MIC before the context stands",
			legsA: 5,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				token := s.token(t, s.a, s.init.token)
				step(resp{state: acceptIncomplete, mech: mechA, token: token, mic: s.mic(s.a)})
			},
			want: gss.ErrDefectiveToken, text: "before", said: "reject"},
		{name: "a second MIC",
			legsA: 3,
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				token := s.token(t, s.a, s.init.token)
				step(resp{state: requestMIC, mech: mechA, token: token, mic: s.mic(s.a)})
				step(resp{state: acceptCompleted, mic: s.mic(s.a)})
			},
			want: gss.ErrDefectiveToken, text: "second", said: "reject"},
		{name: "a token that the mechanism refuses",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: acceptCompleted, mech: mechA, token: []byte("nonsense")})
			},
			want: gss.ErrDefectiveToken, text: "nonsense", said: "reject token"},
		{name: "reject",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: rejected})
			},
			want: gss.ErrBadMech, text: "remote error: "},
		{name: "reject of the chosen mechanism",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: rejected, mech: mechA})
			},
			want: gss.ErrFailure, text: "remote error: "},
		{name: "reject later",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: requestMIC, mech: mechB})
				step(resp{state: rejected})
			},
			want: gss.ErrFailure, text: "remote error: "},
		{name: "reject by the mechanism",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: rejected, token: []byte("error 42")})
			},
			want: gss.ErrUnauthorized, text: "error 42"},
		{name: "reject with a good token",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: rejected, token: s.token(t, s.a, s.init.token)})
			},
			want: gss.ErrFailure, text: "remote error: "},
		{name: "reject with a token of a mechanism that was not begun",
			say: func(t *testing.T, s *acceptorScript, step func(resp) *negTokenResp) {
				step(resp{state: rejected, mech: mechB, token: []byte("error 42")})
			},
			want: gss.ErrFailure, text: "remote error: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := fake{mech: mechA, legs: max(tt.legsA, 1)}
			b := fake{mech: mechB, legs: max(tt.legsB, 1)}
			if tt.legsA == 0 {
				a.legs = 2
			}
			if tt.legsB == 0 {
				b.legs = 2
			}
			ic, first := initiate(t, a, b)
			s := &acceptorScript{init: readInit(t, first), a: a.context(false), b: b.context(false)}
			var last []byte
			var err error
			tt.say(t, s, func(r negTokenResp) *negTokenResp {
				if err != nil {
					t.Fatalf("failed early: %v", err)
				}
				if last, err = ic.Step(r.marshal()); len(last) == 0 {
					return nil
				}
				return readResp(t, last)
			})
			said := ""
			if len(last) > 0 {
				said = describe(t, last)
			}
			if said != tt.said {
				t.Errorf("said %q, want %q", said, tt.said)
			}
			if tt.want == nil {
				if err != nil || !ic.Established() {
					t.Errorf("established %t, %v", ic.Established(), err)
				}
				return
			}
			checkFailed(t, ic, err, tt.want, tt.text)
		})
	}
}

// checkFailed sees that a context failed as it should, and that the failure
// sticks.
func checkFailed(t *testing.T, c gss.Context, err, want error, text string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want %v with %q", err, want, text)
	}
	if c.Established() || c.Inquire().Established {
		t.Error("established after a failure")
	}
	good := (&negTokenResp{state: acceptCompleted}).marshal()
	if reply, again := c.Step(good); again != err || len(reply) > 0 {
		t.Errorf("the next Step: %v with %x", again, reply)
	}
	if _, merr := c.MIC(nil, nil); merr != err {
		t.Errorf("MIC: %v", merr)
	}
}

// What an acceptor that has B makes of what an initiator may say, and may not.
func TestAcceptorReceives(t *testing.T) {
	wrong := []byte("not a MIC of the list")
	onlyB := marshalMechList([]gss.OID{mechB})
	listAB := marshalMechList([]gss.OID{mechA, mechB})
	type step = func(token []byte) *negTokenResp
	tests := []struct {
		name string
		legs int
		say  func(t *testing.T, b *fakeContext, step step)
		want error  // nil: the context is established
		text string // in the error
		said string // the acceptor's last word; "" is none
	}{
		{name: "no optimistic token", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: onlyB}).marshal())
				step((&negTokenResp{token: []byte(b.fakeToken(1))}).marshal())
			},
			said: "completed token"},
		{name: "unsolicited MIC beside the only token", legs: 1,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: onlyB, token: []byte(b.fakeToken(1)), mic: b.sum(true, onlyB)}).marshal())
			},
			said: "completed B mic"},
		{name: "unsolicited MIC beside the last token", legs: 3,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: onlyB, token: []byte(b.fakeToken(1))}).marshal())
				step((&negTokenResp{token: []byte(b.fakeToken(3)), mic: b.sum(true, onlyB)}).marshal())
			},
			said: "completed mic"},
		{name: "unsolicited MIC, wrong", legs: 1,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: onlyB, token: []byte(b.fakeToken(1)), mic: wrong}).marshal())
			},
			want: gss.ErrBadMIC, text: "altered", said: "reject"},
		{name: "optimistic token and MIC of a mechanism that is not here", legs: 1,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: listAB, token: []byte("token"), mic: wrong}).marshal())
				step((&negTokenResp{token: []byte(b.fakeToken(1)), mic: b.sum(true, listAB)}).marshal())
			},
			said: "completed mic"},
		{name: "required MIC missing beside the last token", legs: 1,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: listAB}).marshal())
				step((&negTokenResp{token: []byte(b.fakeToken(1))}).marshal())
			},
			want: gss.ErrDefectiveToken, text: "missing", said: "reject"},
		{name: "required MIC missing after our last token", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: listAB}).marshal())
				step((&negTokenResp{token: []byte(b.fakeToken(1))}).marshal())
				step((&negTokenResp{state: acceptCompleted}).marshal())
			},
			want: gss.ErrDefectiveToken, text: "missing", said: "reject"},
		{name: "required MIC is the token again", legs: 1,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: listAB}).marshal())
				step((&negTokenResp{token: []byte(b.fakeToken(1)), mic: []byte(b.fakeToken(1))}).marshal())
			},
			want: gss.ErrDefectiveToken, text: "missing", said: "reject"},
		{name: "required MIC wrong", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: listAB}).marshal())
				step((&negTokenResp{token: []byte(b.fakeToken(1))}).marshal())
				step((&negTokenResp{state: acceptCompleted, mic: wrong}).marshal())
			},
			want: gss.ErrBadMIC, text: "altered", said: "reject"},
		{name: "required MIC is ours, reflected", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: listAB}).marshal())
				r := step((&negTokenResp{token: []byte(b.fakeToken(1))}).marshal())
				step((&negTokenResp{state: acceptCompleted, mic: r.mic}).marshal())
			},
			want: gss.ErrBadMIC, text: "altered", said: "reject"},
		{name: "MIC before the context stands", legs: 3,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: onlyB, token: []byte(b.fakeToken(1)), mic: b.sum(true, onlyB)}).marshal())
			},
			want: gss.ErrDefectiveToken, text: "before", said: "reject"},
		{name: "token after the context stands", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: listAB}).marshal())
				step((&negTokenResp{token: []byte(b.fakeToken(1))}).marshal())
				step((&negTokenResp{token: []byte("token"), mic: b.sum(true, listAB)}).marshal())
			},
			want: gss.ErrDefectiveToken, text: "stands", said: "reject"},
		{name: "neither token nor MIC", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: onlyB}).marshal())
				step((&negTokenResp{state: acceptIncomplete}).marshal())
			},
			want: gss.ErrDefectiveToken, text: "no mechanism's token", said: "reject"},
		{name: "supportedMech from the initiator", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: onlyB}).marshal())
				step((&negTokenResp{mech: mechB, token: []byte(b.fakeToken(1))}).marshal())
			},
			want: gss.ErrDefectiveToken, text: "supportedMech", said: "reject"},
		{name: "request-mic from the initiator", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: onlyB}).marshal())
				step((&negTokenResp{state: requestMIC, token: []byte(b.fakeToken(1))}).marshal())
			},
			want: gss.ErrDefectiveToken, text: "request-mic", said: "reject"},
		{name: "a second NegTokenInit", legs: 3,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: onlyB, token: []byte(b.fakeToken(1))}).marshal())
				step((&negTokenInit{mechList: onlyB, token: []byte(b.fakeToken(1))}).marshal())
			},
			want: gss.ErrDefectiveToken, text: "malformed NegTokenResp", said: "reject"},
		{name: "a NegTokenResp first", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenResp{token: []byte(b.fakeToken(1))}).marshal())
			},
			want: gss.ErrDefectiveToken},
		{name: "nothing", legs: 2,
			say:  func(t *testing.T, b *fakeContext, step step) { step(nil) },
			want: gss.ErrDefectiveToken},
		{name: "no list", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{token: []byte(b.fakeToken(1))}).marshal())
			},
			want: gss.ErrDefectiveToken, text: "lists no mechanism", said: "reject"},
		{name: "an empty list", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: marshalMechList(nil), token: []byte(b.fakeToken(1))}).marshal())
			},
			want: gss.ErrDefectiveToken, text: "lists no mechanism", said: "reject"},
		{name: "SPNEGO in SPNEGO", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: marshalMechList([]gss.OID{gss.MechSPNEGO}), token: []byte("token")}).marshal())
			},
			want: gss.ErrBadMech, text: "spnego", said: "reject"},
		{name: "raw NTLM", legs: 2,
			say:  func(t *testing.T, b *fakeContext, step step) { step([]byte("NTLMSSP\x00\x01\x00\x00\x00")) },
			want: gss.ErrBadMech, text: "NTLM"},
		{name: "reject", legs: 3,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: onlyB, token: []byte(b.fakeToken(1))}).marshal())
				step((&negTokenResp{state: rejected}).marshal())
			},
			want: gss.ErrFailure, text: "remote error: "},
		{name: "reject by the mechanism", legs: 3,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: onlyB, token: []byte(b.fakeToken(1))}).marshal())
				step((&negTokenResp{state: rejected, token: []byte("error 42")}).marshal())
			},
			want: gss.ErrUnauthorized, text: "error 42"},
		{name: "reject of our MIC", legs: 2,
			say: func(t *testing.T, b *fakeContext, step step) {
				step((&negTokenInit{mechList: listAB}).marshal())
				step((&negTokenResp{token: []byte(b.fakeToken(1))}).marshal())
				step((&negTokenResp{state: rejected}).marshal())
			},
			want: gss.ErrFailure, text: "remote error: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := fake{mech: mechB, legs: tt.legs}
			ac := accept(t, b)
			var last []byte
			var err error
			tt.say(t, b.context(true), func(token []byte) *negTokenResp {
				if err != nil {
					t.Fatalf("failed early: %v", err)
				}
				if last, err = ac.Step(token); len(last) == 0 {
					return nil
				}
				return readResp(t, last)
			})
			said := ""
			if len(last) > 0 {
				said = describe(t, last)
			}
			if said != tt.said {
				t.Errorf("said %q, want %q", said, tt.said)
			}
			if tt.want == nil {
				if err != nil || !ac.Established() {
					t.Errorf("established %t, %v", ac.Established(), err)
				}
				return
			}
			checkFailed(t, ac, err, tt.want, tt.text)
		})
	}
}

// An acceptor that fails to make a context says so and rejects.
func TestAcceptFails(t *testing.T) {
	_, token := initiate(t, fake{mech: mechA, legs: 2})
	ac := accept(t, fake{mech: mechA, acceptIs: errFake})
	reply, err := ac.Step(token)
	if len(reply) == 0 || describe(t, reply) != "reject" {
		t.Errorf("said %x", reply)
	}
	checkFailed(t, ac, err, errFake, "")
}

// Whoever alters the list that the initiator sent gets nowhere, whatever he
// does to the acceptor's answer: he cannot make the MICs. Mechanisms of one,
// two and three tokens end their exchange in each of the ways that RFC 4178,
// section 5, distinguishes.
func TestAlteredList(t *testing.T) {
	lists := map[string][]gss.OID{
		"preferred removed":  {mechB},
		"order changed":      {mechB, mechA},
		"preferred replaced": {mechC, mechB},
	}
	for legs := 1; legs <= 4; legs++ {
		for name, list := range lists {
			for _, state := range []negState{stateAbsent, acceptCompleted, acceptIncomplete, requestMIC} {
				for _, strip := range []bool{false, true} {
					t.Run(fmt.Sprintf("legs=%d/%s/state=%d/strip=%t", legs, name, state, strip), func(t *testing.T) {
						a, b := fake{mech: mechA, legs: 2}, fake{mech: mechB, legs: legs}
						ic, token := initiate(t, a, b)
						ac := accept(t, a, b)
						_, ierr, _ := run(t, ic, token, ac, func(i int, token []byte) []byte {
							switch {
							case i == 0:
								return (&negTokenInit{mechList: marshalMechList(list)}).marshal()
							case i == 1:
								r := readResp(t, token)
								r.state = state
								return r.marshal()
							case strip:
								r := readResp(t, token)
								r.mic = nil
								return r.marshal()
							}
							return token
						})
						if ic.Established() || ierr == nil && ac.Established() {
							t.Errorf("established with an altered list: initiator %t, acceptor %t, %v", ic.Established(), ac.Established(), ierr)
						}
					})
				}
			}
		}
	}
}

// Every strict prefix of a token, and every token with a byte too many, is
// refused by either end.
func TestPrefixesAndTrailingBytes(t *testing.T) {
	a, b := fake{mech: mechA, legs: 2}, fake{mech: mechB, legs: 4}
	ic, token := initiate(t, a, b)
	var tokens [][]byte
	_, ierr, aerr := run(t, ic, token, accept(t, b), func(_ int, token []byte) []byte {
		tokens = append(tokens, slices.Clone(token))
		return token
	})
	if ierr != nil || aerr != nil || len(tokens) != 7 {
		t.Fatalf("%d tokens, %v, %v", len(tokens), ierr, aerr)
	}
	for i := range tokens {
		broken := [][]byte{append(slices.Clone(tokens[i]), 0), append(slices.Clone(tokens[i]), tokens[i]...)}
		for n := range tokens[i] {
			broken = append(broken, tokens[i][:n])
		}
		for _, bad := range broken {
			ic, _ := initiate(t, a, b)
			ac := accept(t, b)
			var err error
			for j, token := range tokens[:i+1] {
				end := ac
				if j%2 == 1 {
					end = ic
				}
				if j == i {
					token = bad
				}
				if _, err = end.Step(token); err != nil && j < i {
					t.Fatal(err)
				}
			}
			if !errors.Is(err, gss.ErrDefectiveToken) {
				t.Fatalf("token %d cut or continued to %x: %v", i, bad, err)
			}
		}
	}
}

func TestBounds(t *testing.T) {
	b := fake{mech: mechB, legs: 1}
	list := slices.Repeat([]gss.OID{mechC}, maxMechs-1)
	full := (&negTokenInit{mechList: marshalMechList(append(list, mechB))}).marshal()
	if _, err := accept(t, b).Step(full); err != nil {
		t.Errorf("a list of %d mechanisms: %v", maxMechs, err)
	}
	over := (&negTokenInit{mechList: marshalMechList(append(list, mechC, mechB))}).marshal()
	if _, err := accept(t, b).Step(over); !errors.Is(err, gss.ErrDefectiveToken) {
		t.Errorf("a list of %d mechanisms: %v", maxMechs+1, err)
	}

	// What the peer lists does not fill the log, nor take the time of reading
	// endless numbers.
	many := (&negTokenInit{mechList: marshalMechList(slices.Repeat([]gss.OID{mechC}, maxMechs))}).marshal()
	long := string(mechC) + strings.Repeat("\x81", 1<<19) + "\x01"
	for _, tt := range []struct {
		token string
		want  gss.Major
		text  string
	}{
		{string(many), gss.ErrBadMech, "24 more"},
		{der(0x60, oid(gss.OID(long))), gss.ErrBadMech, "malformed OID"},
		{initToken(mechTypes(oid(gss.OID(long)))), gss.ErrDefectiveToken, "malformed NegTokenInit"},
	} {
		_, err := accept(t, b).Step([]byte(tt.token))
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || len(err.Error()) > 1000 {
			t.Errorf("%.100v, want %v with %q", err, tt.want, tt.text)
		}
	}

	// A token as long as may be reaches the mechanism, one byte more does not.
	onlyB := marshalMechList([]gss.OID{mechB})
	fill := maxTokenLength - len((&negTokenInit{mechList: onlyB, token: make([]byte, 1<<19)}).marshal()) + 1<<19
	for extra, want := range []string{"token \"", "longer than"} {
		token := (&negTokenInit{mechList: onlyB, token: make([]byte, fill+extra)}).marshal()
		if len(token) != maxTokenLength+extra {
			t.Fatalf("a token of %d bytes, want %d", len(token), maxTokenLength+extra)
		}
		if _, err := accept(t, b).Step(token); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a token of %d bytes: %.80v", len(token), err)
		}
	}

	// An exchange does not go on for ever.
	endless := fake{mech: mechA, legs: 1 << 20}
	ic, token := initiate(t, endless)
	said, ierr, aerr := run(t, ic, token, accept(t, endless), nil)
	if err := errors.Join(ierr, aerr); !errors.Is(err, gss.ErrDefectiveToken) || !strings.Contains(err.Error(), "no context after") || len(said) > 2*maxLegs+1 {
		t.Errorf("%d tokens, %v", len(said), err)
	}
}

// What is in a token that a carrier takes its memory back from is not needed
// later: the list that the MICs are made over is kept.
func TestTokenMemoryIsReused(t *testing.T) {
	b := fake{mech: mechB, legs: 2}
	ic, token := initiate(t, fake{mech: mechA, legs: 2}, b)
	ac := accept(t, b)
	var delivered []byte
	_, ierr, aerr := run(t, ic, token, ac, func(_ int, token []byte) []byte {
		clear(delivered)
		delivered = bytes.Clone(token)
		return delivered
	})
	if ierr != nil || aerr != nil || !ic.Established() || !ac.Established() {
		t.Errorf("%v, %v", ierr, aerr)
	}
}

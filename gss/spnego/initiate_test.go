package spnego

import (
	"errors"
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

package spnego

import (
	"testing"

	"github.com/countersign-go/countersign/gss"
)

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

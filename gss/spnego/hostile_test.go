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

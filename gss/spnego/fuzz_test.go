package spnego

import (
	"reflect"
	"testing"

	"github.com/countersign-go/countersign/gss"
)

// fuzzA and fuzzB are negotiated by the fuzzed contexts. With the second, the
// fallback, two tokens from the peer are a whole exchange with its MICs, for an
// initiator if the mechanism has two legs, for an acceptor if it has one.
var fuzzA = fake{mech: mechA, legs: 2}

func fuzzB(legs int) fake { return fake{mech: mechB, legs: legs} }

// seeds are the tokens of whole exchanges, and of the peers that deviate.
func seeds(t testing.TB) [][]byte {
	var tokens [][]byte
	for _, acceptor := range []fake{fuzzA, fuzzB(1), fuzzB(2)} {
		ic, token := initiate(t, fuzzA, fuzzB(acceptor.legs))
		run(t, ic, token, accept(t, acceptor), func(_ int, token []byte) []byte {
			tokens = append(tokens, token)
			return token
		})
	}
	for _, s := range []string{
		initToken(mechTypes(oid(mechMSKrb5), oid(gss.MechKrb5)), der(0xa1, der(0x03, "\x01\x06")), octets(0xa2, "token"), octets(0xa3, "mic")),
		initToken(mechTypes(oid(mechB)), negHints(0xa3, der(0xa0, der(0x1b, pleaseIgnore))), octets(0xa4, "mic")),
		respToken(octets(0xa2, "token"), octets(0xa3, "token"), der(0xa4, "later")),
		respToken(der(0xa0, der(0x0a, "\x02")), octets(0xa2, "error 42")),
		der(0x60, oid(mechB), "token"),
		"NTLMSSP\x00",
	} {
		tokens = append(tokens, []byte(s))
	}
	return tokens
}

// A message that was read and is written again reads the same.
func FuzzNegToken(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token []byte) {
		if mech, inner, err := unframe(token); err == nil && mech == gss.MechSPNEGO {
			init, err := parseNegTokenInit(inner)
			if err != nil {
				return
			}
			if len(init.mechs) > maxMechs {
				t.Fatalf("%d mechanisms", len(init.mechs))
			}
			written := init.marshal()
			if len(written) > len(token) {
				t.Fatalf("%d bytes became %d", len(token), len(written))
			}
			if again := readInit(t, written); !reflect.DeepEqual(again, init) {
				t.Fatalf("%+v became %+v", init, again)
			}
			return
		}
		resp, err := parseNegTokenResp(token)
		if err != nil {
			return
		}
		written := resp.marshal()
		if len(written) > len(token) {
			t.Fatalf("%d bytes became %d", len(token), len(written))
		}
		if again := readResp(t, written); !reflect.DeepEqual(again, resp) {
			t.Fatalf("%+v became %+v", resp, again)
		}
	})
}

// stepAll gives a context two tokens and checks what holds whatever they are.
func stepAll(t *testing.T, c *secContext, mic *micExchange, tokens ...[]byte) {
	t.Helper()
	for _, token := range tokens {
		reply, err := c.Step(token)
		if len(reply) > 1<<10 {
			t.Fatalf("a reply of %d bytes", len(reply))
		}
		if len(reply) > 0 && reply[0] == byte(tagResp) {
			readResp(t, reply)
		}
		if err != nil {
			if c.Established() {
				t.Fatal("established after a failure")
			}
			if _, again := c.Step(token); again != err {
				t.Fatalf("the failure %v became %v", err, again)
			}
			return
		}
		if c.Established() {
			if mic.required && !(mic.sent && mic.verified) {
				t.Fatal("established without the MICs that are required")
			}
			return
		}
	}
}

func FuzzAcceptorStep(f *testing.F) {
	all := seeds(f)
	for _, first := range all {
		for _, second := range all {
			f.Add(first, second)
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c := accept(t, fuzzB(1)).(*secContext)
		stepAll(t, c, &c.neg.(*acceptNegotiation).mic, first, second)
	})
}

func FuzzInitiatorStep(f *testing.F) {
	all := seeds(f)
	for _, first := range all {
		for _, second := range all {
			f.Add(first, second)
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		ic, _ := initiate(t, fuzzA, fuzzB(2))
		c := ic.(*secContext)
		stepAll(t, c, &c.neg.(*initiateNegotiation).mic, first, second)
	})
}

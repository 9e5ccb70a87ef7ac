package spnego

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
)

// der encodes by hand, so that the package's own encoder has something to be
// compared with.
func der(tag byte, parts ...string) string {
	content := strings.Join(parts, "")
	switch n := len(content); {
	case n < 0x80:
		return string([]byte{tag, byte(n)}) + content
	case n < 0x100:
		return string([]byte{tag, 0x81, byte(n)}) + content
	case n < 0x10000:
		return string([]byte{tag, 0x82, byte(n >> 8), byte(n)}) + content
	default:
		return string([]byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}) + content
	}
}

func oid(m gss.OID) string { return der(0x06, string(m)) }

// frame is an initial context token of SPNEGO, initToken one with a NegTokenInit
// of these fields, respToken a NegTokenResp.
func frame(inner string) string                  { return der(0x60, oid(gss.MechSPNEGO), inner) }
func initToken(fields ...string) string          { return frame(der(0xa0, der(0x30, fields...))) }
func respToken(fields ...string) string          { return der(0xa1, der(0x30, fields...)) }
func octets(tag byte, content string) string     { return der(tag, der(0x04, content)) }
func mechTypes(mechs ...string) string           { return der(0xa0, der(0x30, mechs...)) }
func negHints(tag byte, fields ...string) string { return der(tag, der(0x30, fields...)) }

const pleaseIgnore = "not_defined_in_RFC4178@please_ignore"

// What is written is what MIT's gss-client and gss-server 1.20.1 wrote, but for
// the mechanism's token.
func TestMarshalAsMIT(t *testing.T) {
	init := negTokenInit{mechList: marshalMechList([]gss.OID{gss.MechKrb5}), token: []byte("T")}
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"init", init.marshal(),
			"6020 06062b0601050502 a016 3014 a00d300b06092a864886f712010202 a203 0401 54"},
		{"completed", (&negTokenResp{state: acceptCompleted, mech: gss.MechKrb5}).marshal(),
			"a1143012a0030a0100a10b06092a864886f712010202"},
		{"request-mic", (&negTokenResp{state: requestMIC, mech: gss.MechKrb5}).marshal(),
			"a1143012a0030a0103a10b06092a864886f712010202"},
		{"reject", (&negTokenResp{state: rejected}).marshal(),
			"a1073005a0030a0102"},
		{"mic", (&negTokenResp{state: acceptCompleted, mic: unhex(t, "040401ffffffffff0000000036f7d8ef32b9e5870831e4ad232dd117")}).marshal(),
			"a1273025a0030a0100a31e041c040401ffffffffff0000000036f7d8ef32b9e5870831e4ad232dd117"},
	} {
		if want := unhex(t, tt.want); !bytes.Equal(tt.got, want) {
			t.Errorf("%s: %x\nwant %x", tt.name, tt.got, want)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	must(t, err)
	return b
}

func TestParseNegTokenInit(t *testing.T) {
	list := mechTypes(oid(mechA), oid(mechB))
	flags := der(0xa1, der(0x03, "\x01\x06"))
	token, mic := octets(0xa2, "token"), octets(0xa3, "mic")
	hints := negHints(0xa3, der(0xa0, der(0x1b, pleaseIgnore)))
	mechs := []gss.OID{mechA, mechB}
	listDER := []byte(der(0x30, oid(mechA), oid(mechB)))
	for _, tt := range []struct {
		name   string
		fields []string
		want   *negTokenInit // nil: refused
	}{
		{"all fields", []string{list, flags, token, mic},
			&negTokenInit{mechList: listDER, mechs: mechs, token: []byte("token"), mic: []byte("mic")}},
		{"list alone", []string{list}, &negTokenInit{mechList: listDER, mechs: mechs}},
		{"no fields", nil, &negTokenInit{}},
		{"empty token and MIC", []string{list, octets(0xa2, ""), octets(0xa3, "")}, &negTokenInit{mechList: listDER, mechs: mechs}},
		{"NegTokenInit2", []string{list, hints}, &negTokenInit{mechList: listDER, mechs: mechs}},
		{"NegTokenInit2 with MIC", []string{list, token, hints, octets(0xa4, "mic")},
			&negTokenInit{mechList: listDER, mechs: mechs, token: []byte("token"), mic: []byte("mic")}},
		{"NegTokenInit2, hints empty", []string{list, negHints(0xa3)}, &negTokenInit{mechList: listDER, mechs: mechs}},
		{"NegTokenInit2, hint with address", []string{list, negHints(0xa3, octets(0xa1, "address"))}, &negTokenInit{mechList: listDER, mechs: mechs}},
		{"reqFlags of 32 bits", []string{list, der(0xa1, der(0x03, "\x00\x00\x00\x00\x00"))}, &negTokenInit{mechList: listDER, mechs: mechs}},
		{"a field of a later version", []string{list, mic, der(0xa5, "any")},
			&negTokenInit{mechList: listDER, mechs: mechs, mic: []byte("mic")}},
		{"fields out of order", []string{list, mic, token}, nil},
		{"a field twice", []string{list, token, token}, nil},
		{"list twice", []string{list, list}, nil},
		{"MIC twice", []string{list, mic, octets(0xa4, "mic")}, nil},
		{"a field untagged", []string{list, der(0x04, "token")}, nil},
		{"a list that is none", []string{der(0xa0, oid(mechA))}, nil},
		{"a list with something after it", []string{der(0xa0, der(0x30, oid(mechA)), oid(mechB))}, nil},
		{"a list with something else in it", []string{mechTypes(der(0x04, string(mechA)))}, nil},
		{"an OID that is none", []string{mechTypes(oid("\x80\x01"))}, nil},
		{"an OID without octets", []string{mechTypes(oid(""))}, nil},
		{"an OID too long", []string{mechTypes(oid(gss.OID("\x2a" + strings.Repeat("\x01", 127))))}, nil},
		{"reqFlags that are none", []string{list, der(0xa1, der(0x04, "\x01\x06"))}, nil},
		{"a token that is none", []string{list, der(0xa2, der(0x30, "token"))}, nil},
		{"two tokens in one", []string{list, der(0xa2, der(0x04, "token"), der(0x04, "token"))}, nil},
		{"hints with another field", []string{list, negHints(0xa3, der(0xa2, ""))}, nil},
		{"hints with something after them", []string{list, der(0xa3, der(0x30), der(0x30))}, nil},
		{"a name that is none", []string{list, negHints(0xa3, der(0xa0, der(0x04, pleaseIgnore)))}, nil},
		{"long form of a short length", []string{list, "\xa2\x81\x07" + der(0x04, "token")}, nil},
		{"indefinite length", []string{list, "\xa2\x80" + der(0x04, "token") + "\x00\x00"}, nil},
	} {
		mech, inner, err := unframe([]byte(initToken(tt.fields...)))
		if err != nil || mech != gss.MechSPNEGO {
			t.Fatalf("%s: %s, %v", tt.name, mech, err)
		}
		got, err := parseNegTokenInit(inner)
		if (err == nil) != (tt.want != nil) || tt.want != nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
}

func TestParseNegTokenResp(t *testing.T) {
	state := der(0xa0, der(0x0a, "\x01"))
	mech := der(0xa1, oid(mechA))
	token, mic := octets(0xa2, "token"), octets(0xa3, "mic")
	for _, tt := range []struct {
		name   string
		fields []string
		want   *negTokenResp // nil: refused
	}{
		{"all fields", []string{state, mech, token, mic},
			&negTokenResp{state: acceptIncomplete, mech: mechA, token: []byte("token"), mic: []byte("mic")}},
		{"no fields", nil, &negTokenResp{}},
		{"token alone", []string{token}, &negTokenResp{token: []byte("token")}},
		{"empty token (old IIS)", []string{state, octets(0xa2, "")}, &negTokenResp{state: acceptIncomplete}},
		{"MIC is the token again (Windows 2000)", []string{token, octets(0xa3, "token")}, &negTokenResp{token: []byte("token")}},
		{"a field of a later version", []string{token, der(0xa4, "any"), der(0xa6, "any")}, &negTokenResp{token: []byte("token")}},
		{"request-mic", []string{der(0xa0, der(0x0a, "\x03"))}, &negTokenResp{state: requestMIC}},
		{"no such state", []string{der(0xa0, der(0x0a, "\x04"))}, nil},
		{"negative state", []string{der(0xa0, der(0x0a, "\xff"))}, nil},
		{"long state", []string{der(0xa0, der(0x0a, "\x00\x01"))}, nil},
		{"huge state", []string{der(0xa0, der(0x0a, "\x01\x00\x00\x00\x00\x00\x00\x00\x01"))}, nil},
		{"state of another type", []string{der(0xa0, der(0x02, "\x01"))}, nil},
		{"two states", []string{der(0xa0, der(0x0a, "\x01"), der(0x0a, "\x01"))}, nil},
		{"two mechanisms", []string{der(0xa1, oid(mechA), oid(mechB))}, nil},
		{"an OID that is none", []string{der(0xa1, oid("\x2a\x80"))}, nil},
		{"fields out of order", []string{token, state}, nil},
		{"a field twice", []string{mic, mic}, nil},
		{"an untagged field", []string{state, der(0x04, "token")}, nil},
		{"a field with a high tag number", []string{token, "\xbf\x20\x00"}, nil},
	} {
		got, err := parseNegTokenResp([]byte(respToken(tt.fields...)))
		if (err == nil) != (tt.want != nil) || tt.want != nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
	for _, bad := range []string{
		"",
		der(0xa1, der(0x30), der(0x30)),
		der(0xa1, der(0x31)),
		der(0xa2, der(0x30)),
		der(0xa1, der(0x30)) + "\x00",
		frame(respToken(token)), // the framing of old Sun implementations
	} {
		if got, err := parseNegTokenResp([]byte(bad)); err == nil {
			t.Errorf("%x: %+v", bad, got)
		}
	}
}

// The Windows shapes, made by hand after MS-SPNG: Windows lists Kerberos by its
// wrong number first, then by the right one, NegoEx and NTLM, with a Kerberos
// token that names the right one.
func TestWindowsInitiator(t *testing.T) {
	const (
		negoEx = "\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x1e"
		ntlm   = string(mechNTLM)
	)
	k := newKerberos(t)
	begin := func() (gss.Context, string) {
		ic, err := k.initiator(t).Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
		must(t, err)
		token, err := ic.Step(nil)
		must(t, err)
		return ic, string(token)
	}

	t.Run("Kerberos first", func(t *testing.T) {
		ic, token := begin()
		ac := accept(t, k.acceptor(t))
		reply, err := ac.Step([]byte(initToken(
			mechTypes(oid(mechMSKrb5), oid(gss.MechKrb5), oid(negoEx), oid(gss.OID(ntlm))), octets(0xa2, token))))
		must(t, err)
		resp := readResp(t, reply)
		if got := describe(t, reply); got != "completed ms-krb5 token" {
			t.Errorf("said %s", got)
		}
		_, err = ic.Step(resp.token)
		must(t, err)
		exchange(t, ic, ac)
	})

	// With NTLM preferred, the optimistic token is NTLM's, and Kerberos is chosen
	// by the number that stands first.
	t.Run("NTLM first", func(t *testing.T) {
		list := der(0x30, oid(gss.OID(ntlm)), oid(mechMSKrb5), oid(gss.MechKrb5))
		ac := accept(t, k.acceptor(t))
		reply, err := ac.Step([]byte(initToken(der(0xa0, list), octets(0xa2, "NTLMSSP\x00\x01\x00\x00\x00"))))
		must(t, err)
		if got := describe(t, reply); got != "request-mic ms-krb5" {
			t.Fatalf("said %s", got)
		}
		ic, token := begin()
		reply, err = ac.Step([]byte(respToken(octets(0xa2, token))))
		must(t, err)
		resp := readResp(t, reply)
		_, err = ic.Step(resp.token)
		must(t, err)
		must(t, ic.VerifyMIC([]byte(list), resp.mic))
		mic, err := ic.MIC(nil, []byte(list))
		must(t, err)
		if reply, err = ac.Step([]byte(respToken(octets(0xa3, string(mic))))); err != nil || len(reply) > 0 {
			t.Fatalf("%v with %x", err, reply)
		}
		exchange(t, ic, ac)
	})

	// Without a ticket Windows offers NTLM alone, and the error says what to look
	// for.
	t.Run("NTLM alone", func(t *testing.T) {
		_, err := accept(t, k.acceptor(t)).Step([]byte(initToken(mechTypes(oid(gss.OID(ntlm))), octets(0xa2, "NTLMSSP\x00\x01\x00\x00\x00"))))
		var e *gss.Error
		if !errors.As(err, &e) || e.Major != gss.ErrBadMech || !strings.Contains(e.Hint, "ticket") {
			t.Errorf("%v", err)
		}
	})
}

// Java's shape, as OpenJDK 17.0.15 sends it: the right number alone, with
// reqFlags of RFC 2478 before the token.
func TestJavaInitiator(t *testing.T) {
	k := newKerberos(t)
	ic, err := k.initiator(t).Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
	must(t, err)
	token, err := ic.Step(nil)
	must(t, err)
	ac := accept(t, k.acceptor(t))
	reply, err := ac.Step([]byte(initToken(mechTypes(oid(gss.MechKrb5)), der(0xa1, der(0x03, "\x01\x76")), octets(0xa2, string(token)))))
	must(t, err)
	_, err = ic.Step(readResp(t, reply).token)
	must(t, err)
	exchange(t, ic, ac)
}

// Samba answers with the wrong number whatever was offered.
func TestSambaAcceptor(t *testing.T) {
	k := newKerberos(t)
	ic, token := begin(t, gss.Request{Target: gss.HostService(service)}, k.initiator(t), fake{mech: mechA})
	ac, err := k.acceptor(t).Accept(nil)
	must(t, err)
	out, err := ac.Step(readInit(t, token).token)
	must(t, err)
	reply, err := ic.Step([]byte(respToken(der(0xa0, der(0x0a, "\x00")), der(0xa1, oid(mechMSKrb5)), octets(0xa2, string(out)))))
	if err != nil || len(reply) > 0 {
		t.Fatalf("%v with %x", err, reply)
	}
	exchange(t, ic, ac)
}

// An acceptor that speaks first (SMB servers do) sends a NegTokenInit2. Nothing
// protects its list, so the initiator's offer is the same as without.
func TestAcceptorSpeaksFirst(t *testing.T) {
	hints := initToken(mechTypes(oid(mechB), oid(mechC)), negHints(0xa3, der(0xa0, der(0x1b, pleaseIgnore))))
	_, want := initiate(t, fake{mech: mechA, legs: 2}, fake{mech: mechB, legs: 2})
	step := func(token string) ([]byte, error) {
		i, err := NewInitiator(fake{mech: mechA, legs: 2}, fake{mech: mechB, legs: 2})
		must(t, err)
		c, err := i.Initiate(t.Context(), gss.Request{})
		must(t, err)
		return c.Step([]byte(token))
	}
	if got, err := step(hints); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v", got, err)
	}
	bad := []string{hints + "\x00", respToken(), der(0x60, oid(mechA)), frame(respToken())}
	for n := 1; n < len(hints); n++ {
		bad = append(bad, hints[:n])
	}
	for _, token := range bad {
		if got, err := step(token); !errors.Is(err, gss.ErrDefectiveToken) || len(got) > 0 {
			t.Errorf("%x: %v with %x", token, err, got)
		}
	}
}

// A list of mechanisms that the acceptor knows nothing of, around one it knows,
// is no obstacle.
func TestUnknownMechanismsAreIgnored(t *testing.T) {
	var mechs []string
	for i := range 10 {
		mechs = append(mechs, oid(gss.OID([]byte{0x2b, 6, byte(i)})))
	}
	list := slices.Concat(mechs[:5], []string{oid(mechB)}, mechs[5:])
	ac := accept(t, fake{mech: mechA, legs: 1}, fake{mech: mechB, legs: 1})
	reply, err := ac.Step([]byte(initToken(mechTypes(list...))))
	must(t, err)
	if got := describe(t, reply); got != "request-mic B" {
		t.Errorf("said %s", got)
	}
}

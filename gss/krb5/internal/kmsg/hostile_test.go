package kmsg

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// seq and field write DER by hand: field(n, ...) is [n] EXPLICIT.
func seq(content ...[]byte) []byte                 { return tlv(0x30, bytes.Join(content, nil)) }
func field(n byte, content ...[]byte) []byte       { return tlv(0xa0|n, bytes.Join(content, nil)) }
func application(n byte, content ...[]byte) []byte { return tlv(0x60|n, seq(content...)) }
func integer(content ...byte) []byte               { return tlv(2, content) }
func octets(s string) []byte                       { return tlv(4, []byte(s)) }
func general(s string) []byte                      { return tlv(27, []byte(s)) }
func gtime(s string) []byte                        { return tlv(24, []byte(s)) }

// apRep is an AP-REP whose encrypted part has the given fields.
func apRep(fields ...[]byte) []byte {
	return application(15, field(0, integer(5)), field(1, integer(15)), field(2, seq(fields...)))
}

func TestMalformedDER(t *testing.T) {
	good := apRep(field(0, integer(18)), field(2, octets("cipher")))
	if _, err := ParseAPRep(good); err != nil {
		t.Fatal(err)
	}
	inner := good[2:] // lengths are short
	cases := map[string][]byte{
		"indefinite length":            append(append([]byte{0x6f, 0x80}, inner...), 0, 0),
		"indefinite length inside":     tlv(0x6f, append(append([]byte{0x30, 0x80}, inner[2:]...), 0, 0)),
		"length in one byte too many":  append([]byte{0x6f, 0x81, byte(len(inner))}, inner...),
		"length with a leading zero":   append([]byte{0x6f, 0x82, 0, byte(len(inner))}, inner...),
		"length 2^32-1":                append([]byte{0x6f, 0x84, 0xff, 0xff, 0xff, 0xff}, inner...),
		"length 2^31":                  append([]byte{0x6f, 0x84, 0x80, 0, 0, 0}, inner...),
		"length in five bytes":         append([]byte{0x6f, 0x85, 1, 0, 0, 0, 0}, inner...),
		"reserved length":              append([]byte{0x6f, 0xff}, inner...),
		"inner length beyond outer":    tlv(0x6f, append([]byte{0x30, byte(len(inner))}, inner[2:]...)),
		"inner length short of it":     tlv(0x6f, append([]byte{0x30, byte(len(inner)) - 3}, inner[2:]...)),
		"tag in long form":             append([]byte{0x7f, 15}, good[1:]...),
		"primitive application tag":    append([]byte{0x4f}, good[1:]...),
		"context tag in its place":     append([]byte{0xaf}, good[1:]...),
		"SET for SEQUENCE":             tlv(0x6f, append([]byte{0x31}, inner[1:]...)),
		"implicit tag":                 apRep([]byte{0x80, 1, 18}, field(2, octets("cipher"))),
		"no etype":                     apRep(field(2, octets("cipher"))),
		"no cipher":                    apRep(field(0, integer(18))),
		"etype twice":                  apRep(field(0, integer(18)), field(0, integer(18)), field(2, octets("cipher"))),
		"kvno after cipher":            apRep(field(0, integer(18)), field(2, octets("cipher")), field(1, integer(1))),
		"unknown field":                apRep(field(0, integer(18)), field(2, octets("cipher")), field(3, integer(1))),
		"empty field":                  apRep(field(0), field(2, octets("cipher"))),
		"two values in a field":        apRep(field(0, integer(18), integer(18)), field(2, octets("cipher"))),
		"empty INTEGER":                apRep(field(0, integer()), field(2, octets("cipher"))),
		"INTEGER with a leading zero":  apRep(field(0, integer(0, 18)), field(2, octets("cipher"))),
		"INTEGER with a leading 0xff":  apRep(field(0, integer(0xff, 0x80)), field(2, octets("cipher"))),
		"etype 2^31":                   apRep(field(0, integer(0, 0x80, 0, 0, 0)), field(2, octets("cipher"))),
		"etype -2^31-1":                apRep(field(0, integer(0xff, 0x7f, 0xff, 0xff, 0xff)), field(2, octets("cipher"))),
		"etype in nine bytes":          apRep(field(0, integer(1, 0, 0, 0, 0, 0, 0, 0, 0)), field(2, octets("cipher"))),
		"etype as ENUMERATED":          apRep(field(0, tlv(10, []byte{18})), field(2, octets("cipher"))),
		"kvno 2^32":                    apRep(field(0, integer(18)), field(1, integer(1, 0, 0, 0, 0)), field(2, octets("cipher"))),
		"kvno -2^31-1":                 apRep(field(0, integer(18)), field(1, integer(0xff, 0x7f, 0xff, 0xff, 0xff)), field(2, octets("cipher"))),
		"constructed OCTET STRING":     apRep(field(0, integer(18)), field(2, tlv(0x24, octets("cipher")))),
		"a million nested SEQUENCES":   bytes.Repeat([]byte{0x30, 0x80}, 1000000),
		"nested as deep as DER goes":   nested(20000),
		"nested inside a good message": tlv(0x6f, nested(20000)),
	}
	for name, der := range cases {
		m, err := ParseAPRep(der)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !errors.Is(err, ErrMalformed) || syntax.Message != "AP-REP" {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func nested(depth int) []byte {
	der := []byte{}
	for range depth {
		der = tlv(0x30, der)
	}
	return der
}

func TestErrorsNameTheField(t *testing.T) {
	ticket := func(name []byte) []byte {
		return application(1, field(0, integer(5)), field(1, general("R")), field(2, name), field(3, seq(field(0, integer(18)), field(2, octets("")))))
	}
	req := func(pvno, msgType byte, ticket []byte) []byte {
		return application(14, field(0, integer(pvno)), field(1, integer(msgType)), field(2, tlv(3, []byte{0, 0, 0, 0, 0})),
			field(3, ticket), field(4, seq(field(0, integer(18)), field(2, octets("")))))
	}
	good := ticket(seq(field(0, integer(1)), field(1, seq(general("x")))))
	if _, err := ParseAPReq(req(5, 14, good)); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		der  []byte
		code error
		text string
	}{
		{req(4, 14, good), APErrBadVersion, "malformed AP-REQ: pvno: protocol version is not 5"},
		{req(5, 15, good), APErrMsgType, "malformed AP-REQ: msg-type: is not the application tag's number"},
		{req(5, 14, ticket(seq(field(0, integer(1)), field(1, seq(tlv(12, []byte("utf8"))))))), nil,
			"malformed AP-REQ: ticket.sname.name-string: an element's type or length is wrong"},
		{req(5, 14, ticket(seq(field(1, seq())))), nil, "malformed AP-REQ: ticket.sname.name-type: missing, or out of order"},
		{req(5, 14, apRep()), nil, "malformed AP-REQ: ticket: no Ticket, or its length is wrong"},
		{req(5, 14, append(bytes.Clone(good), good...)), nil, "malformed AP-REQ: unknown field, or a field out of order"},
		{req(5, 14, good)[:9], nil, "malformed AP-REQ: truncated or not DER"},
		{nil, nil, "malformed AP-REQ: empty"},
	}
	for _, c := range cases {
		_, err := ParseAPReq(c.der)
		if err == nil || err.Error() != c.text {
			t.Errorf("got  %v\nwant %v", err, c.text)
		}
		if c.code != nil && !errors.Is(err, c.code) || errors.Is(err, APErrSkew) {
			t.Errorf("%v: wrong error code", err)
		}
	}
	refusal, err := (&KRBError{STime: noon}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = ParseAPRep(refusal); err == nil || err.Error() != "Invalid message type: KRB-ERROR where AP-REP was expected" {
		t.Error(err)
	}
}

func TestTimes(t *testing.T) {
	parse := func(s string) (EncAPRepPart, error) {
		return ParseEncAPRepPart(application(27, field(0, gtime(s)), field(1, integer(0))))
	}
	for _, s := range []string{"19700101000000Z", "20240229235959Z", "20370913024805Z", "99991231235959Z"} {
		m, err := parse(s)
		if err != nil || m.CTime.Format("20060102150405Z") != s {
			t.Errorf("%s: %v, %v", s, m.CTime, err)
		}
	}
	for _, s := range []string{
		"", "20261122120000", "20261122120000.5Z", "20261122120000+0000", "261122120000Z", "202611221200Z", "20261122120000z",
		"19691231235959Z", "00010101000000Z", "20260229000000Z", "20260631000000Z", "20261301000000Z", "20260001000000Z", "20260100000000Z",
		"20261122240000Z", "20261122126000Z", "20261231235960Z", "2026112212000 Z", "-0261122120000Z", "20261122120000Z\x00",
	} {
		if m, err := parse(s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v, %v", s, m.CTime, err)
		}
	}
}

func TestMicroseconds(t *testing.T) {
	for want, der := range map[int][]byte{0: integer(0), 999999: integer(0x0f, 0x42, 0x3f)} {
		m, err := ParseEncAPRepPart(application(27, field(0, gtime("20261122120000Z")), field(1, der)))
		if err != nil || m.CUsec != want {
			t.Errorf("%d, %v; want %d", m.CUsec, err, want)
		}
	}
	for name, der := range map[string][]byte{"a million": integer(0x0f, 0x42, 0x40), "-1": integer(0xff)} {
		if m, err := ParseEncAPRepPart(application(27, field(0, gtime("20261122120000Z")), field(1, der))); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %d, %v", name, m.CUsec, err)
		}
	}
}

func TestSequenceNumbersOfOldPeers(t *testing.T) {
	parse := func(der []byte) (EncAPRepPart, error) {
		return ParseEncAPRepPart(application(27, field(0, gtime("20261122120000Z")), field(1, integer(0)), field(3, der)))
	}
	for want, der := range map[uint32][]byte{
		0: integer(0), 1<<32 - 1: integer(0xff), 1 << 31: integer(0x80, 0, 0, 0), 1<<31 + 1: integer(0, 0x80, 0, 0, 1),
	} {
		if m, err := parse(der); err != nil || m.SeqNumber != want || !m.HasSeqNumber {
			t.Errorf("%x: %d, %v; want %d", der, m.SeqNumber, err, want)
		}
	}
	if _, err := parse(integer(1, 0, 0, 0, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("2^32: %v", err)
	}
}

func TestFlags(t *testing.T) {
	parse := func(bits ...byte) (APReq, error) {
		return ParseAPReq(application(14, field(0, integer(5)), field(1, integer(14)), field(2, tlv(3, bits)),
			field(3, raw(smallTicket)), field(4, seq(field(0, integer(18)), field(2, octets(""))))))
	}
	for _, c := range []struct {
		bits []byte
		want uint32
	}{
		{[]byte{0, 0x20, 0, 0, 0}, APMutualRequired},
		{[]byte{5, 0x20}, APMutualRequired},                       // shorter, as a DER NamedBitList is
		{[]byte{0}, 0},                                            // none
		{[]byte{0, 0x60, 0, 0, 1, 0xff, 0xff}, 0x60000001},        // longer: bits that we do not know
		{[]byte{7, 0, 0, 0, 0, 0x80}, 0},                          // 33 bits
		{[]byte{0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0}, 0xffff_ffff}, // all
	} {
		if m, err := parse(c.bits...); err != nil || m.Options != c.want {
			t.Errorf("%x: %#x, %v; want %#x", c.bits, m.Options, err, c.want)
		}
	}
	for _, bits := range [][]byte{{}, {8, 0}, {1}, {1, 0x21}, {255, 0, 0, 0, 0}} {
		if m, err := parse(bits...); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %#x, %v", bits, m.Options, err)
		}
	}
}

func TestListsAreBounded(t *testing.T) {
	repeat := func(der []byte, n int) []byte { return bytes.Repeat(der, n) }
	pair := seq(field(0, integer(1)), field(1, octets("")))
	name := func(n int) []byte { return seq(field(0, integer(1)), field(1, seq(repeat(general(""), n)))) }
	info := seq(field(0, pair))
	cases := []struct {
		what  string
		limit int
		der   func(n int) []byte
		parse func([]byte) error
	}{
		{"components", MaxComponents, func(n int) []byte {
			return application(1, field(0, integer(5)), field(1, general("R")), field(2, name(n)), field(3, seq(field(0, integer(18)), field(2, octets("")))))
		}, errorOf(ParseTicket)},
		{"authorization data", MaxAuthorizationData, func(n int) []byte { return seq(repeat(pair, n)) }, errorOf(ParseAuthorizationData)},
		{"addresses", MaxAddresses, func(n int) []byte {
			return application(29, field(0, seq(seq(field(0, pair), field(10, seq(repeat(pair, n)))))))
		}, errorOf(ParseEncKRBCredPart)},
		{"ticket infos", MaxTickets, func(n int) []byte {
			return application(29, field(0, seq(repeat(info, n))))
		}, errorOf(ParseEncKRBCredPart)},
		{"tickets", MaxTickets, func(n int) []byte {
			return application(22, field(0, integer(5)), field(1, integer(22)), field(2, seq(repeat(raw(noKvno), n))), field(3, seq(field(0, integer(0)), field(2, octets("")))))
		}, errorOf(ParseKRBCred)},
	}
	for _, c := range cases {
		if err := c.parse(c.der(c.limit)); err != nil {
			t.Errorf("%d %s: %v", c.limit, c.what, err)
		}
		if err := c.parse(c.der(c.limit + 1)); err == nil || !strings.Contains(err.Error(), "too many elements") {
			t.Errorf("%d %s: %v", c.limit+1, c.what, err)
		}
		million := c.der(1000000)
		if got := allocated(func() { c.parse(million) }); got > 1<<16 {
			t.Errorf("refusing a million %s took %d bytes", c.what, got)
		}
	}
}

func errorOf[T any](parse func([]byte) (T, error)) func([]byte) error {
	return func(der []byte) error { _, err := parse(der); return err }
}

// allocated gives the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestNameWithoutComponents(t *testing.T) {
	tkt, err := ParseTicket(application(1, field(0, integer(5)), field(1, general("R")),
		field(2, seq(field(0, integer(1)), field(1, seq()))), field(3, seq(field(0, integer(18)), field(2, octets(""))))))
	if err != nil || len(tkt.SName.Components) != 0 || tkt.SName.Equal(PrincipalName{NTPrincipal, []string{""}}) {
		t.Errorf("%+v, %v", tkt.SName, err)
	}
}

// Every single-byte change of a message is refused, or read as a message that
// is written and read again as the same.
func TestEveryByteChanged(t *testing.T) {
	for _, k := range kinds() {
		der := k.der(t, len(k.samples)-1)
		if k.name == "Authenticator" || k.name == "EncAPRepPart" || k.name == "KRB-ERROR" {
			der = k.der(t, 0) // optional fields too
		}
		if len(der) > 2000 {
			continue
		}
		bad := bytes.Clone(der)
		for i := range der {
			for v := range 256 {
				bad[i] = byte(v)
				checkStable(t, k, bad)
			}
			bad[i] = der[i]
		}
	}
}

// checkStable reports a message that is accepted, but not the same after it has
// been written and read again.
func checkStable(t *testing.T, k kind, der []byte) {
	t.Helper()
	m, err := k.parse(der)
	if err != nil {
		return
	}
	once, err := k.append(m, nil)
	if err != nil {
		t.Fatalf("%s: %x was read, but cannot be written: %v", k.name, der, err)
	}
	again, err := k.parse(once)
	if err != nil {
		t.Fatalf("%s: %x was read and written, but not read again: %v", k.name, der, err)
	}
	twice, err := k.append(again, nil)
	if err != nil || !bytes.Equal(once, twice) {
		t.Fatalf("%s: %x is written\n%x and then\n%x (%v)", k.name, der, once, twice, err)
	}
	if len(once) > len(der)+64 {
		t.Fatalf("%s: %d bytes became %d", k.name, len(der), len(once))
	}
	if k.name == "AP-REQ" && !reflect.DeepEqual(m, again) {
		t.Fatalf("%s: %+v became %+v", k.name, m, again)
	}
}

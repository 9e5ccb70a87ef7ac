package kmsg

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"
)

// A kind is a message type with good examples of it, for the tests that hold for
// every type.
type kind struct {
	name    string
	parse   func([]byte) (any, error)
	append  func(any, []byte) ([]byte, error)
	samples []any
}

func kindOf[T any, P interface {
	*T
	Append([]byte) ([]byte, error)
}](name string, parse func([]byte) (T, error), samples ...T) kind {
	k := kind{
		name:   name,
		parse:  func(der []byte) (any, error) { return parse(der) },
		append: func(v any, dst []byte) ([]byte, error) { t := v.(T); return P(&t).Append(dst) },
	}
	for _, s := range samples {
		k.samples = append(k.samples, s)
	}
	return k
}

// der gives the DER of the kind's n-th sample.
func (k kind) der(t testing.TB, n int) []byte {
	t.Helper()
	der, err := k.append(k.samples[n], nil)
	if err != nil {
		t.Fatalf("%s sample %d: %v", k.name, n, err)
	}
	return der
}

var (
	noon    = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	alice   = PrincipalName{NTPrincipal, []string{"alice"}}
	host    = PrincipalName{NTSrvHst, []string{"host", "server.example"}}
	odd     = PrincipalName{-7, []string{"", "\xff\x00é", "a/b"}}
	nobody  = PrincipalName{Type: NTUnknown}
	aKey    = EncryptionKey{18, bytes.Repeat([]byte{0x5a}, 32)}
	address = HostAddress{2, []byte{192, 0, 2, 1}}
	pac     = AuthorizationData{{1, bytes.Repeat([]byte{0xd5}, 140)}, {-1, []byte{}}}
	cipher  = EncryptedData{Etype: 18, Kvno: 2, HasKvno: true, Cipher: bytes.Repeat([]byte{0xc1}, 130)}

	smallTicket = Ticket{"EXAMPLE", host, cipher}
	largeTicket = Ticket{"EXAMPLE", odd, EncryptedData{Etype: -1 << 31, Kvno: 1<<32 - 1, HasKvno: true, Cipher: make([]byte, 70000)}}
	noKvno      = Ticket{"", nobody, EncryptedData{Etype: 1<<31 - 1, Cipher: []byte{}}}
)

func raw(t Ticket) []byte {
	der, err := t.Append(nil)
	if err != nil {
		panic(err)
	}
	return der
}

func kinds() []kind {
	return []kind{
		kindOf("Ticket", ParseTicket, smallTicket, largeTicket, noKvno),
		kindOf("EncTicketPart", ParseEncTicketPart,
			EncTicketPart{
				Flags: TicketForwardable | TicketPreAuthent, Key: aKey, CRealm: "EXAMPLE", CName: alice,
				Transited: TransitedEncoding{1, []byte("A,B")}, AuthTime: noon, StartTime: noon.Add(time.Second),
				EndTime: noon.Add(time.Hour), RenewTill: noon.Add(24 * time.Hour),
				CAddr: []HostAddress{address, {24, make([]byte, 16)}}, AuthorizationData: pac,
			},
			EncTicketPart{Key: EncryptionKey{17, []byte{}}, CName: nobody, Transited: TransitedEncoding{0, []byte{}}, AuthTime: noon, EndTime: noon}),
		kindOf("AP-REQ", ParseAPReq,
			APReq{APMutualRequired, smallTicket, raw(smallTicket), EncryptedData{Etype: 20, Cipher: make([]byte, 200)}},
			APReq{1<<32 - 1, largeTicket, raw(largeTicket), cipher}),
		kindOf("Authenticator", ParseAuthenticator,
			Authenticator{
				CRealm: "EXAMPLE", CName: alice, Checksum: &Checksum{0x8003, make([]byte, 24)}, CUsec: 999999, CTime: noon,
				SubKey: &aKey, SeqNumber: 1<<32 - 1, HasSeqNumber: true, AuthorizationData: pac,
			},
			Authenticator{CRealm: "\xe9", CName: odd, CTime: noon},
			Authenticator{CName: nobody, CTime: time.Unix(0, 0).UTC(), HasSeqNumber: true}),
		kindOf("AP-REP", ParseAPRep, APRep{cipher}, APRep{EncryptedData{Cipher: []byte{}}}),
		kindOf("EncAPRepPart", ParseEncAPRepPart,
			EncAPRepPart{noon, 123456, &aKey, 0x80000000, true},
			EncAPRepPart{CTime: noon}),
		kindOf("KRB-ERROR", ParseKRBError,
			KRBError{noon, 1, noon.Add(time.Minute), 2, APErrSkew, "EXAMPLE", &alice, "EXAMPLE", host, "clock", []byte{1}},
			KRBError{STime: noon, ErrorCode: -1, SName: host},
			KRBError{STime: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), ErrorCode: 1<<31 - 1, SName: nobody, CName: &nobody}),
		kindOf("KRB-CRED", ParseKRBCred,
			KRBCred{[][]byte{raw(smallTicket), raw(noKvno)}, cipher},
			KRBCred{EncPart: EncryptedData{Cipher: []byte{}}}),
		kindOf("EncKrbCredPart", ParseEncKRBCredPart,
			EncKRBCredPart{
				[]KRBCredInfo{
					{aKey, "EXAMPLE", &alice, TicketForwarded, noon, noon, noon.Add(time.Hour), noon.Add(2 * time.Hour), "EXAMPLE", &host, []HostAddress{address}},
					{Key: aKey},
				}, 7, true, noon, 5, &address, &HostAddress{3, []byte{4, 210}},
			},
			EncKRBCredPart{}),
		kindOf[AuthorizationData]("AuthorizationData", ParseAuthorizationData, pac, nil),
	}
}

func TestRoundTrip(t *testing.T) {
	for _, k := range kinds() {
		for i, want := range k.samples {
			prefix := []byte("token header")
			buf, err := k.append(want, prefix)
			if err != nil {
				t.Errorf("%s %d: Append: %v", k.name, i, err)
				continue
			}
			der, ok := bytes.CutPrefix(buf, prefix)
			if !ok {
				t.Errorf("%s %d: Append changed the bytes before it", k.name, i)
			}
			got, err := k.parse(der)
			if err != nil {
				t.Errorf("%s %d: Parse: %v", k.name, i, err)
				continue
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s %d: got %+v\nwant %+v", k.name, i, got, want)
			}
		}
	}
}

func TestEveryStrictPrefixFails(t *testing.T) {
	for _, k := range kinds() {
		for i := range k.samples {
			der := k.der(t, i)
			step := 1 + len(der)/4000 // the 70,000-byte samples: not each of their bytes
			for n := 0; n < len(der); n += step {
				if v, err := k.parse(der[:n]); !errors.Is(err, ErrMalformed) {
					t.Fatalf("%s %d: the first %d of %d bytes: %v, %v", k.name, i, n, len(der), v, err)
				}
			}
		}
	}
}

func TestTrailingByteFails(t *testing.T) {
	for _, k := range kinds() {
		for i := range k.samples {
			if _, err := k.parse(append(k.der(t, i), 0)); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s %d: trailing byte: %v", k.name, i, err)
			}
		}
	}
}

// A byte put behind the last field at each level, with all lengths around it
// made right, must be found too.
func TestTrailingByteAtEveryLevelFails(t *testing.T) {
	for _, k := range kinds() {
		for i := range k.samples {
			der := k.der(t, i)
			if len(der) > 5000 {
				continue
			}
			for n, bad := range withTrailing(der) {
				if v, err := k.parse(bad); !errors.Is(err, ErrMalformed) {
					t.Errorf("%s %d: level %d: %x accepted as %+v (%v)", k.name, i, n, bad, v, err)
				}
			}
		}
	}
}

// withTrailing gives der once for each constructed value in it, with a NULL at
// the end of that value.
func withTrailing(der []byte) [][]byte {
	tag, content, rest := split(der)
	if len(rest) > 0 || tag&0x20 == 0 {
		return nil
	}
	out := [][]byte{tlv(tag, append(bytes.Clone(content), 5, 0))}
	for at := 0; at < len(content); {
		_, _, after := split(content[at:])
		end := len(content) - len(after)
		for _, bad := range withTrailing(content[at:end]) {
			changed := append(append(bytes.Clone(content[:at]), bad...), content[end:]...)
			out = append(out, tlv(tag, changed))
		}
		at = end
	}
	return out
}

// split parts good DER into its first value's tag and content, and the rest.
func split(der []byte) (tag byte, content, rest []byte) {
	n, at := int(der[1]), 2
	if n >= 0x80 {
		k := n & 0x7f
		n = 0
		for _, b := range der[2 : 2+k] {
			n = n<<8 | int(b)
		}
		at += k
	}
	return der[0], der[at : at+n], der[at+n:]
}

func tlv(tag byte, content []byte) []byte {
	b := builder{}
	start := b.begin(0)
	b.buf = append(b.buf, content...)
	b.end(start)
	b.buf[0] = tag
	return b.buf
}

func TestOtherMessageIsNamed(t *testing.T) {
	all := kinds()
	for _, k := range all {
		for _, other := range all {
			der := other.der(t, 0)
			_, err := k.parse(der)
			switch {
			case k.name == other.name:
				if err != nil {
					t.Errorf("%s: %v", k.name, err)
				}
			case k.name == "AuthorizationData" || other.name == "AuthorizationData": // no application tag
				if !errors.Is(err, ErrMalformed) {
					t.Errorf("%s for %s: %v", other.name, k.name, err)
				}
			default:
				var typeErr *MessageTypeError
				if !errors.As(err, &typeErr) || typeErr.Want != k.name || typeErr.Got != other.name {
					t.Errorf("%s for %s: %v", other.name, k.name, err)
				}
				if !errors.Is(err, ErrMessageType) || !errors.Is(err, APErrMsgType) || errors.Is(err, ErrMalformed) {
					t.Errorf("%s for %s: %v answers errors.Is wrongly", other.name, k.name, err)
				}
			}
		}
	}
}

func TestRawTicketIsSentAsItCame(t *testing.T) {
	// A ticket whose flags of encoding are not ours: a key version that we
	// would write in another way.
	der := raw(Ticket{"R", host, EncryptedData{Etype: 18, Kvno: 0x7fffffff, HasKvno: true, Cipher: []byte("x")}})
	at := bytes.Index(der, []byte{0xa1, 6, 2, 4, 0x7f, 0xff, 0xff, 0xff})
	if at < 0 {
		t.Fatalf("no kvno in %x", der)
	}
	unsigned := tlv(0xa1, tlv(2, []byte{0, 0xff, 0xff, 0xff, 0xff})) // 2^32-1 the way RFC 4120 has it
	tkt := rebuild(der, at, 8, unsigned)
	m := APReq{RawTicket: tkt, Authenticator: cipher}
	req, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseAPReq(req)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.RawTicket, tkt) || got.Ticket.EncPart.Kvno != 1<<32-1 {
		t.Errorf("ticket changed on the way: %x, kvno %d", got.RawTicket, got.Ticket.EncPart.Kvno)
	}
	if &got.RawTicket[0] != &req[bytes.Index(req, tkt)] {
		t.Error("RawTicket does not alias the input")
	}
}

// rebuild puts other DER in the place of n bytes at offset at, and makes the
// lengths around it right.
func rebuild(der []byte, at, n int, other []byte) []byte {
	if at == 0 && n == len(der) {
		return other
	}
	tag, content, _ := split(der)
	head := len(der) - len(content)
	for from := 0; from < len(content); {
		_, _, after := split(content[from:])
		to := len(content) - len(after)
		if at-head >= from && at-head < to {
			inner := rebuild(content[from:to], at-head-from, n, other)
			return tlv(tag, append(append(bytes.Clone(content[:from]), inner...), content[to:]...))
		}
		from = to
	}
	panic("offset outside of the value")
}

func TestAppendRefusesWhatParseWould(t *testing.T) {
	many := make([]string, MaxComponents+1)
	cases := []struct {
		name, field string
		append      func([]byte) ([]byte, error)
	}{
		{"no ticket", "ticket", (&APReq{}).Append},
		{"not a ticket", "ticket", (&APReq{RawTicket: []byte{0x30, 0}}).Append},
		{"two tickets", "ticket", (&APReq{RawTicket: append(raw(smallTicket), raw(smallTicket)...)}).Append},
		{"not a ticket in a KRB-CRED", "tickets", (&KRBCred{Tickets: [][]byte{{1}}}).Append},
		{"too many tickets", "tickets", (&KRBCred{Tickets: make([][]byte, MaxTickets+1)}).Append},
		{"too many infos", "ticket-info", (&EncKRBCredPart{TicketInfo: make([]KRBCredInfo, MaxTickets+1)}).Append},
		{"too many components", "sname", (&Ticket{SName: PrincipalName{0, many}}).Append},
		{"too many addresses", "caddr", (&EncTicketPart{AuthTime: noon, EndTime: noon, CAddr: make([]HostAddress, MaxAddresses+1)}).Append},
		{"too much authorization data", "authorization-data", (&Authenticator{CTime: noon, AuthorizationData: make(AuthorizationData, MaxAuthorizationData+1)}).Append},
		{"a second has no million and one", "cusec", (&Authenticator{CTime: noon, CUsec: 1000000}).Append},
		{"negative microseconds", "susec", (&KRBError{STime: noon, SUsec: -1}).Append},
		{"no time", "ctime", (&EncAPRepPart{}).Append},
		{"before 1970", "endtime", (&EncTicketPart{AuthTime: noon, EndTime: time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC)}).Append},
		{"year 10000", "stime", (&KRBError{STime: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}).Append},
	}
	for _, c := range cases {
		der, err := c.append(nil)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Field != c.field || der != nil {
			t.Errorf("%s: got %v, want an error about %q", c.name, err, c.field)
		}
	}
}

// Lengths on both sides of where their encoding grows by a byte: cryptobyte
// refuses one that is not minimal.
func TestLengthBoundaries(t *testing.T) {
	var sizes []int
	for _, boundary := range []int{0x80, 1 << 8, 1 << 16} {
		for size := boundary - 48; size <= boundary; size++ { // the outer values' lengths cross it first
			sizes = append(sizes, size)
		}
	}
	content := make([]byte, 1<<24)
	for _, size := range append(sizes, 1<<24-1, 1<<24) {
		der, err := (&APRep{EncryptedData{Etype: 18, Cipher: content[:size]}}).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := ParseAPRep(der); err != nil || len(m.EncPart.Cipher) != size {
			t.Errorf("%d bytes: %d, %v", size, len(m.EncPart.Cipher), err)
		}
	}
}

func TestTimesAreWrittenInUTCWithoutFraction(t *testing.T) {
	local := noon.In(time.FixedZone("", 5*3600+1800)).Add(999 * time.Millisecond)
	der, err := (&EncAPRepPart{CTime: local}).Append(nil)
	if err != nil || !bytes.Contains(der, []byte("20261122120000Z")) {
		t.Errorf("%q, %v", der, err)
	}
}

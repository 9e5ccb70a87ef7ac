package kmsg

import (
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Kerberos is RFC 4120's pvno: one value for all messages and for tkt-vno.
const kerberosVersion = 5

// KerberosString and Realm are GeneralString in this protocol.
const generalString = asn1.GeneralString

// A messageType is the number of a message's APPLICATION tag, which for the
// messages that have a msg-type field is its value too (RFC 4120, section 5.10).
type messageType uint8

const (
	typeAuthorizationData messageType = 0 // has no tag of its own, only the name

	typeTicket         messageType = 1
	typeAuthenticator  messageType = 2
	typeEncTicketPart  messageType = 3
	typeAPReq          messageType = 14
	typeAPRep          messageType = 15
	typeKRBCred        messageType = 22
	typeEncAPRepPart   messageType = 27
	typeEncKRBCredPart messageType = 29
	typeKRBError       messageType = 30
)

var messageNames = [...]string{
	0: "AuthorizationData", 1: "Ticket", 2: "Authenticator", 3: "EncTicketPart",
	10: "AS-REQ", 11: "AS-REP", 12: "TGS-REQ", 13: "TGS-REP",
	14: "AP-REQ", 15: "AP-REP", 20: "KRB-SAFE", 21: "KRB-PRIV", 22: "KRB-CRED",
	25: "EncASRepPart", 26: "EncTGSRepPart", 27: "EncAPRepPart",
	28: "EncKrbPrivPart", 29: "EncKrbCredPart", 30: "KRB-ERROR",
}

func (m messageType) String() string { return messageNames[m] }

// tag is the message's identifier byte: class application, constructed.
func (m messageType) tag() asn1.Tag { return asn1.Tag(0x60 | uint8(m)) }

// A parser reads the fields of one message. Its first error sticks: after it
// every read gives zero values, so that a message is read field by field and
// the error looked at once.
type parser struct {
	message messageType
	path    [4]string // the fields being read, from the outside in
	depth   int
	err     error
}

func (p *parser) fail(field, problem string) { p.failCode(field, problem, 0) }

func (p *parser) failCode(field, problem string, code ErrorCode) {
	if p.err != nil {
		return
	}
	var path []string
	for _, f := range append(p.path[:p.depth:p.depth], field) {
		if f != "" {
			path = append(path, f)
		}
	}
	p.err = &SyntaxError{p.message.String(), strings.Join(path, "."), problem, code}
}

// enter names the field that the reads until leave are inside of.
func (p *parser) enter(field string) {
	p.path[p.depth] = field
	p.depth++
}

func (p *parser) leave() { p.depth-- }

// open takes the whole DER of the message and returns the content of its
// SEQUENCE.
func (p *parser) open(der []byte) cryptobyte.String {
	s := cryptobyte.String(der)
	var outer, fields cryptobyte.String
	var tag asn1.Tag
	switch {
	case len(der) == 0:
		p.fail("", "empty")
	case !s.ReadAnyASN1(&outer, &tag):
		p.checkType(asn1.Tag(der[0]))
		p.fail("", "truncated or not DER")
	case tag != p.message.tag():
		p.checkType(tag)
		p.fail("", "wrong tag")
	case !s.Empty():
		p.fail("", "trailing bytes")
	case !readElement(&outer, &fields, asn1.SEQUENCE):
		p.fail("", "no SEQUENCE, or its length is wrong")
	case !outer.Empty():
		p.fail("", "trailing bytes after the SEQUENCE")
	default:
		return fields
	}
	return nil
}

// checkType fails with a MessageTypeError when tag is another message's.
func (p *parser) checkType(tag asn1.Tag) {
	number := int(tag & 0x1f)
	if tag == p.message.tag() || tag&0xe0 != 0x60 || number == 0 || number >= len(messageNames) || messageNames[number] == "" {
		return
	}
	if p.err == nil {
		p.err = &MessageTypeError{Want: p.message.String(), Got: messageNames[number]}
	}
}

// end fails when a SEQUENCE has more fields than were read: unknown ones, or
// known ones out of order.
func (p *parser) end(s cryptobyte.String) {
	if !s.Empty() {
		p.fail("", "unknown field, or a field out of order")
	}
}

// wrapped reads field [n] and returns what its explicit tag holds.
func (p *parser) wrapped(s *cryptobyte.String, n uint8, field string) cryptobyte.String {
	var content cryptobyte.String
	if p.err != nil {
		return nil
	}
	tag := asn1.Tag(n).ContextSpecific().Constructed()
	if !isTag(*s, tag) {
		p.fail(field, "missing, or out of order")
		return nil
	}
	if !readElement(s, &content, tag) {
		p.fail(field, "truncated or not DER")
		return nil
	}
	return content
}

// has reports whether the next field is [n].
func (p *parser) has(s cryptobyte.String, n uint8) bool {
	return p.err == nil && isTag(s, asn1.Tag(n).ContextSpecific().Constructed())
}

// element reads field [n], which is one value of the given type, and returns
// the value's content.
func (p *parser) element(s *cryptobyte.String, n uint8, field string, tag asn1.Tag) cryptobyte.String {
	content := p.wrapped(s, n, field)
	var value cryptobyte.String
	if p.err != nil {
		return nil
	}
	if !readElement(&content, &value, tag) {
		p.fail(field, "wrong type, or its length is wrong")
		return nil
	}
	if !content.Empty() {
		p.fail(field, "trailing bytes")
		return nil
	}
	return value
}

// integer reads field [n], an INTEGER of lowest to highest.
func (p *parser) integer(s *cryptobyte.String, n uint8, field string, lowest, highest int64) int64 {
	content := p.wrapped(s, n, field)
	if p.err != nil {
		return 0
	}
	var v int64
	switch {
	case !readInteger(&content, &v):
		p.fail(field, "not an INTEGER, or not a minimal one")
	case !content.Empty():
		p.fail(field, "trailing bytes")
	case v < lowest || v > highest:
		p.fail(field, "number out of range")
	default:
		return v
	}
	return 0
}

func (p *parser) int32(s *cryptobyte.String, n uint8, field string) int32 {
	return int32(p.integer(s, n, field, -1<<31, 1<<31-1))
}

// uint32 reads a UInt32. Older implementations send the upper half of the range
// as negative numbers, and key versions are sent so to this day: those are
// taken for the same 32 bits.
func (p *parser) uint32(s *cryptobyte.String, n uint8, field string) uint32 {
	return uint32(p.integer(s, n, field, -1<<31, 1<<32-1))
}

func (p *parser) microseconds(s *cryptobyte.String, n uint8, field string) int {
	return int(p.integer(s, n, field, 0, maxMicroseconds))
}

// version reads pvno or tkt-vno.
func (p *parser) version(s *cryptobyte.String, n uint8, field string) {
	if v := p.integer(s, n, field, -1<<31, 1<<31-1); p.err == nil && v != kerberosVersion {
		p.failCode(field, "protocol version is not 5", APErrBadVersion)
	}
}

// messageType reads msg-type, which repeats what the application tag says.
func (p *parser) messageType(s *cryptobyte.String, n uint8) {
	if v := p.integer(s, n, "msg-type", -1<<31, 1<<31-1); p.err == nil && v != int64(p.message) {
		p.failCode("msg-type", "is not the application tag's number", APErrMsgType)
	}
}

func (p *parser) octets(s *cryptobyte.String, n uint8, field string) []byte {
	return p.element(s, n, field, asn1.OCTET_STRING)
}

func (p *parser) str(s *cryptobyte.String, n uint8, field string) string {
	return string(p.element(s, n, field, generalString))
}

// flags reads the first 32 bits of a KerberosFlags; the bits that are not there
// are 0 and those beyond are unknown to us (RFC 4120, section 5.2.8).
func (p *parser) flags(s *cryptobyte.String, n uint8, field string) uint32 {
	content := p.element(s, n, field, asn1.BIT_STRING)
	if p.err != nil {
		return 0
	}
	if len(content) == 0 || content[0] > 7 || content[0] > 0 && len(content) == 1 ||
		content[len(content)-1]&(1<<content[0]-1) != 0 {
		p.fail(field, "malformed BIT STRING")
		return 0
	}
	var bits [4]byte
	copy(bits[:], content[1:])
	return uint32(bits[0])<<24 | uint32(bits[1])<<16 | uint32(bits[2])<<8 | uint32(bits[3])
}

// time reads a KerberosTime: YYYYMMDDHHMMSSZ, no fraction, no offset, no leap
// second. Times before 1970 are refused: no Kerberos clock shows them, and the
// zero time.Time stands for an absent field.
func (p *parser) time(s *cryptobyte.String, n uint8, field string) time.Time {
	content := p.element(s, n, field, asn1.GeneralizedTime)
	if p.err != nil {
		return time.Time{}
	}
	t, ok := parseTime(content)
	if !ok {
		p.fail(field, "not a time of the form YYYYMMDDHHMMSSZ, or before 1970")
	}
	return t
}

func parseTime(b []byte) (time.Time, bool) {
	if len(b) != len("YYYYMMDDHHMMSSZ") || b[14] != 'Z' {
		return time.Time{}, false
	}
	for _, c := range b[:14] {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
	}
	two := func(i int) int { return int(b[i]-'0')*10 + int(b[i+1]-'0') }
	year, month, day := two(0)*100+two(2), two(4), two(6)
	hour, minute, second := two(8), two(10), two(12)
	if year < 1970 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC), true
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// list reads field [n], a SEQUENCE OF at most limit elements that each are of
// the given type, and returns its content with their number.
func (p *parser) list(s *cryptobyte.String, n uint8, field string, tag asn1.Tag, limit int) (cryptobyte.String, int) {
	content := p.element(s, n, field, asn1.SEQUENCE)
	return content, p.count(content, field, tag, limit)
}

func (p *parser) count(content cryptobyte.String, field string, tag asn1.Tag, limit int) int {
	if p.err != nil {
		return 0
	}
	var skipped cryptobyte.String
	count := 0
	for ; !content.Empty(); count++ {
		if count == limit {
			p.fail(field, "too many elements")
			return 0
		}
		if !readElement(&content, &skipped, tag) {
			p.fail(field, "an element's type or length is wrong")
			return 0
		}
	}
	return count
}

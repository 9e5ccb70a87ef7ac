package kmsg

import (
	"strconv"
	"time"
)

// A KRBError is a refusal (RFC 4120, section 5.9.1). Nothing protects it:
// anybody on the path can have written it.
type KRBError struct {
	CTime     time.Time // the time of the request refused; zero when absent
	CUsec     int       // its microseconds; 0 when absent
	STime     time.Time // the sender's time
	SUsec     int
	ErrorCode ErrorCode
	CRealm    string         // "" when absent
	CName     *PrincipalName // nil when absent
	Realm     string         // the service's
	SName     PrincipalName
	EText     string // "" when absent
	EData     []byte // depends on ErrorCode; nil when absent
}

// Error returns MIT's text for the error code and, where the sender gave one,
// its own, quoted: it is not to be trusted, and a terminal might obey it.
func (m *KRBError) Error() string {
	text := m.ErrorCode.Error()
	if m.EText == "" {
		return text
	}
	return text + ": " + strconv.Quote(m.EText)
}

// Unwrap gives the ErrorCode, for errors.Is(err, APErrSkew).
func (m *KRBError) Unwrap() error { return m.ErrorCode }

// ParseKRBError reads a KRB-ERROR. EData aliases der. The error is a
// *SyntaxError, or a *MessageTypeError when der is another message.
func ParseKRBError(der []byte) (KRBError, error) {
	p := parser{message: typeKRBError}
	s := p.open(der)
	var m KRBError
	p.version(&s, 0, "pvno")
	p.messageType(&s, 1)
	if p.has(s, 2) {
		m.CTime = p.time(&s, 2, "ctime")
	}
	if p.has(s, 3) {
		m.CUsec = p.microseconds(&s, 3, "cusec")
	}
	m.STime = p.time(&s, 4, "stime")
	m.SUsec = p.microseconds(&s, 5, "susec")
	m.ErrorCode = ErrorCode(p.int32(&s, 6, "error-code"))
	if p.has(s, 7) {
		m.CRealm = p.str(&s, 7, "crealm")
	}
	if p.has(s, 8) {
		name := p.principal(&s, 8, "cname")
		m.CName = &name
	}
	m.Realm = p.str(&s, 9, "realm")
	m.SName = p.principal(&s, 10, "sname")
	if p.has(s, 11) {
		m.EText = p.str(&s, 11, "e-text")
	}
	if p.has(s, 12) {
		m.EData = p.octets(&s, 12, "e-data")
	}
	p.end(s)
	if p.err != nil {
		return KRBError{}, p.err
	}
	return m, nil
}

// Append writes the KRB-ERROR's DER behind dst. The error is a *SyntaxError: a
// value that the protocol has no place for.
func (m *KRBError) Append(dst []byte) ([]byte, error) {
	b := builder{message: typeKRBError, buf: dst}
	seq := b.open()
	b.integer(0, kerberosVersion)
	b.integer(1, int64(typeKRBError))
	if !m.CTime.IsZero() {
		b.time(2, "ctime", m.CTime)
	}
	if m.CUsec != 0 {
		b.microseconds(3, "cusec", m.CUsec)
	}
	b.time(4, "stime", m.STime)
	b.microseconds(5, "susec", m.SUsec)
	b.integer(6, int64(m.ErrorCode))
	if m.CRealm != "" {
		b.str(7, m.CRealm)
	}
	if m.CName != nil {
		b.principal(8, "cname", *m.CName)
	}
	b.str(9, m.Realm)
	b.principal(10, "sname", m.SName)
	if m.EText != "" {
		b.str(11, m.EText)
	}
	if len(m.EData) > 0 {
		b.octets(12, m.EData)
	}
	b.close(seq)
	return b.bytes()
}

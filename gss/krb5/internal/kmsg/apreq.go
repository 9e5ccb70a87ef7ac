package kmsg

import (
	"slices"
	"time"
)

// An APReq presents a ticket to a service (RFC 4120, section 5.5.1).
type APReq struct {
	Options       uint32 // APMutualRequired, APUseSessionKey
	Ticket        Ticket // for reading: Append ignores it
	RawTicket     []byte // the ticket's own DER: what is sent is what the KDC gave
	Authenticator EncryptedData
}

// ParseAPReq reads an AP-REQ. RawTicket and both ciphertexts alias der. The
// error is a *SyntaxError, or a *MessageTypeError when der is another message.
func ParseAPReq(der []byte) (APReq, error) {
	p := parser{message: typeAPReq}
	s := p.open(der)
	var m APReq
	p.version(&s, 0, "pvno")
	p.messageType(&s, 1)
	m.Options = p.flags(&s, 2, "ap-options")
	wrapped := p.wrapped(&s, 3, "ticket")
	m.RawTicket, m.Ticket = p.rawTicket(&wrapped, "ticket")
	p.end(wrapped)
	m.Authenticator = p.encrypted(&s, 4, "authenticator")
	p.end(s)
	if p.err != nil {
		return APReq{}, p.err
	}
	return m, nil
}

// Append writes the AP-REQ's DER behind dst, with RawTicket as it is. The error
// is a *SyntaxError: RawTicket is not one Ticket.
func (m *APReq) Append(dst []byte) ([]byte, error) {
	const around = 64 // more than all the tags, lengths and small fields take
	b := builder{message: typeAPReq, buf: slices.Grow(dst, len(m.RawTicket)+len(m.Authenticator.Cipher)+around)}
	seq := b.open()
	b.integer(0, kerberosVersion)
	b.integer(1, int64(typeAPReq))
	b.flags(2, m.Options)
	b.element(3, "ticket", typeTicket.tag(), m.RawTicket)
	b.encrypted(4, &m.Authenticator)
	b.close(seq)
	return b.bytes()
}

// An Authenticator proves that the sender of a ticket knows its session key
// (RFC 4120, section 5.5.1). The client's name and realm in it are the sender's
// words: only the ticket says who the client is.
type Authenticator struct {
	CRealm            string
	CName             PrincipalName
	Checksum          *Checksum // nil when absent
	CUsec             int       // microseconds of CTime, 0..999999
	CTime             time.Time
	SubKey            *EncryptionKey // nil when absent
	SeqNumber         uint32         // when HasSeqNumber
	HasSeqNumber      bool
	AuthorizationData AuthorizationData
}

// ParseAuthenticator reads a decrypted authenticator. Checksum, subkey and
// authorization data alias der. The error is a *SyntaxError, or a
// *MessageTypeError when der is another message.
func ParseAuthenticator(der []byte) (Authenticator, error) {
	p := parser{message: typeAuthenticator}
	s := p.open(der)
	var a Authenticator
	p.version(&s, 0, "authenticator-vno")
	a.CRealm = p.str(&s, 1, "crealm")
	a.CName = p.principal(&s, 2, "cname")
	if p.has(s, 3) {
		c := p.checksum(&s, 3, "cksum")
		a.Checksum = &c
	}
	a.CUsec = p.microseconds(&s, 4, "cusec")
	a.CTime = p.time(&s, 5, "ctime")
	if p.has(s, 6) {
		k := p.key(&s, 6, "subkey")
		a.SubKey = &k
	}
	if a.HasSeqNumber = p.has(s, 7); a.HasSeqNumber {
		a.SeqNumber = p.uint32(&s, 7, "seq-number")
	}
	if p.has(s, 8) {
		a.AuthorizationData = p.authorizationData(&s, 8, "authorization-data")
	}
	p.end(s)
	if p.err != nil {
		return Authenticator{}, p.err
	}
	return a, nil
}

// Append writes the authenticator's DER behind dst, ready to be encrypted. The
// error is a *SyntaxError: a value that the protocol has no place for.
func (a *Authenticator) Append(dst []byte) ([]byte, error) {
	b := builder{message: typeAuthenticator, buf: dst}
	seq := b.open()
	b.integer(0, kerberosVersion)
	b.str(1, a.CRealm)
	b.principal(2, "cname", a.CName)
	if a.Checksum != nil {
		b.typed(3, a.Checksum.Type, a.Checksum.Value)
	}
	b.microseconds(4, "cusec", a.CUsec)
	b.time(5, "ctime", a.CTime)
	if a.SubKey != nil {
		b.key(6, a.SubKey)
	}
	if a.HasSeqNumber {
		b.integer(7, int64(a.SeqNumber))
	}
	if len(a.AuthorizationData) > 0 {
		b.authorizationData(8, "authorization-data", a.AuthorizationData)
	}
	b.close(seq)
	return b.bytes()
}

package kmsg

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A Ticket is a service's ticket as its client sees it (RFC 4120, section 5.3).
type Ticket struct {
	Realm   string
	SName   PrincipalName
	EncPart EncryptedData // an EncTicketPart under the service's key
}

// ParseTicket reads the DER of a ticket, for example a credential cache's. The
// ciphertext aliases der. The error is a *SyntaxError, or a *MessageTypeError
// when der is another message.
func ParseTicket(der []byte) (Ticket, error) {
	p := parser{message: typeTicket}
	t := p.ticket(p.open(der))
	if p.err != nil {
		return Ticket{}, p.err
	}
	return t, nil
}

// ticket reads the fields of a Ticket's SEQUENCE.
func (p *parser) ticket(s cryptobyte.String) (t Ticket) {
	p.version(&s, 0, "tkt-vno")
	t.Realm = p.str(&s, 1, "realm")
	t.SName = p.principal(&s, 2, "sname")
	t.EncPart = p.encrypted(&s, 3, "enc-part")
	p.end(s)
	return t
}

// Append writes the ticket's DER behind dst. The error is a *SyntaxError: a
// value that the protocol has no place for.
func (t *Ticket) Append(dst []byte) ([]byte, error) {
	b := builder{message: typeTicket, buf: dst}
	seq := b.open()
	b.integer(0, kerberosVersion)
	b.str(1, t.Realm)
	b.principal(2, "sname", t.SName)
	b.encrypted(3, &t.EncPart)
	b.close(seq)
	return b.bytes()
}

// EncTicketPart is what a KDC tells a service about a client, encrypted in the
// ticket (RFC 4120, section 5.3).
type EncTicketPart struct {
	Flags             uint32 // TicketForwardable and its neighbours
	Key               EncryptionKey
	CRealm            string
	CName             PrincipalName
	Transited         TransitedEncoding
	AuthTime          time.Time
	StartTime         time.Time // zero when absent: AuthTime then counts
	EndTime           time.Time
	RenewTill         time.Time // zero when absent
	CAddr             []HostAddress
	AuthorizationData AuthorizationData
}

// ParseEncTicketPart reads a decrypted ticket. Key, transited realms, addresses
// and authorization data alias der. The error is a *SyntaxError, or a
// *MessageTypeError when der is another message.
func ParseEncTicketPart(der []byte) (EncTicketPart, error) {
	p := parser{message: typeEncTicketPart}
	s := p.open(der)
	var t EncTicketPart
	t.Flags = p.flags(&s, 0, "flags")
	t.Key = p.key(&s, 1, "key")
	t.CRealm = p.str(&s, 2, "crealm")
	t.CName = p.principal(&s, 3, "cname")
	t.Transited.Type, t.Transited.Contents = p.typed(&s, 4, "transited", "tr-type", "contents")
	t.AuthTime = p.time(&s, 5, "authtime")
	if p.has(s, 6) {
		t.StartTime = p.time(&s, 6, "starttime")
	}
	t.EndTime = p.time(&s, 7, "endtime")
	if p.has(s, 8) {
		t.RenewTill = p.time(&s, 8, "renew-till")
	}
	if p.has(s, 9) {
		t.CAddr = p.addresses(&s, 9, "caddr")
	}
	if p.has(s, 10) {
		t.AuthorizationData = p.authorizationData(&s, 10, "authorization-data")
	}
	p.end(s)
	if p.err != nil {
		return EncTicketPart{}, p.err
	}
	return t, nil
}

// Append writes the part's DER behind dst, ready to be encrypted. The error is a
// *SyntaxError: a value that the protocol has no place for.
func (t *EncTicketPart) Append(dst []byte) ([]byte, error) {
	b := builder{message: typeEncTicketPart, buf: dst}
	seq := b.open()
	b.flags(0, t.Flags)
	b.key(1, &t.Key)
	b.str(2, t.CRealm)
	b.principal(3, "cname", t.CName)
	b.typed(4, t.Transited.Type, t.Transited.Contents)
	b.time(5, "authtime", t.AuthTime)
	if !t.StartTime.IsZero() {
		b.time(6, "starttime", t.StartTime)
	}
	b.time(7, "endtime", t.EndTime)
	if !t.RenewTill.IsZero() {
		b.time(8, "renew-till", t.RenewTill)
	}
	if len(t.CAddr) > 0 {
		b.addresses(9, "caddr", t.CAddr)
	}
	if len(t.AuthorizationData) > 0 {
		b.authorizationData(10, "authorization-data", t.AuthorizationData)
	}
	b.close(seq)
	return b.bytes()
}

// rawTicket reads a value with a Ticket's tag and gives its DER and its fields.
func (p *parser) rawTicket(s *cryptobyte.String, field string) (raw []byte, t Ticket) {
	p.enter(field)
	defer p.leave()
	var element, outer, fields cryptobyte.String
	if p.err != nil {
		return nil, Ticket{}
	}
	if !s.ReadASN1Element(&element, typeTicket.tag()) {
		p.fail("", "no Ticket, or its length is wrong")
		return nil, Ticket{}
	}
	raw = element
	readElement(&element, &outer, typeTicket.tag())
	if !readElement(&outer, &fields, asn1.SEQUENCE) || !outer.Empty() {
		p.fail("", "not one SEQUENCE")
		return nil, Ticket{}
	}
	return raw, p.ticket(fields)
}

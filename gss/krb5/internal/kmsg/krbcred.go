package kmsg

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// MaxTickets is the largest number of tickets in a KRB-CRED. Delegation sends
// one, a ticket-granting ticket.
const MaxTickets = 32

// A KRBCred hands tickets to another (RFC 4120, section 5.8.1; for delegation,
// RFC 4121, section 4.1.1).
type KRBCred struct {
	Tickets [][]byte      // the DER of each: ParseTicket reads it
	EncPart EncryptedData // an EncKRBCredPart; Etype 0 means that it is not encrypted
}

// ParseKRBCred reads a KRB-CRED and sees that each of its tickets is one.
// Tickets and ciphertext alias der. The error is a *SyntaxError, or a
// *MessageTypeError when der is another message.
func ParseKRBCred(der []byte) (KRBCred, error) {
	p := parser{message: typeKRBCred}
	s := p.open(der)
	var m KRBCred
	p.version(&s, 0, "pvno")
	p.messageType(&s, 1)
	list, count := p.list(&s, 2, "tickets", typeTicket.tag(), MaxTickets)
	if count > 0 {
		m.Tickets = make([][]byte, count)
		for i := range m.Tickets {
			m.Tickets[i], _ = p.rawTicket(&list, "tickets")
		}
	}
	m.EncPart = p.encrypted(&s, 3, "enc-part")
	p.end(s)
	if p.err != nil {
		return KRBCred{}, p.err
	}
	return m, nil
}

// Append writes the KRB-CRED's DER behind dst, with the tickets as they are. The
// error is a *SyntaxError: one of Tickets is not a Ticket, or there are too
// many.
func (m *KRBCred) Append(dst []byte) ([]byte, error) {
	b := builder{message: typeKRBCred, buf: dst}
	if len(m.Tickets) > MaxTickets {
		b.fail("tickets", "too many elements")
	}
	seq := b.open()
	b.integer(0, kerberosVersion)
	b.integer(1, int64(typeKRBCred))
	list := b.beginField(2, asn1.SEQUENCE)
	for _, t := range m.Tickets {
		b.checkElement("tickets", typeTicket.tag(), t)
		b.buf = append(b.buf, t...)
	}
	b.endField(list)
	b.encrypted(3, &m.EncPart)
	b.close(seq)
	return b.bytes()
}

// EncKRBCredPart is the encrypted part of a KRB-CRED: for each ticket, in the
// same order, what its new holder must know (RFC 4120, section 5.8.1).
type EncKRBCredPart struct {
	TicketInfo []KRBCredInfo
	Nonce      uint32 // when HasNonce
	HasNonce   bool
	Timestamp  time.Time    // zero when absent
	Usec       int          // microseconds of Timestamp; 0 when absent
	SAddress   *HostAddress // the sender's; nil when absent
	RAddress   *HostAddress // the receiver's; nil when absent
}

// KRBCredInfo is the session key of a ticket and what its holder may know of
// it. All but the key may be absent: a nil name, an empty realm or list, a zero
// time, no flags.
type KRBCredInfo struct {
	Key       EncryptionKey
	PRealm    string         // the client's realm
	PName     *PrincipalName // the client
	Flags     uint32         // TicketForwardable and its neighbours
	AuthTime  time.Time
	StartTime time.Time
	EndTime   time.Time
	RenewTill time.Time
	SRealm    string         // the service's realm
	SName     *PrincipalName // the service
	CAddr     []HostAddress
}

// ParseEncKRBCredPart reads the decrypted part of a KRB-CRED. Keys and addresses
// alias der. The error is a *SyntaxError, or a *MessageTypeError when der is
// another message.
func ParseEncKRBCredPart(der []byte) (EncKRBCredPart, error) {
	p := parser{message: typeEncKRBCredPart}
	s := p.open(der)
	var m EncKRBCredPart
	list, count := p.list(&s, 0, "ticket-info", asn1.SEQUENCE, MaxTickets)
	if count > 0 {
		p.enter("ticket-info")
		m.TicketInfo = make([]KRBCredInfo, count)
		for i := range m.TicketInfo {
			m.TicketInfo[i] = p.credInfo(&list)
		}
		p.leave()
	}
	if m.HasNonce = p.has(s, 1); m.HasNonce {
		m.Nonce = p.uint32(&s, 1, "nonce")
	}
	if p.has(s, 2) {
		m.Timestamp = p.time(&s, 2, "timestamp")
	}
	if p.has(s, 3) {
		m.Usec = p.microseconds(&s, 3, "usec")
	}
	m.SAddress = p.address(&s, 4, "s-address")
	m.RAddress = p.address(&s, 5, "r-address")
	p.end(s)
	if p.err != nil {
		return EncKRBCredPart{}, p.err
	}
	return m, nil
}

func (p *parser) credInfo(list *cryptobyte.String) (c KRBCredInfo) {
	var s cryptobyte.String
	readElement(list, &s, asn1.SEQUENCE) // list has seen that it is there
	c.Key = p.key(&s, 0, "key")
	if p.has(s, 1) {
		c.PRealm = p.str(&s, 1, "prealm")
	}
	if p.has(s, 2) {
		name := p.principal(&s, 2, "pname")
		c.PName = &name
	}
	if p.has(s, 3) {
		c.Flags = p.flags(&s, 3, "flags")
	}
	if p.has(s, 4) {
		c.AuthTime = p.time(&s, 4, "authtime")
	}
	if p.has(s, 5) {
		c.StartTime = p.time(&s, 5, "starttime")
	}
	if p.has(s, 6) {
		c.EndTime = p.time(&s, 6, "endtime")
	}
	if p.has(s, 7) {
		c.RenewTill = p.time(&s, 7, "renew-till")
	}
	if p.has(s, 8) {
		c.SRealm = p.str(&s, 8, "srealm")
	}
	if p.has(s, 9) {
		name := p.principal(&s, 9, "sname")
		c.SName = &name
	}
	if p.has(s, 10) {
		c.CAddr = p.addresses(&s, 10, "caddr")
	}
	p.end(s)
	return c
}

func (p *parser) address(s *cryptobyte.String, n uint8, field string) *HostAddress {
	if !p.has(*s, n) {
		return nil
	}
	var a HostAddress
	a.Type, a.Address = p.typed(s, n, field, "addr-type", "address")
	return &a
}

// Append writes the part's DER behind dst, ready to be encrypted. The error is a
// *SyntaxError: a value that the protocol has no place for.
func (m *EncKRBCredPart) Append(dst []byte) ([]byte, error) {
	b := builder{message: typeEncKRBCredPart, buf: dst}
	if len(m.TicketInfo) > MaxTickets {
		b.fail("ticket-info", "too many elements")
	}
	seq := b.open()
	list := b.beginField(0, asn1.SEQUENCE)
	for i := range m.TicketInfo {
		b.credInfo(&m.TicketInfo[i])
	}
	b.endField(list)
	if m.HasNonce {
		b.integer(1, int64(m.Nonce))
	}
	if !m.Timestamp.IsZero() {
		b.time(2, "timestamp", m.Timestamp)
	}
	if m.Usec != 0 {
		b.microseconds(3, "usec", m.Usec)
	}
	if m.SAddress != nil {
		b.typed(4, m.SAddress.Type, m.SAddress.Address)
	}
	if m.RAddress != nil {
		b.typed(5, m.RAddress.Type, m.RAddress.Address)
	}
	b.close(seq)
	return b.bytes()
}

func (b *builder) credInfo(c *KRBCredInfo) {
	seq := b.begin(asn1.SEQUENCE)
	b.key(0, &c.Key)
	if c.PRealm != "" {
		b.str(1, c.PRealm)
	}
	if c.PName != nil {
		b.principal(2, "ticket-info.pname", *c.PName)
	}
	if c.Flags != 0 {
		b.flags(3, c.Flags)
	}
	times := [...]time.Time{c.AuthTime, c.StartTime, c.EndTime, c.RenewTill}
	names := [...]string{"ticket-info.authtime", "ticket-info.starttime", "ticket-info.endtime", "ticket-info.renew-till"}
	for i, t := range times {
		if !t.IsZero() {
			b.time(4+uint8(i), names[i], t)
		}
	}
	if c.SRealm != "" {
		b.str(8, c.SRealm)
	}
	if c.SName != nil {
		b.principal(9, "ticket-info.sname", *c.SName)
	}
	if len(c.CAddr) > 0 {
		b.addresses(10, "ticket-info.caddr", c.CAddr)
	}
	b.end(seq)
}

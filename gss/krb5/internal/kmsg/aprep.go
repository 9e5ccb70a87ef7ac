package kmsg

import "time"

// An APRep is a service's proof that it could read the ticket (RFC 4120,
// section 5.5.2).
type APRep struct {
	EncPart EncryptedData // an EncAPRepPart under the ticket's session key
}

// ParseAPRep reads an AP-REP. The ciphertext aliases der. The error is a
// *SyntaxError, or a *MessageTypeError when der is another message.
func ParseAPRep(der []byte) (APRep, error) {
	p := parser{message: typeAPRep}
	s := p.open(der)
	var m APRep
	p.version(&s, 0, "pvno")
	p.messageType(&s, 1)
	m.EncPart = p.encrypted(&s, 2, "enc-part")
	p.end(s)
	if p.err != nil {
		return APRep{}, p.err
	}
	return m, nil
}

// Append writes the AP-REP's DER behind dst. The error is always nil: every
// APRep has a DER.
func (m *APRep) Append(dst []byte) ([]byte, error) {
	b := builder{message: typeAPRep, buf: dst}
	seq := b.open()
	b.integer(0, kerberosVersion)
	b.integer(1, int64(typeAPRep))
	b.encrypted(2, &m.EncPart)
	b.close(seq)
	return b.bytes()
}

// EncAPRepPart repeats the authenticator's time, and may bring the acceptor's
// subkey and first sequence number (RFC 4120, section 5.5.2).
type EncAPRepPart struct {
	CTime        time.Time
	CUsec        int            // microseconds of CTime, 0..999999
	SubKey       *EncryptionKey // nil when absent
	SeqNumber    uint32         // when HasSeqNumber
	HasSeqNumber bool
}

// ParseEncAPRepPart reads the decrypted part of an AP-REP. The subkey aliases
// der. The error is a *SyntaxError, or a *MessageTypeError when der is another
// message.
func ParseEncAPRepPart(der []byte) (EncAPRepPart, error) {
	p := parser{message: typeEncAPRepPart}
	s := p.open(der)
	var m EncAPRepPart
	m.CTime = p.time(&s, 0, "ctime")
	m.CUsec = p.microseconds(&s, 1, "cusec")
	if p.has(s, 2) {
		k := p.key(&s, 2, "subkey")
		m.SubKey = &k
	}
	if m.HasSeqNumber = p.has(s, 3); m.HasSeqNumber {
		m.SeqNumber = p.uint32(&s, 3, "seq-number")
	}
	p.end(s)
	if p.err != nil {
		return EncAPRepPart{}, p.err
	}
	return m, nil
}

// Append writes the part's DER behind dst, ready to be encrypted. The error is a
// *SyntaxError: a value that the protocol has no place for.
func (m *EncAPRepPart) Append(dst []byte) ([]byte, error) {
	b := builder{message: typeEncAPRepPart, buf: dst}
	seq := b.open()
	b.time(0, "ctime", m.CTime)
	b.microseconds(1, "cusec", m.CUsec)
	if m.SubKey != nil {
		b.key(2, m.SubKey)
	}
	if m.HasSeqNumber {
		b.integer(3, int64(m.SeqNumber))
	}
	b.close(seq)
	return b.bytes()
}

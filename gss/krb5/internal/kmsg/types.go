package kmsg

import (
	"encoding/json"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	// MaxAuthorizationData is the largest number of entries of one
	// AuthorizationData. KDCs send one or two, each a container for more.
	MaxAuthorizationData = 64

	// MaxAddresses is the largest number of addresses in a ticket: those of a
	// host with very many interfaces.
	MaxAddresses = 256

	maxMicroseconds = 999999 // RFC 4120, section 5.2.4
)

// EncryptedData is a ciphertext (RFC 4120, section 5.2.9).
type EncryptedData struct {
	Etype   int32
	Kvno    uint32 // the key's version, when HasKvno
	HasKvno bool
	Cipher  []byte // confounder, ciphertext and MAC, as the enctype lays them out
}

func (p *parser) encrypted(s *cryptobyte.String, n uint8, field string) (e EncryptedData) {
	fields := p.element(s, n, field, asn1.SEQUENCE)
	p.enter(field)
	defer p.leave()
	e.Etype = p.int32(&fields, 0, "etype")
	if e.HasKvno = p.has(fields, 1); e.HasKvno {
		e.Kvno = p.uint32(&fields, 1, "kvno")
	}
	e.Cipher = p.octets(&fields, 2, "cipher")
	p.end(fields)
	return e
}

func (b *builder) encrypted(n uint8, e *EncryptedData) {
	seq := b.beginField(n, asn1.SEQUENCE)
	b.integer(0, int64(e.Etype))
	if e.HasKvno {
		// Windows and MIT krb5 write the upper half of the range, which only
		// read-only domain controllers use, as negative numbers.
		b.integer(1, int64(int32(e.Kvno)))
	}
	b.octets(2, e.Cipher)
	b.endField(seq)
}

// An EncryptionKey is a key (RFC 4120, section 5.2.9). Whatever prints it, by
// fmt's verbs or as JSON, prints its type only.
type EncryptionKey struct {
	Type  int32 // the enctype
	Value []byte
}

// Clear overwrites the key with zeros, and with it the input that it was parsed
// from or any other slice that shares its bytes.
func (k *EncryptionKey) Clear() { clear(k.Value) }

// String names the enctype and shows nothing of the key.
func (k EncryptionKey) String() string {
	return fmt.Sprintf("EncryptionKey(enctype %d)", k.Type)
}

// GoString is String.
func (k EncryptionKey) GoString() string { return k.String() }

// Format prints String's text for every verb.
func (k EncryptionKey) Format(f fmt.State, _ rune) { f.Write([]byte(k.String())) }

// MarshalJSON gives the enctype only.
func (k EncryptionKey) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct{ Type int32 }{k.Type})
}

func (p *parser) key(s *cryptobyte.String, n uint8, field string) (k EncryptionKey) {
	k.Type, k.Value = p.typed(s, n, field, "keytype", "keyvalue")
	return k
}

func (b *builder) key(n uint8, k *EncryptionKey) { b.typed(n, k.Type, k.Value) }

// A Checksum is a keyed checksum, or in an AP-REQ of this mechanism the GSS
// checksum of type 0x8003 (RFC 4120, section 5.2.9; RFC 4121, section 4.1.1).
type Checksum struct {
	Type  int32
	Value []byte
}

func (p *parser) checksum(s *cryptobyte.String, n uint8, field string) (c Checksum) {
	c.Type, c.Value = p.typed(s, n, field, "cksumtype", "checksum")
	return c
}

// TransitedEncoding names the realms between the client's and the service's
// (RFC 4120, section 5.3). Type 1 is domain-X500-compress.
type TransitedEncoding struct {
	Type     int32
	Contents []byte
}

// HostAddress is a network address (RFC 4120, section 5.2.5 and 7.5.3): Type 2
// is IPv4 in four bytes, 24 IPv6 in sixteen, both in network order.
type HostAddress struct {
	Type    int32
	Address []byte
}

func (p *parser) addresses(s *cryptobyte.String, n uint8, field string) []HostAddress {
	list, count := p.list(s, n, field, asn1.SEQUENCE, MaxAddresses)
	if count == 0 {
		return nil
	}
	p.enter(field)
	defer p.leave()
	addresses := make([]HostAddress, count)
	for i := range addresses {
		addresses[i].Type, addresses[i].Address = p.typedElement(&list, "addr-type", "address")
	}
	return addresses
}

func (b *builder) addresses(n uint8, field string, addresses []HostAddress) {
	if len(addresses) > MaxAddresses {
		b.fail(field, "too many elements")
	}
	list := b.beginField(n, asn1.SEQUENCE)
	for _, a := range addresses {
		b.typedElement(a.Type, a.Address)
	}
	b.endField(list)
}

// AuthorizationData restricts, or vouches for, the client of a ticket (RFC
// 4120, section 5.2.6). A ticket's or authenticator's Parse reads the outermost
// list; ParseAuthorizationData reads what a container such as AD-IF-RELEVANT
// (type 1) holds.
type AuthorizationData []AuthorizationDataEntry

// AuthorizationDataEntry is one element of an AuthorizationData.
type AuthorizationDataEntry struct {
	Type int32
	Data []byte
}

// ParseAuthorizationData reads the DER of an AuthorizationData by itself, as
// the data of an AD-IF-RELEVANT or AD-KDCIssued entry has it. The entries' data
// alias der. A *SyntaxError says what is wrong.
func ParseAuthorizationData(der []byte) (AuthorizationData, error) {
	p := parser{message: typeAuthorizationData}
	s := cryptobyte.String(der)
	var list cryptobyte.String
	if !readElement(&s, &list, asn1.SEQUENCE) || !s.Empty() {
		p.fail("", "not one SEQUENCE")
	}
	data := p.authorizationEntries(list, "", p.count(list, "", asn1.SEQUENCE, MaxAuthorizationData))
	if p.err != nil {
		return nil, p.err
	}
	return data, nil
}

// Append writes the DER of the list by itself, for the data of a container.
func (a AuthorizationData) Append(dst []byte) ([]byte, error) {
	b := builder{message: typeAuthorizationData, buf: dst}
	list := b.begin(asn1.SEQUENCE)
	b.authorizationEntries("", a)
	b.end(list)
	return b.bytes()
}

func (p *parser) authorizationData(s *cryptobyte.String, n uint8, field string) AuthorizationData {
	list, count := p.list(s, n, field, asn1.SEQUENCE, MaxAuthorizationData)
	return p.authorizationEntries(list, field, count)
}

func (p *parser) authorizationEntries(list cryptobyte.String, field string, count int) AuthorizationData {
	if count == 0 {
		return nil
	}
	p.enter(field)
	defer p.leave()
	data := make(AuthorizationData, count)
	for i := range data {
		data[i].Type, data[i].Data = p.typedElement(&list, "ad-type", "ad-data")
	}
	return data
}

func (b *builder) authorizationData(n uint8, field string, data AuthorizationData) {
	list := b.beginField(n, asn1.SEQUENCE)
	b.authorizationEntries(field, data)
	b.endField(list)
}

func (b *builder) authorizationEntries(field string, data AuthorizationData) {
	if len(data) > MaxAuthorizationData {
		b.fail(field, "too many elements")
	}
	for _, e := range data {
		b.typedElement(e.Type, e.Data)
	}
}

// Keys, checksums, addresses, transited encodings and authorization data are
// all SEQUENCE { type [0] Int32, value [1] OCTET STRING }.

// typed reads field [n], such a pair.
func (p *parser) typed(s *cryptobyte.String, n uint8, field string, typeName, valueName string) (int32, []byte) {
	content := p.wrapped(s, n, field)
	p.enter(field)
	defer p.leave()
	t, v := p.typedElement(&content, typeName, valueName)
	p.end(content)
	return t, v
}

// typedElement reads such a pair where no explicit tag is around it.
func (p *parser) typedElement(s *cryptobyte.String, typeName, valueName string) (int32, []byte) {
	var fields cryptobyte.String
	if p.err == nil && !readElement(s, &fields, asn1.SEQUENCE) {
		p.fail("", "no SEQUENCE, or its length is wrong")
	}
	t := p.int32(&fields, 0, typeName)
	v := p.octets(&fields, 1, valueName)
	p.end(fields)
	return t, v
}

func (b *builder) typed(n uint8, t int32, value []byte) {
	outer := b.begin(asn1.Tag(n).ContextSpecific().Constructed())
	b.typedElement(t, value)
	b.end(outer)
}

func (b *builder) typedElement(t int32, value []byte) {
	seq := b.begin(asn1.SEQUENCE)
	b.integer(0, int64(t))
	b.octets(1, value)
	b.end(seq)
}

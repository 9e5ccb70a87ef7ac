package kmsg

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// MaxComponents is the largest number of components a principal name may have.
// Names in use have one to three; a component costs two bytes on the wire and a
// string header of sixteen in memory, so an unbounded name is a lever.
const MaxComponents = 32

// Name types (RFC 4120, section 6.2; RFC 6111; RFC 6806). They are hints: two
// names that differ only in type are the same name.
const (
	NTUnknown    int32 = 0
	NTPrincipal  int32 = 1
	NTSrvInst    int32 = 2
	NTSrvHst     int32 = 3
	NTSrvXHst    int32 = 4
	NTUID        int32 = 5
	NTX500       int32 = 6
	NTSMTPName   int32 = 7
	NTEnterprise int32 = 10
	NTWellKnown  int32 = 11
)

// A PrincipalName is a principal's name without its realm (RFC 4120, section
// 5.2.2). A peer may send one without any component: nobody's name, to be
// refused wherever a name decides something.
type PrincipalName struct {
	Type       int32
	Components []string
}

// Equal reports whether both names have the same components. The name type is
// not significant (RFC 4120, section 6.2).
func (n PrincipalName) Equal(m PrincipalName) bool {
	if len(n.Components) != len(m.Components) {
		return false
	}
	for i, c := range n.Components {
		if c != m.Components[i] {
			return false
		}
	}
	return true
}

// String returns the name without a realm, quoted as Unparse does.
func (n PrincipalName) String() string {
	return string(n.appendTo(make([]byte, 0, 64)))
}

// Unparse returns the name and its realm as krb5_unparse_name writes them,
// "host/server.example@EXAMPLE": a backslash stands before / @ and \ in
// components and realm, and newline, tab, backspace and NUL are \n \t \b \0.
func Unparse(n PrincipalName, realm string) string {
	b := append(n.appendTo(make([]byte, 0, 64)), '@')
	return string(appendQuoted(b, realm))
}

func (n PrincipalName) appendTo(b []byte) []byte {
	for i, c := range n.Components {
		if i > 0 {
			b = append(b, '/')
		}
		b = appendQuoted(b, c)
	}
	return b
}

func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '/', '@', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		case '\b':
			b = append(b, '\\', 'b')
		case 0:
			b = append(b, '\\', '0')
		default:
			b = append(b, c)
		}
	}
	return b
}

// ParsePrincipal reads a principal as krb5_parse_name does: components parted
// by /, the realm behind the first @, a backslash before any of / @ \ to mean
// the character itself, and \n \t \b \0. The realm is "" when there is none, or
// an empty one. The name type is NTSrvInst for krbtgt/REALM, NTWellKnown for
// WELLKNOWN/..., otherwise NTPrincipal. The error is ErrPrincipal: for a second
// @, a / in the realm, a backslash at the end, or more than MaxComponents
// components.
func ParsePrincipal(s string) (n PrincipalName, realm string, err error) {
	n, realm, err = parsePrincipal(s, false)
	if err != nil {
		return PrincipalName{}, "", err
	}
	n.Type = NTPrincipal
	switch c := n.Components; {
	case len(c) == 2 && c[0] == "krbtgt":
		n.Type = NTSrvInst
	case len(c) >= 2 && c[0] == "WELLKNOWN":
		n.Type = NTWellKnown
	}
	return n, realm, nil
}

// ParseEnterprise reads an enterprise name as krb5_parse_name_flags does with
// KRB5_PRINCIPAL_PARSE_ENTERPRISE: one component of type NTEnterprise, to which
// a slash and the first @ belong; the second @ begins the realm (RFC 6806,
// section 5). Quoting and errors are ParsePrincipal's.
func ParseEnterprise(s string) (n PrincipalName, realm string, err error) {
	n, realm, err = parsePrincipal(s, true)
	if err != nil {
		return PrincipalName{}, "", err
	}
	n.Type = NTEnterprise
	return n, realm, nil
}

func parsePrincipal(s string, enterprise bool) (n PrincipalName, realm string, err error) {
	var (
		part     = make([]byte, 0, len(s))
		inRealm  bool
		literals = 0 // unquoted @ that belong to the name
	)
	if enterprise {
		literals = 1
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
			if i == len(s) {
				return PrincipalName{}, "", ErrPrincipal
			}
			part = append(part, unquote(s[i]))
		case c == '@' && literals > 0:
			literals--
			part = append(part, c)
		case c == '@', c == '/' && !enterprise:
			if inRealm || len(n.Components) == MaxComponents {
				return PrincipalName{}, "", ErrPrincipal
			}
			inRealm = c == '@'
			n.Components = append(n.Components, string(part))
			part = part[:0]
		default:
			part = append(part, c)
		}
	}
	switch {
	case inRealm:
		realm = string(part)
	case len(n.Components) == MaxComponents:
		return PrincipalName{}, "", ErrPrincipal
	default:
		n.Components = append(n.Components, string(part))
	}
	return n, realm, nil
}

func unquote(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case '0':
		return 0
	}
	return c
}

// principal reads field [n], a PrincipalName.
func (p *parser) principal(s *cryptobyte.String, n uint8, field string) PrincipalName {
	fields := p.element(s, n, field, asn1.SEQUENCE)
	p.enter(field)
	defer p.leave()
	var name PrincipalName
	name.Type = p.int32(&fields, 0, "name-type")
	list, count := p.list(&fields, 1, "name-string", generalString, MaxComponents)
	p.end(fields)
	if p.err != nil || count == 0 {
		return PrincipalName{Type: name.Type}
	}
	// One string holds all components; theirs are parts of it.
	name.Components = make([]string, count)
	all, size := string(list), len(list)
	for i := range name.Components {
		var component cryptobyte.String
		readElement(&list, &component, generalString) // count has seen that it is there
		end := size - len(list)
		name.Components[i] = all[end-len(component) : end]
	}
	return name
}

func (b *builder) principal(n uint8, field string, name PrincipalName) {
	if len(name.Components) > MaxComponents {
		b.fail(field, "too many elements")
	}
	seq := b.beginField(n, asn1.SEQUENCE)
	b.integer(0, int64(name.Type))
	list := b.beginField(1, asn1.SEQUENCE)
	for _, c := range name.Components {
		b.header(generalString, len(c))
		b.buf = append(b.buf, c...)
	}
	b.endField(list)
	b.endField(seq)
}

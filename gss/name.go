package gss

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// A Name is an internal name of RFC 2743, section 1.1.5: text in the syntax of
// a name type. A mechanism name (MN) is one that a mechanism has canonicalised;
// contexts give names of this kind. Names are values, can be compared with ==,
// and the zero Name is no name.
type Name struct {
	text string
	typ  OID
	mech OID // of an MN; empty otherwise
}

// maxNameLength bounds a name's text. Principals are far shorter; the bound
// keeps a hostile exported name from being carried around.
const maxNameLength = 64 << 10

// HostService is the name of a service on a host, "service@host", on the local
// host, "service@", or "service" alone, where the mechanism's default for the host
// applies. Its syntax is checked when a mechanism canonicalises it.
func HostService(text string) Name { return Name{text: text, typ: NTHostbasedService} }

// UserName is the name of a local user or a principal without its realm.
func UserName(text string) Name { return Name{text: text, typ: NTUserName} }

// MechanismName is an MN: text that mech has canonicalised, of the mechanism's
// own name type. It is for mechanisms to make.
func MechanismName(mech OID, typ OID, text string) Name {
	return Name{text: text, typ: typ, mech: mech}
}

// ImportName makes a name of text in the syntax of a name type
// (GSS_Import_name). For [NTExportName] text is the octets that [Name.Export]
// gave, and the result is an MN.
func ImportName(text string, typ OID) (Name, error) {
	if len(text) > maxNameLength {
		return Name{}, &Error{Major: ErrBadName, Err: fmt.Errorf("%d octets are too long", len(text))}
	}
	switch typ {
	case NTExportName:
		return parseExportedName([]byte(text))
	case NTAnonymous:
		return Name{typ: typ}, nil
	case NTHostbasedService, NTUserName, NTKrb5Principal, NTKrb5Enterprise:
		if text == "" {
			return Name{}, &Error{Major: ErrBadName, Err: errors.New("empty name")}
		}
		return Name{text: text, typ: typ}, nil
	default:
		return Name{}, &Error{Major: ErrBadNameType, Err: fmt.Errorf("name type %s", typ)}
	}
}

// Display gives the name's text and its type (GSS_Display_name).
func (n Name) Display() (text string, typ OID) { return n.text, n.typ }

// String is the text of Display.
func (n Name) String() string { return n.text }

// Mechanism is the mechanism whose name an MN is; empty for any other name.
func (n Name) Mechanism() OID { return n.mech }

// IsZero reports whether n is no name.
func (n Name) IsZero() bool { return n == Name{} }

// Equal compares two names (GSS_Compare_name). Names of different types, or an
// MN and a name that is none, are not equal: canonicalise both first. The host
// of a host-based service is compared without regard to case.
func (n Name) Equal(o Name) bool {
	if n.typ != o.typ || n.mech != o.mech || n.typ == NTAnonymous {
		return false
	}
	if n.typ != NTHostbasedService {
		return n.text == o.text
	}
	ns, nh, nok := strings.Cut(n.text, "@")
	os, oh, ook := strings.Cut(o.text, "@")
	return ns == os && nok == ook && strings.EqualFold(nh, oh)
}

// Export gives the flat form of an MN (GSS_Export_name; RFC 2743, section 3.2),
// fit for comparing octet by octet in access lists. Any other name is refused
// with [ErrNameNotMN].
func (n Name) Export() ([]byte, error) {
	if n.mech == "" {
		return nil, &Error{Major: ErrNameNotMN}
	}
	var b cryptobyte.Builder
	b.AddBytes([]byte{4, 1})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(6)
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(n.mech)) })
	})
	b.AddUint32(uint32(len(n.text)))
	b.AddBytes([]byte(n.text))
	return b.Bytes()
}

func parseExportedName(blob []byte) (Name, error) {
	var (
		s           = cryptobyte.String(blob)
		tokenID     uint16
		oidTLV, oid cryptobyte.String
		tag         uint8
		length      uint32
	)
	switch {
	case !s.ReadUint16(&tokenID) || tokenID != 0x0401,
		!s.ReadUint16LengthPrefixed(&oidTLV),
		!oidTLV.ReadUint8(&tag) || tag != 6 || !oidTLV.ReadUint8LengthPrefixed(&oid) || !oidTLV.Empty(),
		!OID(oid).Valid(),
		!s.ReadUint32(&length) || uint64(length) != uint64(len(s)):
		return Name{}, &Error{Major: ErrBadName, Err: errors.New("malformed exported name")}
	}
	n := Name{text: string(s), mech: OID(oid), typ: NTExportName}
	if n.mech == MechKrb5 {
		n.typ = NTKrb5Principal
	}
	return n, nil
}

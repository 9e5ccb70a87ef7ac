package gss

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// An OID is an ASN.1 object identifier, held as the content octets of its DER
// encoding (without tag and length), so that it can be compared and used as a
// map key. The zero value is no identifier.
type OID string

// Mechanisms.
const (
	MechKrb5   OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02" // 1.2.840.113554.1.2.2, RFC 4121
	MechSPNEGO OID = "\x2b\x06\x01\x05\x05\x02"             // 1.3.6.1.5.5.2, RFC 4178
	MechIAKERB OID = "\x2b\x06\x01\x05\x02\x05"             // 1.3.6.1.5.2.5
)

// Name types (RFC 2743, section 4; RFC 1964, section 2.1).
const (
	NTHostbasedService OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04" // service@host
	NTUserName         OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x01"
	NTAnonymous        OID = "\x2b\x06\x01\x05\x06\x03"
	NTExportName       OID = "\x2b\x06\x01\x05\x06\x04"
	NTKrb5Principal    OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01"
	NTKrb5Enterprise   OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x06" // user@upn or user@upn@REALM (RFC 6806, section 5)
)

// maxOIDLength bounds the content octets of an OID. It is the largest length
// that DER writes in one octet, and several times what any mechanism uses.
const maxOIDLength = 127

// mechanismNames are the names by which mechanisms are asked for on command
// lines, each mechanism's first name being the one it is shown by.
var mechanismNames = []struct {
	name string
	oid  OID
}{
	{"kerberos_v5", MechKrb5},
	{"krb5", MechKrb5},
	{"spnego", MechSPNEGO},
	{"iakerb", MechIAKERB},
}

// ParseMechanism finds a mechanism's OID from its name (kerberos_v5, krb5,
// spnego, iakerb), its dotted form (1.2.840.113554.1.2.2) or its braces form
// ({ 1 2 840 113554 1 2 2 }). Any well-formed OID is returned, known or not:
// whether it can be used is the caller's to decide. The error of an unknown
// name lists the known ones.
func ParseMechanism(s string) (OID, error) {
	for _, m := range mechanismNames {
		if strings.EqualFold(m.name, strings.TrimSpace(s)) {
			return m.oid, nil
		}
	}
	oid, err := ParseOID(s)
	if err != nil {
		return "", &Error{Major: ErrBadMech, Err: fmt.Errorf("%q: known are %s", s, knownMechanisms())}
	}
	return oid, nil
}

func knownMechanisms() string {
	var b strings.Builder
	for i, m := range mechanismNames {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s)", m.name, m.oid)
	}
	return b.String()
}

// ParseOID reads an OID from its dotted form (1.2.840) or from the braces form
// of RFC 2743's display ({ 1 2 840 }).
func ParseOID(s string) (OID, error) {
	t := strings.TrimSpace(s)
	sep := "."
	if inner, ok := strings.CutPrefix(t, "{"); ok {
		inner, ok = strings.CutSuffix(inner, "}")
		if !ok {
			return "", fmt.Errorf("gss: malformed OID %q: no closing brace", s)
		}
		t, sep = strings.Join(strings.Fields(inner), " "), " "
	}
	if len(t) > 8*maxOIDLength {
		return "", fmt.Errorf("gss: malformed OID: %d characters are too many", len(t))
	}
	arcs := strings.Split(t, sep)
	if len(arcs) < 2 {
		return "", fmt.Errorf("gss: malformed OID %q: fewer than two arcs", s)
	}
	nums := make([]*big.Int, len(arcs))
	for i, a := range arcs {
		n, ok := parseArc(a)
		if !ok {
			return "", fmt.Errorf("gss: malformed OID %q: %q is not a number", s, a)
		}
		nums[i] = n
	}
	root := nums[0]
	if root.Cmp(big.NewInt(2)) > 0 || root.Cmp(big.NewInt(2)) < 0 && nums[1].Cmp(big.NewInt(40)) >= 0 {
		return "", fmt.Errorf("gss: malformed OID %q: no such root arc", s)
	}
	first := new(big.Int).Add(new(big.Int).Mul(root, big.NewInt(40)), nums[1])
	body := appendArc(nil, first)
	for _, n := range nums[2:] {
		body = appendArc(body, n)
	}
	if len(body) > maxOIDLength {
		return "", fmt.Errorf("gss: OID %q is longer than %d octets", s, maxOIDLength)
	}
	return OID(body), nil
}

func parseArc(s string) (*big.Int, bool) {
	if s == "" || len(s) > 1 && s[0] == '0' {
		return nil, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return nil, false
		}
	}
	return new(big.Int).SetString(s, 10)
}

// appendArc appends n in base 128, most significant group first, each octet but
// the last with its high bit set (X.690, section 8.19).
func appendArc(dst []byte, n *big.Int) []byte {
	groups := max(1, (n.BitLen()+6)/7)
	for i := groups - 1; i >= 0; i-- {
		g := new(big.Int).Rsh(n, uint(7*i)).Uint64() & 0x7f
		if i > 0 {
			g |= 0x80
		}
		dst = append(dst, byte(g))
	}
	return dst
}

// Valid reports whether the octets are a well-formed DER object identifier of
// at most 127 octets.
func (o OID) Valid() bool {
	_, ok := o.arcs()
	return ok
}

// arcs reads the numbers. It takes time quadratic in the length, which the
// peer may have chosen: what is too long is not looked at.
func (o OID) arcs() ([]string, bool) {
	if len(o) > maxOIDLength {
		return nil, false
	}
	var arcs []string
	n := new(big.Int)
	start := true
	for _, b := range []byte(o) {
		if start && b == 0x80 {
			return nil, false // leading zero group: not minimal
		}
		n.Or(n.Lsh(n, 7), big.NewInt(int64(b&0x7f)))
		if start = b&0x80 == 0; !start {
			continue
		}
		if len(arcs) == 0 {
			root := min(n.Uint64()/40, 2)
			if !n.IsUint64() {
				root = 2
			}
			arcs = append(arcs, strconv.FormatUint(root, 10))
			n.Sub(n, big.NewInt(int64(root*40)))
		}
		arcs = append(arcs, n.String())
		n.SetUint64(0)
	}
	return arcs, start && len(arcs) > 0
}

// String gives the dotted form.
func (o OID) String() string {
	arcs, ok := o.arcs()
	if !ok {
		return fmt.Sprintf("malformed OID %x", string(o[:min(len(o), maxOIDLength)]))
	}
	return strings.Join(arcs, ".")
}

// Braces gives the form that RFC 2743's C implementations display:
// { 1 2 840 113554 1 2 2 }.
func (o OID) Braces() string {
	arcs, ok := o.arcs()
	if !ok {
		return o.String()
	}
	return "{ " + strings.Join(arcs, " ") + " }"
}

// Name gives the mechanism's name where it is a known mechanism, the dotted
// form otherwise.
func (o OID) Name() string {
	for _, m := range mechanismNames {
		if m.oid == o {
			return m.name
		}
	}
	return o.String()
}

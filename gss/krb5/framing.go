package krb5

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign-go/countersign/gss"
)

// tagInitialToken is [APPLICATION 0], which frames every token of context
// establishment (RFC 2743, section 3.1).
const tagInitialToken = asn1.Tag(0 | 0x60)

// The first octets of messages without that frame, as DCE style has them.
const (
	tagAPReq    = 0x6e
	tagKRBError = 0x7e
)

// frameToken puts a Kerberos message behind the mechanism's OID and the token
// identifier that tells what it is (RFC 4121, section 4.1).
func frameToken(tokenID uint16, message []byte) []byte {
	const oid = string(gss.MechKrb5)
	const maxLength = 5 // bytes of a DER length below 2^32
	n := 2 + len(oid) + 2 + len(message)
	b := append(make([]byte, 0, 1+maxLength+n), byte(tagInitialToken))
	if n < 0x80 {
		b = append(b, byte(n))
	} else {
		size := (bits.Len(uint(n)) + 7) / 8
		b = append(b, 0x80|byte(size))
		for i := size - 1; i >= 0; i-- {
			b = append(b, byte(n>>(8*i)))
		}
	}
	b = append(b, byte(asn1.OBJECT_IDENTIFIER), byte(len(oid)))
	b = append(b, oid...)
	b = binary.BigEndian.AppendUint16(b, tokenID)
	return append(b, message...)
}

var (
	errNoToken   = errors.New("empty token")
	errNotFramed = errors.New("the token does not begin with a GSS-API header")
)

// unframeToken gives the token identifier and the message inside, which
// aliases token.
func unframeToken(token []byte) (tokenID uint16, message []byte, err error) {
	if len(token) == 0 {
		return 0, nil, defective(errNoToken)
	}
	var inner, oid cryptobyte.String
	s := cryptobyte.String(token)
	if !s.ReadASN1(&inner, tagInitialToken) || !s.Empty() ||
		!inner.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
		return 0, nil, defective(errNotFramed)
	}
	if mech := gss.OID(oid); mech != gss.MechKrb5 {
		return 0, nil, &gss.Error{
			Major: gss.ErrBadMech,
			Mech:  gss.MechKrb5,
			Err:   fmt.Errorf("the token is of mechanism %s, not of %s", mech.Name(), gss.MechKrb5.Name()),
			Hint:  "have the client use the Kerberos V5 mechanism",
		}
	}
	if len(inner) < 2 {
		return 0, nil, defective(errTokenShort)
	}
	return binary.BigEndian.Uint16(inner), inner[2:], nil
}

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
func frameToken(mech gss.OID, tokenID uint16, message []byte) []byte {
	const most = 32 // bytes of the header, the mechanisms' OIDs being short
	inner := 2 + len(mech) + 2 + len(message)
	b := make([]byte, 0, most+len(message))
	b = appendLength(append(b, byte(tagInitialToken)), inner)
	b = append(b, byte(asn1.OBJECT_IDENTIFIER), byte(len(mech)))
	b = append(b, mech...)
	b = binary.BigEndian.AppendUint16(b, tokenID)
	return append(b, message...)
}

// appendLength appends the length n in DER.
func appendLength(b []byte, n int) []byte {
	if n < 0x80 {
		return append(b, byte(n))
	}
	var be [4]byte
	binary.BigEndian.PutUint32(be[:], uint32(n))
	size := (bits.Len32(uint32(n)) + 7) / 8
	return append(append(b, 0x80|byte(size)), be[4-size:]...)
}

var (
	errNoToken   = errors.New("empty token")
	errNotFramed = errors.New("the token does not begin with a GSS-API header")
)

// unframeToken gives the token identifier and the message inside, which
// aliases token.
func unframeToken(want gss.OID, token []byte) (tokenID uint16, message []byte, err error) {
	if len(token) == 0 {
		return 0, nil, defective(errNoToken)
	}
	var inner, oid cryptobyte.String
	s := cryptobyte.String(token)
	if !s.ReadASN1(&inner, tagInitialToken) || !s.Empty() ||
		!inner.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
		return 0, nil, defective(errNotFramed)
	}
	if string(oid) != string(want) {
		mech := gss.OID(oid)
		return 0, nil, &gss.Error{
			Major: gss.ErrBadMech,
			Mech:  want,
			Err:   fmt.Errorf("the token is of mechanism %s, not of %s", mech.Name(), want.Name()),
			Hint:  "have the client use the mechanism " + want.Name(),
		}
	}
	if len(inner) < 2 {
		return 0, nil, defective(errTokenShort)
	}
	return binary.BigEndian.Uint16(inner), inner[2:], nil
}

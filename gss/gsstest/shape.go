package gsstest

import (
	"errors"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// gokrb5 panics on some input and re-encodes where the octets as sent are
// wanted. The functions of this file look at a message before gokrb5 does.

// Application tags of RFC 4120, section 5.10.
const (
	tagASReq  = 10
	tagTGSReq = 12
)

// additionalTickets is the last field of a KDC-REQ-BODY: RFC 4120, section 5.4.1.
const additionalTickets = 11

var errTrailing = errors.New("trailing bytes")

// kdcReqShape is the frame of a KDC-REQ.
type kdcReqShape struct {
	tag  int    // tagASReq or tagTGSReq
	pvno int    // not checked
	body []byte // KDC-REQ-BODY as sent, tag and length included
}

// readKDCReq reads the frame of RFC 4120, section 5.4.1, and finds whatever in
// the body would upset gokrb5.
func readKDCReq(msg []byte) (kdcReqShape, error) {
	var shape kdcReqShape
	input := cryptobyte.String(msg)
	var outer, seq, pvno, msgType, body cryptobyte.String
	var tag asn1.Tag
	if !input.ReadAnyASN1(&outer, &tag) {
		return shape, errors.New("not DER")
	}
	if !input.Empty() {
		return shape, errTrailing
	}
	switch tag {
	case applicationTag(tagASReq):
		shape.tag = tagASReq
	case applicationTag(tagTGSReq):
		shape.tag = tagTGSReq
	default:
		return shape, fmt.Errorf("tag %#x: neither AS-REQ nor TGS-REQ", uint8(tag))
	}
	var typ int
	if !outer.ReadASN1(&seq, asn1.SEQUENCE) || !outer.Empty() ||
		!seq.ReadASN1(&pvno, contextTag(1)) || !pvno.ReadASN1Integer(&shape.pvno) || !pvno.Empty() ||
		!seq.ReadASN1(&msgType, contextTag(2)) || !msgType.ReadASN1Integer(&typ) || !msgType.Empty() ||
		!seq.SkipOptionalASN1(contextTag(3)) ||
		!seq.ReadASN1(&body, contextTag(4)) || !seq.Empty() {
		return shape, errors.New("not a KDC-REQ")
	}
	if typ != shape.tag {
		return shape, fmt.Errorf("msg-type %d under application tag %d", typ, shape.tag)
	}
	shape.body = body
	var fields cryptobyte.String
	if !body.ReadASN1(&fields, asn1.SEQUENCE) || !body.Empty() {
		return shape, errors.New("not a KDC-REQ-BODY")
	}
	last := -1
	for !fields.Empty() {
		var field cryptobyte.String
		if !fields.ReadAnyASN1(&field, &tag) {
			return shape, errors.New("truncated KDC-REQ-BODY")
		}
		// gokrb5 takes whatever comes after the other fields for
		// additional-tickets, and for a sequence that it may index into.
		n := int(tag & 0x1f)
		if tag != contextTag(n) || n <= last || n > additionalTickets {
			return shape, fmt.Errorf("KDC-REQ-BODY: tag %#x out of order", uint8(tag))
		}
		if n == additionalTickets && !isSequenceOfElements(field) {
			return shape, errors.New("additional-tickets is not a sequence of tickets")
		}
		last = n
	}
	return shape, nil
}

func applicationTag(n int) asn1.Tag { return asn1.Tag(0x40|n) | 0x20 }

func contextTag(n int) asn1.Tag { return asn1.Tag(n).ContextSpecific().Constructed() }

// decrypt opens ciphertext of a peer's choosing: gokrb5 slices without looking,
// so whatever is too short for confounder and MAC is refused here.
func decrypt(data types.EncryptedData, key types.EncryptionKey, usage uint32) ([]byte, error) {
	et, err := crypto.GetEtype(key.KeyType)
	if err != nil {
		return nil, err
	}
	if data.EType != key.KeyType {
		return nil, fmt.Errorf("encryption type %d, key of type %d", data.EType, key.KeyType)
	}
	if min := et.GetConfounderByteSize() + et.GetHMACBitLength()/8; len(data.Cipher) < min {
		return nil, fmt.Errorf("%d bytes of ciphertext, at least %d are needed", len(data.Cipher), min)
	}
	return crypto.DecryptEncPart(data, key, usage)
}

// checkKey refuses a key that the KDC does not deal in.
func checkKey(key types.EncryptionKey) error {
	if err := checkEnctypes([]int32{key.KeyType}); err != nil {
		return err
	}
	return Key{key.KeyType, key.KeyValue}.check()
}

// checkTicketPart refuses what gokrb5 decodes but cannot work with.
func checkTicketPart(part messages.EncTicketPart) error {
	if len(part.Flags.Bytes) < 4 {
		return errors.New("ticket flags shorter than 32 bits")
	}
	if len(part.CName.NameString) == 0 {
		return errors.New("ticket without a client name")
	}
	return checkKey(part.Key)
}

// isSequenceOfElements reports whether the field is one SEQUENCE of whole
// elements: gokrb5 takes their lengths on trust.
func isSequenceOfElements(field cryptobyte.String) bool {
	var tickets, ticket cryptobyte.String
	if !field.ReadASN1(&tickets, asn1.SEQUENCE) || !field.Empty() {
		return false
	}
	for !tickets.Empty() {
		if !tickets.ReadASN1Element(&ticket, asn1.Tag(1|0x60)) { // [APPLICATION 1]
			return false
		}
	}
	return true
}

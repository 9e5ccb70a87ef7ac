package spnego

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign-go/countersign/gss"
)

// maxMechs bounds the mechanisms of a list. Windows sends five.
const maxMechs = 32

// negState is the negotiation's state in a NegTokenResp (RFC 4178, section
// 4.2.2): what the sender makes of it.
type negState uint8

const (
	stateAbsent      negState = iota
	acceptCompleted           // nothing more is expected, the sender's context stands
	acceptIncomplete          // another message is expected
	rejected                  // the sender ends the negotiation
	requestMIC                // MICs must be exchanged; only in the acceptor's first message
)

// wire is the state's number in the encoding.
func (s negState) wire() int64 { return int64(s) - 1 }

// negTokenInit is the initiator's first message (RFC 4178, section 4.2.1), or
// the hints that an acceptor speaking first sends (MS-SPNG, section 2.2.1).
type negTokenInit struct {
	mechList []byte    // the DER of mechTypes, over which MICs are made; nil without the field
	mechs    []gss.OID // what it holds, most wanted first
	token    []byte    // the optimistic token; nil without one
	mic      []byte    // nil without one
}

// negTokenResp is every further message (RFC 4178, section 4.2.2).
type negTokenResp struct {
	state negState
	mech  gss.OID // supportedMech; empty without the field
	token []byte  // nil without one
	mic   []byte  // nil without one
}

var (
	tagFrame = asn1.Tag(0 | 0x60) // [APPLICATION 0] (RFC 2743, section 3.1)
	tagInit  = contextTag(0)
	tagResp  = contextTag(1)
)

func contextTag(n uint8) asn1.Tag { return asn1.Tag(n).ContextSpecific().Constructed() }

var (
	errNotFramed     = errors.New("the token does not begin with a GSS-API header")
	errMalformedInit = errors.New("malformed NegTokenInit")
	errMalformedResp = errors.New("malformed NegTokenResp")
	errTooManyMechs  = fmt.Errorf("more than %d mechanisms in the list", maxMechs)
)

// unframe gives the mechanism of an initial context token and what follows its
// OID, which aliases token.
func unframe(token []byte) (mech gss.OID, inner []byte, err error) {
	var frame, oid cryptobyte.String
	s := cryptobyte.String(token)
	if !s.ReadASN1(&frame, tagFrame) || !s.Empty() || !frame.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
		return "", nil, errNotFramed
	}
	return gss.OID(oid), frame, nil
}

// marshal gives the whole initial context token, framing included.
func (t *negTokenInit) marshal() []byte {
	var b cryptobyte.Builder
	b.AddASN1(tagFrame, func(b *cryptobyte.Builder) {
		addOID(b, gss.MechSPNEGO)
		b.AddASN1(tagInit, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				if t.mechList != nil {
					b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { b.AddBytes(t.mechList) })
				}
				addOctets(b, contextTag(2), t.token)
				addOctets(b, contextTag(3), t.mic)
			})
		})
	})
	return b.BytesOrPanic() // cannot fail: every length fits
}

// parseNegTokenInit reads the message inside the framing. The result's byte
// slices alias b.
func parseNegTokenInit(b []byte) (*negTokenInit, error) {
	var (
		choice, seq, field cryptobyte.String
		present            bool
		t                  negTokenInit
		s                  = cryptobyte.String(b)
	)
	if !s.ReadASN1(&choice, tagInit) || !s.Empty() || !choice.ReadASN1(&seq, asn1.SEQUENCE) || !choice.Empty() {
		return nil, errMalformedInit
	}
	if !seq.ReadOptionalASN1(&field, &present, contextTag(0)) {
		return nil, errMalformedInit
	}
	if present {
		t.mechList = field
		var err error
		if t.mechs, err = parseMechList(field); err != nil {
			return nil, err
		}
	}
	// reqFlags of RFC 2478 are not protected and mean nothing any more.
	if !seq.ReadOptionalASN1(&field, &present, contextTag(1)) ||
		present && (!field.SkipASN1(asn1.BIT_STRING) || !field.Empty()) ||
		!readOctets(&seq, contextTag(2), &t.token) {
		return nil, errMalformedInit
	}
	if isNegHints(seq) {
		if !readNegHints(&seq) {
			return nil, errMalformedInit
		}
	} else if !readOctets(&seq, contextTag(3), &t.mic) {
		return nil, errMalformedInit
	}
	if t.mic == nil && !readOctets(&seq, contextTag(4), &t.mic) { // NegTokenInit2 has it there
		return nil, errMalformedInit
	}
	if !readExtensions(&seq, 4) {
		return nil, errMalformedInit
	}
	return &t, nil
}

// isNegHints tells whether the field [3] that s begins with is the negHints of
// a NegTokenInit2 and not a mechListMIC: a SEQUENCE, not an OCTET STRING.
func isNegHints(s cryptobyte.String) bool {
	var field cryptobyte.String
	return s.ReadASN1(&field, contextTag(3)) && field.PeekASN1Tag(asn1.SEQUENCE)
}

// readNegHints reads over the hints: a name that says to be ignored, and an
// address that is never sent (MS-SPNG, section 2.2.1).
func readNegHints(s *cryptobyte.String) bool {
	var field, hints, name cryptobyte.String
	var present bool
	var address []byte
	return s.ReadASN1(&field, contextTag(3)) && field.ReadASN1(&hints, asn1.SEQUENCE) && field.Empty() &&
		hints.ReadOptionalASN1(&name, &present, contextTag(0)) &&
		(!present || name.SkipASN1(asn1.GeneralString) && name.Empty()) &&
		readOctets(&hints, contextTag(1), &address) && hints.Empty()
}

// marshalMechList gives the DER of a MechTypeList.
func marshalMechList(mechs []gss.OID) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, m := range mechs {
			addOID(b, m)
		}
	})
	return b.BytesOrPanic() // cannot fail: every length fits
}

func parseMechList(der cryptobyte.String) ([]gss.OID, error) {
	var list, oid cryptobyte.String
	if !der.ReadASN1(&list, asn1.SEQUENCE) || !der.Empty() {
		return nil, errMalformedInit
	}
	var mechs []gss.OID
	for !list.Empty() {
		if len(mechs) == maxMechs {
			return nil, errTooManyMechs
		}
		if !list.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) || !gss.OID(oid).Valid() {
			return nil, errMalformedInit
		}
		mechs = append(mechs, gss.OID(oid))
	}
	return mechs, nil
}

// marshal gives the whole message. Unlike the first it has no framing.
func (t *negTokenResp) marshal() []byte {
	var b cryptobyte.Builder
	b.AddASN1(tagResp, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			if t.state != stateAbsent {
				b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { b.AddASN1Enum(t.state.wire()) })
			}
			if t.mech != "" {
				b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) { addOID(b, t.mech) })
			}
			addOctets(b, contextTag(2), t.token)
			addOctets(b, contextTag(3), t.mic)
		})
	})
	return b.BytesOrPanic() // cannot fail: every length fits
}

// parseNegTokenResp reads a message. The result's byte slices alias b.
func parseNegTokenResp(b []byte) (*negTokenResp, error) {
	var (
		choice, seq, field, oid cryptobyte.String
		present                 bool
		t                       negTokenResp
		s                       = cryptobyte.String(b)
	)
	if !s.ReadASN1(&choice, tagResp) || !s.Empty() || !choice.ReadASN1(&seq, asn1.SEQUENCE) || !choice.Empty() {
		return nil, errMalformedResp
	}
	if !seq.ReadOptionalASN1(&field, &present, contextTag(0)) {
		return nil, errMalformedResp
	}
	if present {
		var state int
		if !field.ReadASN1Enum(&state) || !field.Empty() || state < 0 || int64(state) > requestMIC.wire() {
			return nil, errMalformedResp
		}
		t.state = negState(state + 1)
	}
	if !seq.ReadOptionalASN1(&field, &present, contextTag(1)) {
		return nil, errMalformedResp
	}
	if present {
		if !field.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) || !field.Empty() || !gss.OID(oid).Valid() {
			return nil, errMalformedResp
		}
		t.mech = gss.OID(oid)
	}
	if !readOctets(&seq, contextTag(2), &t.token) || !readOctets(&seq, contextTag(3), &t.mic) || !readExtensions(&seq, 3) {
		return nil, errMalformedResp
	}
	if bytes.Equal(t.mic, t.token) {
		t.mic = nil // Windows 2000 puts the token there again (RFC 4178, appendix C)
	}
	return &t, nil
}

func addOID(b *cryptobyte.Builder, oid gss.OID) {
	b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(oid)) })
}

// addOctets adds an explicitly tagged OCTET STRING, nothing when it is empty.
func addOctets(b *cryptobyte.Builder, tag asn1.Tag, octets []byte) {
	if len(octets) > 0 {
		b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddASN1OctetString(octets) })
	}
}

// readOctets reads an optional field of that kind. An empty one is as good as
// none: no mechanism has empty tokens or MICs.
func readOctets(s *cryptobyte.String, tag asn1.Tag, octets *[]byte) bool {
	var field, content cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&field, &present, tag) {
		return false
	}
	if !present {
		return true
	}
	if !field.ReadASN1(&content, asn1.OCTET_STRING) || !field.Empty() {
		return false
	}
	if len(content) > 0 {
		*octets = content
	}
	return true
}

// readExtensions reads over the fields above tag number last that a later
// version may add: both messages are extensible.
func readExtensions(s *cryptobyte.String, last uint8) bool {
	for !s.Empty() {
		var field cryptobyte.String
		var tag asn1.Tag
		if !s.ReadAnyASN1(&field, &tag) || tag < contextTag(last+1) || tag >= contextTag(31) {
			return false
		}
	}
	return true
}

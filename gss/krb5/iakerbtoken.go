package krb5

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// IAKERB (draft-ietf-kitten-iakerb) carries messages to and from a KDC in tokens
//
//	05 01 | IAKERB-HEADER | message
//
// of which the first is framed as context tokens are.
const tokIAKERBProxy = 0x0501

// A proxyToken is such a token. Without a message the initiator asks for the
// acceptor's realm, and the acceptor tells it.
//
// The draft makes the realm a UTF8String, MIT's library makes it an OCTET STRING
// and reads nothing else. We send what MIT reads, unless the initiator is seen
// to do as the draft says.
type proxyToken struct {
	realm   string
	utf8    bool   // the realm is a UTF8String
	cookie  []byte // the acceptor's, which the initiator repeats; nil: none
	message []byte
}

var (
	fieldRealm  = asn1.Tag(1).ContextSpecific().Constructed()
	fieldCookie = asn1.Tag(2).ContextSpecific().Constructed()
)

func (p *proxyToken) marshal(framed bool) ([]byte, error) {
	realmTag := asn1.OCTET_STRING
	if p.utf8 {
		realmTag = asn1.UTF8String
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(fieldRealm, func(b *cryptobyte.Builder) {
			b.AddASN1(realmTag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(p.realm)) })
		})
		if p.cookie != nil {
			b.AddASN1(fieldCookie, func(b *cryptobyte.Builder) { b.AddASN1OctetString(p.cookie) })
		}
	})
	b.AddBytes(p.message)
	content, err := b.Bytes()
	if err != nil {
		return nil, failure(err)
	}
	if framed {
		return frameToken(gss.MechIAKERB, tokIAKERBProxy, content), nil
	}
	return append(binary.BigEndian.AppendUint16(nil, tokIAKERBProxy), content...), nil
}

var errIAKERBHeader = errors.New("the IAKERB header is malformed")

// parseProxyToken reads a token in either form; ok is false for one that is
// something else. What it gives aliases token.
func parseProxyToken(token []byte) (p proxyToken, ok bool, err error) {
	content := cryptobyte.String(token)
	var id uint16
	if len(token) > 0 && token[0] == byte(tagInitialToken) {
		var message []byte
		if id, message, err = unframeToken(gss.MechIAKERB, token); err != nil {
			return p, false, err
		}
		content = message
	} else {
		content.ReadUint16(&id)
	}
	if id != tokIAKERBProxy {
		return p, false, nil
	}
	var header, field, realm cryptobyte.String
	var realmTag asn1.Tag
	var hasCookie bool
	if !content.ReadASN1(&header, asn1.SEQUENCE) ||
		!header.ReadASN1(&field, fieldRealm) || !field.ReadAnyASN1(&realm, &realmTag) || !field.Empty() ||
		realmTag != asn1.OCTET_STRING && realmTag != asn1.UTF8String ||
		!header.ReadOptionalASN1(&field, &hasCookie, fieldCookie) {
		return p, true, defective(errIAKERBHeader)
	}
	if hasCookie {
		var cookie cryptobyte.String
		if !field.ReadASN1(&cookie, asn1.OCTET_STRING) || !field.Empty() {
			return p, true, defective(errIAKERBHeader)
		}
		p.cookie = append([]byte{}, cookie...)
	}
	for !header.Empty() { // the header may be extended
		var tag asn1.Tag
		if !header.ReadAnyASN1Element(&field, &tag) {
			return p, true, defective(errIAKERBHeader)
		}
	}
	if len(realm) > maxRealm {
		return p, true, defective(fmt.Errorf("%w: a realm of %d octets", errIAKERBHeader, len(realm)))
	}
	p.realm, p.utf8, p.message = string(realm), realmTag == asn1.UTF8String, content
	return p, true, nil
}

// The initiator's checksum has an extension that vouches for the conversation:
//
//	type(4) = 1 | length(4) | IAKERB-FINISHED
//
// all numbers big endian, and in it a keyed checksum over all proxy tokens of
// both sides, made with the subkey.
const (
	extensionFinished = 1
	usageFinished     = 42
)

// finished makes the extension; nil without a conversation.
func (h *initiateHandshake) finished() ([]byte, error) {
	if h.conversation == nil {
		return nil, nil
	}
	sum, err := h.session.NewChecksum(h.subkey, usageFinished)
	if err != nil {
		return nil, failure(err)
	}
	defer sum.Clear()
	var b cryptobyte.Builder
	b.AddUint32(extensionFinished)
	b.AddUint32LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
						b.AddASN1Int64(int64(h.session.ChecksumType()))
					})
					b.AddASN1(asn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
						b.AddASN1OctetString(sum.Sum(nil, h.conversation, nil))
					})
				})
			})
		})
	})
	return b.BytesOrPanic(), nil // cannot fail: every length fits
}

var (
	errNoFinished = errors.New("the initiator does not vouch for what went through this side to the KDC")
	errFinished   = errors.New("the initiator saw other messages than those that went through this side to the KDC")
)

// checkFinished looks at the extensions of the checksum. Those of the Kerberos
// mechanism itself are ignored (RFC 4121, section 4.1.1).
func (h *acceptHandshake) checkFinished(extensions []byte) error {
	if h.mech != gss.MechIAKERB {
		return nil
	}
	refuse := func(err error) error { return protocolError(gss.ErrBadMIC, kmsg.APErrBadIntegrity, err) }
	verified := false
	for s := cryptobyte.String(extensions); !s.Empty(); {
		var typ uint32
		var content cryptobyte.String
		if !s.ReadUint32(&typ) || !readUint32LengthPrefixed(&s, &content) {
			return defective(errInvalidLength)
		}
		if typ != extensionFinished {
			continue
		}
		if h.conversation == nil {
			return refuse(errors.New("the initiator vouches for messages to a KDC that did not come through this side"))
		}
		if err := h.verifyFinished(content); err != nil {
			return refuse(err)
		}
		verified = true
	}
	if h.conversation != nil && !verified {
		return refuse(errNoFinished)
	}
	return nil
}

func (h *acceptHandshake) verifyFinished(der cryptobyte.String) error {
	sub := h.auth.SubKey
	if sub == nil {
		return errors.New("there is no subkey to vouch with")
	}
	profile, err := etype.Lookup(etype.ID(sub.Type))
	if err != nil {
		return err
	}
	sum, err := profile.NewChecksum(sub.Value, usageFinished)
	if err != nil {
		return err
	}
	defer sum.Clear()
	var outer, field, checksum, mac cryptobyte.String
	var typ int64
	if !der.ReadASN1(&outer, asn1.SEQUENCE) || !der.Empty() ||
		!outer.ReadASN1(&field, asn1.Tag(1).ContextSpecific().Constructed()) ||
		!field.ReadASN1(&checksum, asn1.SEQUENCE) || !field.Empty() ||
		!checksum.ReadASN1(&field, asn1.Tag(0).ContextSpecific().Constructed()) || !field.ReadASN1Integer(&typ) || !field.Empty() ||
		!checksum.ReadASN1(&field, asn1.Tag(1).ContextSpecific().Constructed()) || !field.ReadASN1(&mac, asn1.OCTET_STRING) || !field.Empty() ||
		!checksum.Empty() {
		return errors.New("the IAKERB-FINISHED is malformed")
	}
	if typ != int64(profile.ChecksumType()) || !sum.Verify(mac, h.conversation, nil) {
		return errFinished
	}
	return nil
}

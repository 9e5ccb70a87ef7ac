package krb5

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/countersign-go/countersign/gss"
)

// confounderSize is the random block that every encryption starts with. All
// enctypes here have AES's block.
const confounderSize = 16

var errWrapIntegrity = errors.New("Decrypt integrity check failed")

// wrap appends a Wrap token (RFC 4121, section 4.2.6.2). It sends no extra
// count when sealing, AES with ciphertext stealing needing no padding, and
// never rotates.
func (p *protection) wrap(dst, msg []byte, seal bool, random io.Reader) ([]byte, error) {
	if seal {
		return p.wrapSealed(dst, msg, random)
	}
	sum, err := p.wrapChecksum(sent)
	if err != nil {
		return nil, err
	}
	macSize := p.profile.MACSize()
	n := len(dst)
	dst = slices.Grow(dst, headerSize+len(msg)+macSize)[:n+headerSize]
	header := dst[n : n+headerSize : n+headerSize]
	// The checksum is over message and header with EC and RRC zero.
	putHeader(header, tokWrap, p.sendFlags, 0, 0, p.sendSeq.Add(1)-1)
	dst = append(dst, msg...)
	dst = sum.Sum(dst, msg, header)
	binary.BigEndian.PutUint16(header[4:], uint16(macSize))
	return dst, nil
}

// wrapSealed lays the token out in its place and encrypts it there:
// header | E(confounder | message | header) | MAC.
func (p *protection) wrapSealed(dst, msg []byte, random io.Reader) ([]byte, error) {
	cipher, err := p.cipher(sent)
	if err != nil {
		return nil, err
	}
	n := len(dst)
	size := headerSize + len(msg) + headerSize + cipher.Overhead()
	dst = slices.Grow(dst, size)[:n+size]
	token := dst[n:]
	putHeader(token, tokWrap, p.sendFlags|flagSealed, 0, 0, p.sendSeq.Add(1)-1)
	const start = headerSize + confounderSize
	copy(token[start:], msg)
	copy(token[start+len(msg):], token[:headerSize])
	if err := cipher.SealInPlace(token[headerSize:], random); err != nil {
		clear(token)
		return nil, failure(err)
	}
	return dst, nil
}

// unwrap appends the message of a Wrap token, rotated by any count, to dst.
func (p *protection) unwrap(dst, token []byte) (msg []byte, sealed bool, err error) {
	if err := p.checkHeader(token, tokWrap); err != nil {
		return nil, false, err
	}
	sealed = token[2]&flagSealed != 0
	ec := int(binary.BigEndian.Uint16(token[4:]))
	rrc := int(binary.BigEndian.Uint16(token[6:]))
	if p.dce && sealed && rrc != 0 {
		rrc += ec // as Windows and Heimdal do there (MS-KILE, section 3.4.5.4.1)
	}
	body := unrotate(token[headerSize:], rrc)
	if sealed {
		msg, err = p.unwrapSealed(dst, token[:headerSize], body, ec)
	} else {
		msg, err = p.unwrapSigned(dst, token[:headerSize], body, ec)
	}
	if err != nil {
		return nil, false, err
	}
	switch m := p.checkSequence(token); m {
	case 0:
		return msg, sealed, nil
	case gss.ErrUnseqToken, gss.ErrGapToken:
		return msg, sealed, sequenceError(m)
	default:
		clear(msg[len(dst):])
		return nil, false, sequenceError(m)
	}
}

// unrotate undoes a right rotation by rrc octets (RFC 4121, section 4.2.5).
// Tokens that are not rotated, as nearly all are, are not copied.
func unrotate(body []byte, rrc int) []byte {
	if len(body) == 0 {
		return body
	}
	if rrc %= len(body); rrc == 0 {
		return body
	}
	return slices.Concat(body[rrc:], body[:rrc])
}

func (p *protection) unwrapSealed(dst, header, body []byte, ec int) ([]byte, error) {
	cipher, err := p.cipher(received)
	if err != nil {
		return nil, err
	}
	if len(body) < cipher.Overhead()+ec+headerSize {
		return nil, defective(errTokenShort)
	}
	msg, err := cipher.Open(dst, body)
	if err != nil {
		return nil, badMIC(err)
	}
	// message | EC octets of filler | copy of the header, its RRC zero
	end := len(msg) - headerSize
	var want [headerSize]byte
	copy(want[:], header)
	want[6], want[7] = 0, 0
	if string(msg[end:]) != string(want[:]) {
		clear(msg[len(dst):])
		return nil, badMIC(errTokenHeader)
	}
	return msg[:end-ec], nil
}

func (p *protection) unwrapSigned(dst, header, body []byte, ec int) ([]byte, error) {
	sum, err := p.wrapChecksum(received)
	if err != nil {
		return nil, err
	}
	if ec != p.profile.MACSize() {
		return nil, defective(errTokenHeader)
	}
	if len(body) < ec {
		return nil, defective(errTokenShort)
	}
	msg, mac := body[:len(body)-ec], body[len(body)-ec:]
	var signed [headerSize]byte
	copy(signed[:4], header)
	copy(signed[8:], header[8:])
	if !sum.Verify(mac, msg, signed[:]) {
		return nil, badMIC(errWrapIntegrity)
	}
	return append(dst, msg...), nil
}

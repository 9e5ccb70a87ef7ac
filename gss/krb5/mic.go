package krb5

import (
	"errors"
	"slices"
)

var errMIC = errors.New("the checksum does not match the message")

// mic appends a MIC token (RFC 4121, section 4.2.6.1): the header, then the
// checksum over the message and that header.
func (p *protection) mic(dst, msg []byte) ([]byte, error) {
	sum, err := p.micChecksum(sent)
	if err != nil {
		return nil, err
	}
	n := len(dst)
	dst = slices.Grow(dst, headerSize+p.profile.MACSize())[:n+headerSize]
	header := dst[n:]
	putHeader(header, tokMIC, p.sendFlags, 0xffff, 0xffff, p.sendSeq.Add(1)-1)
	return sum.Sum(dst, msg, header), nil
}

// verifyMIC checks a MIC token against its message.
func (p *protection) verifyMIC(msg, token []byte) error {
	if err := p.checkHeader(token, tokMIC); err != nil {
		return err
	}
	if token[2]&flagSealed != 0 || token[4]&token[5]&token[6]&token[7] != 0xff {
		return defective(errTokenHeader)
	}
	sum, err := p.micChecksum(received)
	if err != nil {
		return err
	}
	if !sum.Verify(token[headerSize:], msg, token[:headerSize]) {
		return badMIC(errMIC)
	}
	if m := p.checkSequence(token); m != 0 {
		return sequenceError(m)
	}
	return nil
}

package etype

import (
	"crypto/pbkdf2"
	"encoding/binary"
	"fmt"
)

// maxIterations bounds the PBKDF2 iteration count that a KDC may ask for. Its
// reply is not authenticated at that point, so whoever can forge one decides
// how long a client computes. The bound is MIT krb5's, and stands for some
// seconds.
const maxIterations = 1 << 24

// StringToKey returns the protocol key, KeySize bytes, for a password and salt
// (RFC 3962, section 4; RFC 8009, section 4). Params are the s2kparams of the
// KDC: none for the enctype's default, or a big-endian 32-bit iteration count.
// Any other length, and a count above 2^24 (as which zero, meaning 2^32,
// counts), is [ErrParams].
func (p *Profile) StringToKey(password, salt string, params []byte) ([]byte, error) {
	iterations := p.iterations
	switch len(params) {
	case 0:
	case 4:
		n := binary.BigEndian.Uint32(params)
		if n == 0 || n > maxIterations {
			return nil, fmt.Errorf("%w: %s with an iteration count of %d, at most %d is accepted",
				ErrParams, p.id, (uint64(n)-1)&0xffffffff+1, maxIterations)
		}
		iterations = int(n)
	default:
		return nil, fmt.Errorf("%w: %d bytes of s2kparams, %s takes 4", ErrParams, len(params), p.id)
	}
	if p.etm {
		salt = p.id.String() + "\x00" + salt
	}
	key, err := pbkdf2.Key(p.newHash, password, []byte(salt), iterations, p.keySize)
	if err != nil {
		return nil, fmt.Errorf("string-to-key of %s: %w", p.id, err)
	}
	defer clear(key)
	var d deriver
	defer d.clear()
	if err := d.setKey(p, key); err != nil {
		return nil, err
	}
	out, label := make([]byte, p.keySize), []byte("kerberos")
	if p.etm {
		d.kdf(out, label, nil)
	} else {
		d.dk(out, fold(label))
	}
	return out, nil
}

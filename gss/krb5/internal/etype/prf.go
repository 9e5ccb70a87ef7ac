package etype

import "crypto/aes"

// PRF is the enctype's pseudo-random function over input under a protocol key
// of KeySize bytes (RFC 3961, section 3, pseudo-random; RFC 3962, section 6;
// RFC 8009, section 5). It gives 16 bytes for enctypes 17 and 18, 32 for 19
// and 48 for 20. A key of another length is [ErrKeySize].
func (p *Profile) PRF(key, input []byte) ([]byte, error) {
	var d deriver
	defer d.clear()
	if err := d.setKey(p, key); err != nil {
		return nil, err
	}
	if p.etm {
		out := make([]byte, p.hashSize)
		d.kdf(out, []byte("prf"), input)
		return out, nil
	}
	var room [maxKeySize]byte
	kp := room[:p.keySize]
	defer clear(kp)
	d.dk(kp, fold([]byte("prf")))
	var k cbcKey
	defer k.clear()
	if err := k.setKey(kp); err != nil {
		return nil, err
	}
	// The hash is cut to whole blocks: one of SHA-1.
	h := p.newHash()
	h.Write(input)
	out := h.Sum(nil)[:aes.BlockSize:aes.BlockSize]
	k.encrypt(new([aes.BlockSize]byte), out)
	return out, nil
}

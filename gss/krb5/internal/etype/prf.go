package etype

import "crypto/aes"

// PRF is the enctype's pseudo-random function over input under a protocol key
// of KeySize bytes (RFC 3961, section 3, pseudo-random; RFC 3962, section 6;
// RFC 8009, section 5). It gives 16 bytes for enctypes 17 and 18, 32 for 19
// and 48 for 20. A key of another length is [ErrKeySize].
func (p *Profile) PRF(key, input []byte) ([]byte, error) {
	d, err := p.deriver(key)
	if err != nil {
		return nil, err
	}
	if p.etm {
		return p.kdf(key, []byte("prf"), input, p.hashSize), nil
	}
	kp := dk(d.block, p.keySize, fold([]byte("prf")))
	defer clear(kp)
	block, err := aes.NewCipher(kp)
	if err != nil {
		return nil, err
	}
	// The hash is cut to whole blocks: one of SHA-1.
	h := p.newHash()
	h.Write(input)
	out := h.Sum(nil)[:aes.BlockSize:aes.BlockSize]
	block.Encrypt(out, out)
	return out, nil
}

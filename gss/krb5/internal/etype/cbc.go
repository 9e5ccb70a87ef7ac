package etype

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// cbcLength returns how many of the first bytes of an n-byte message (n >= 16)
// are in plain CBC. The rest, one block and a whole or partial one, is under
// ciphertext stealing; a message of exactly one block has none (RFC 3962,
// section 5).
func cbcLength(n int) int {
	if n == aes.BlockSize {
		return n
	}
	return (n-1)/aes.BlockSize*aes.BlockSize - aes.BlockSize
}

// A cbcKey encrypts and decrypts whole blocks in CBC under one AES key. It is
// immutable until it is cleared, and any number of goroutines may use it.
type cbcKey struct {
	block cipher.Block // nil where wide does the work
	wide  wideKey
}

// setKey makes k ready for a key of 16 or 32 bytes, which it does not keep.
func (k *cbcKey) setKey(key []byte) (err error) {
	if useWide() {
		k.wide.setKey(key)
		return nil
	}
	k.block, err = aes.NewCipher(key)
	return err
}

// encrypt encrypts whole blocks in place. The IV becomes the one that follows.
func (k *cbcKey) encrypt(iv *[aes.BlockSize]byte, buf []byte) {
	if k.block == nil {
		k.wide.encrypt(iv, buf)
	} else {
		cbcEncrypt(k.block, iv, buf)
	}
}

// decrypt decrypts src, whole blocks, to dst, which is src or does not overlap
// it. The IV becomes the one that follows.
func (k *cbcKey) decrypt(iv *[aes.BlockSize]byte, dst, src []byte) {
	if k.block == nil {
		k.wide.decrypt(iv, dst, src)
	} else {
		cbcDecrypt(k.block, iv, dst, src)
	}
}

// clear wipes the key as far as it can: a key schedule that crypto/aes owns is
// left to the garbage collector.
func (k *cbcKey) clear() { *k = cbcKey{} }

// cbcEncrypt is cbcKey.encrypt over Go's block cipher.
func cbcEncrypt(block cipher.Block, iv *[aes.BlockSize]byte, buf []byte) {
	previous := iv[:]
	for ; len(buf) >= aes.BlockSize; buf = buf[aes.BlockSize:] {
		b := buf[:aes.BlockSize:aes.BlockSize]
		subtle.XORBytes(b, b, previous)
		block.Encrypt(b, b)
		previous = b
	}
	copy(iv[:], previous)
}

// cbcDecrypt is cbcKey.decrypt over Go's block cipher. It goes back to front,
// so that each block still finds the one before it. The blocks do not depend on
// each other: the processor works on several at once.
func cbcDecrypt(block cipher.Block, iv *[aes.BlockSize]byte, dst, src []byte) {
	if len(src) == 0 {
		return
	}
	next := [aes.BlockSize]byte(src[len(src)-aes.BlockSize:])
	for i := len(src) - aes.BlockSize; i > 0; i -= aes.BlockSize {
		d := dst[i : i+aes.BlockSize : i+aes.BlockSize]
		block.Decrypt(d, src[i:i+aes.BlockSize:i+aes.BlockSize])
		xorBlock(d, src[i-aes.BlockSize:i])
	}
	block.Decrypt(dst[:aes.BlockSize], src[:aes.BlockSize])
	xorBlock(dst, iv[:])
	*iv = next
}

func xorBlock(dst, b []byte) {
	binary.LittleEndian.PutUint64(dst[:8], binary.LittleEndian.Uint64(dst[:8])^binary.LittleEndian.Uint64(b[:8]))
	binary.LittleEndian.PutUint64(dst[8:16], binary.LittleEndian.Uint64(dst[8:16])^binary.LittleEndian.Uint64(b[8:16]))
}

// stealEncrypt encrypts the last 17 to 32 bytes of a message in place; the IV
// is in s.
func (k *cbcKey) stealEncrypt(last []byte, s *state) {
	first, rest := last[:aes.BlockSize], last[aes.BlockSize:]
	k.encrypt(&s.iv, first)
	end := s.a[:]
	clear(end)
	copy(end, rest)
	k.encrypt(&s.iv, end)
	copy(rest, first)
	copy(first, end)
}

// stealDecrypt decrypts the last 17 to 32 bytes of a message; the IV is in s.
// It returns the block, held in s.b, and what follows it, held in s.a.
func (k *cbcKey) stealDecrypt(last []byte, s *state) (first, rest []byte) {
	first, end := s.b[:], s.a[:]
	stolen := last[aes.BlockSize:]
	k.decrypt(s.zeroIV(), end, last[:aes.BlockSize])
	copy(first, end)
	copy(first, stolen)
	subtle.XORBytes(end, end[:len(stolen)], stolen)
	k.decrypt(&s.iv, first, first)
	return first, end[:len(stolen)]
}

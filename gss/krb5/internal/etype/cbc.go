package etype

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// zeroBlock is the initial cipher state of every message.
var zeroBlock [aes.BlockSize]byte

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

// cbcEncrypt encrypts whole blocks in place and returns the IV that follows:
// the last of them.
func cbcEncrypt(block cipher.Block, iv, buf []byte) []byte {
	for ; len(buf) >= aes.BlockSize; buf = buf[aes.BlockSize:] {
		b := buf[:aes.BlockSize:aes.BlockSize]
		subtle.XORBytes(b, b, iv)
		block.Encrypt(b, b)
		iv = b
	}
	return iv
}

// A chain is the ciphertext block before the one being decrypted, kept from
// being overwritten when a message is decrypted onto itself.
type chain struct{ x, y uint64 }

func chainOf(b []byte) chain {
	return chain{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:16])}
}

func (c chain) xor(b []byte) {
	binary.LittleEndian.PutUint64(b[:8], binary.LittleEndian.Uint64(b[:8])^c.x)
	binary.LittleEndian.PutUint64(b[8:16], binary.LittleEndian.Uint64(b[8:16])^c.y)
}

// cbcDecrypt decrypts src, one or more whole blocks, to dst, which is src or
// does not overlap it, and returns the chain that follows. It goes back to
// front, so that each block still finds the one before it. The blocks do not
// depend on each other: the processor works on several at once.
func cbcDecrypt(block cipher.Block, iv chain, dst, src []byte) chain {
	next := chainOf(src[len(src)-aes.BlockSize:])
	for i := len(src) - aes.BlockSize; i > 0; i -= aes.BlockSize {
		d := dst[i : i+aes.BlockSize : i+aes.BlockSize]
		block.Decrypt(d, src[i:i+aes.BlockSize:i+aes.BlockSize])
		chainOf(src[i-aes.BlockSize : i]).xor(d)
	}
	block.Decrypt(dst[:aes.BlockSize], src[:aes.BlockSize])
	iv.xor(dst)
	return next
}

// stealEncrypt encrypts the last 17 to 32 bytes of a message in place.
func stealEncrypt(block cipher.Block, iv, last []byte, s *state) {
	first, rest := last[:aes.BlockSize], last[aes.BlockSize:]
	cbcEncrypt(block, iv, first)
	end := s.a[:]
	clear(end)
	copy(end, rest)
	cbcEncrypt(block, first, end)
	copy(rest, first)
	copy(first, end)
}

// stealDecrypt decrypts the last 17 to 32 bytes of a message. It returns the
// block, held in s.b, and what follows it, held in s.a.
func stealDecrypt(block cipher.Block, iv chain, last []byte, s *state) (first, rest []byte) {
	first, end := s.b[:], s.a[:]
	stolen := last[aes.BlockSize:]
	block.Decrypt(end, last[:aes.BlockSize])
	copy(first, end)
	copy(first, stolen)
	subtle.XORBytes(end, end[:len(stolen)], stolen)
	block.Decrypt(first, first)
	iv.xor(first)
	return first, end[:len(stolen)]
}

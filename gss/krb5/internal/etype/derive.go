package etype

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"sync/atomic"
)

// What follows the key usage number in the constant of a derived key (RFC
// 3961, section 5.3; RFC 8009, section 5).
const (
	forChecksum   = 0x99 // Kc
	forEncryption = 0xAA // Ke
	forIntegrity  = 0x55 // Ki
)

// A deriver derives keys from one protocol key.
type deriver struct {
	p     *Profile
	key   []byte
	block cipher.Block // under key, where derivation encrypts (RFC 3961)
}

func (p *Profile) deriver(key []byte) (deriver, error) {
	d := deriver{p: p, key: key}
	if err := p.checkKey(key); err != nil {
		return d, err
	}
	if p.etm {
		return d, nil
	}
	var err error
	d.block, err = aes.NewCipher(key)
	return d, err
}

// derive returns the n-byte key for usage and purpose.
func (d *deriver) derive(usage uint32, purpose byte, n int) []byte {
	var constant [5]byte
	binary.BigEndian.PutUint32(constant[:], usage)
	constant[4] = purpose
	if d.p.etm {
		return d.p.kdf(d.key, constant[:], nil, n)
	}
	if usage >= foldedUsages {
		return dk(d.block, n, fold(constant[:]))
	}
	slot := &foldedConstants[usage][purpose%3]
	folded := slot.Load()
	if folded == nil {
		folded = fold(constant[:])
		slot.Store(folded)
	}
	return dk(d.block, n, folded)
}

// foldedUsages is how many key usages have their constants' n-folds kept: all
// that RFC 4120 and RFC 4121 use.
const foldedUsages = 32

// foldedConstants are n-folds already made, by usage and the remainder of
// the purpose by three, in which the three differ.
var foldedConstants [foldedUsages][3]atomic.Pointer[[aes.BlockSize]byte]

func fold(constant []byte) *[aes.BlockSize]byte {
	folded := new([aes.BlockSize]byte)
	nfold(folded[:], constant)
	return folded
}

// dk is DK of RFC 3961, section 5.1, for AES: random-to-key is the identity,
// so DR's bytes are the key. The block is under the key that this one, of n
// bytes, is derived from, and the constant comes folded.
func dk(block cipher.Block, n int, constant *[aes.BlockSize]byte) []byte {
	out := make([]byte, (n+aes.BlockSize-1)/aes.BlockSize*aes.BlockSize)
	previous := constant[:]
	for at := 0; at < n; at += aes.BlockSize {
		next := out[at : at+aes.BlockSize]
		block.Encrypt(next, previous)
		previous = next
	}
	return out[:n:n]
}

// kdf is KDF-HMAC-SHA2 of RFC 8009, section 3, giving n bytes.
func (p *Profile) kdf(key, label, context []byte, n int) []byte {
	k := p.newMACKey(key, nil)
	s := p.take()
	defer p.put(s)
	msg := make([]byte, 0, 64)
	msg = binary.BigEndian.AppendUint32(msg, 1)
	msg = append(msg, label...)
	msg = append(msg, 0)
	msg = append(msg, context...)
	msg = binary.BigEndian.AppendUint32(msg, uint32(n)*8)
	s.begin(k)
	s.hash.Write(msg)
	out := append([]byte(nil), s.finish(k)[:n]...)
	clear(k)
	return out
}

// nfold is n-fold of RFC 3961, section 5.1: src is repeated, each copy rotated
// right by 13 bits more than the one before, until its length is a multiple of
// dst's, and the dst-sized pieces are added in ones' complement.
func nfold(dst, src []byte) {
	const rotation = 13
	bits := 8 * len(src)
	sum := make([]uint32, len(dst))
	at := 0    // in dst
	start := 0 // bit of src at which the current copy begins
	for range lcm(len(src), len(dst)) / len(src) {
		bit := start
		for range src {
			i, shift := bit/8, bit%8
			next := i + 1
			if next == len(src) {
				next = 0
			}
			pair := uint32(src[i])<<8 | uint32(src[next])
			sum[at] += pair >> (8 - shift) & 0xff
			if at++; at == len(dst) {
				at = 0
			}
			if bit += 8; bit >= bits {
				bit -= bits
			}
		}
		start = (start + bits - rotation%bits) % bits
	}
	// Carries go left, and the one out of the first byte comes in at the last.
	for carry := uint32(1); carry != 0; {
		carry = 0
		for i := len(sum) - 1; i >= 0; i-- {
			sum[i] += carry
			carry = sum[i] >> 8
			sum[i] &= 0xff
		}
		sum[len(sum)-1] += carry
	}
	for i := range dst {
		dst[i] = byte(sum[i])
	}
}

func lcm(a, b int) int {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

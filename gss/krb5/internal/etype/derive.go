package etype

import (
	"crypto/aes"
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
	p   *Profile
	cbc cbcKey // where derivation encrypts (RFC 3961)
	mac macKey // where it is an HMAC (RFC 8009)
}

func (d *deriver) setKey(p *Profile, key []byte) error {
	d.p = p
	if err := p.checkKey(key); err != nil {
		return err
	}
	if p.etm {
		d.mac = p.appendMACKey(d.mac[:0], key)
		return nil
	}
	return d.cbc.setKey(key)
}

func (d *deriver) clear() {
	d.cbc.clear()
	clear(d.mac)
}

// derive fills key with the one for usage and purpose.
func (d *deriver) derive(key []byte, usage uint32, purpose byte) {
	var constant [5]byte
	binary.BigEndian.PutUint32(constant[:], usage)
	constant[4] = purpose
	if d.p.etm {
		d.kdf(key, constant[:], nil)
		return
	}
	if usage >= foldedUsages {
		d.dk(key, fold(constant[:]))
		return
	}
	slot := &foldedConstants[usage][purpose%3]
	folded := slot.Load()
	if folded == nil {
		folded = fold(constant[:])
		slot.Store(folded)
	}
	d.dk(key, folded)
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
// so DR's bytes are the key, which fills key. The constant comes folded.
func (d *deriver) dk(key []byte, constant *[aes.BlockSize]byte) {
	s := d.p.take()
	defer d.p.put(s)
	s.a = *constant
	for at := 0; at < len(key); at += aes.BlockSize {
		d.cbc.encrypt(s.zeroIV(), s.a[:])
		copy(key[at:], s.a[:])
	}
	clear(s.a[:])
	clear(s.zero[:])
}

// kdf is KDF-HMAC-SHA2 of RFC 8009, section 3: it fills out.
func (d *deriver) kdf(out, label, context []byte) {
	s := d.p.take()
	defer d.p.put(s)
	s.begin(d.mac)
	var number [5]byte // four of a counter or a length, and a zero between
	number[3] = 1
	s.writeShort(number[:4])
	s.writeShort(label)
	s.writeShort(number[4:])
	s.writeShort(context)
	binary.BigEndian.PutUint32(number[:], uint32(len(out))*8)
	s.writeShort(number[:4])
	copy(out, s.finish(d.mac))
	clear(s.saved[:])
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

//go:build !purego

package etype

import (
	"crypto/aes"
	"crypto/fips140"
	"encoding/binary"
	"math/bits"
)

// useWide says whether AES-CBC is done by this package's assembly. Under FIPS
// 140 it is left to Go's validated module.
func useWide() bool { return haveAES && !fips140.Enabled() }

// haveAES is asked of the processor here: golang.org/x/sys/cpu asks for
// everything there is when a program starts, which in a virtual machine takes as
// long as the rest of this module's initialization.
var haveAES = cpuHasAES()

// A wideKey is an AES key schedule for the processor's AES instructions. The
// assembly decrypts eight blocks at once, where crypto/cipher's CBC goes block
// by block, and encrypts without a call for each block. The round keys of a
// shorter schedule stand at the arrays' end.
type wideKey struct {
	rounds   int // 10 or 14
	enc, dec [60]uint32
}

// setKey expands a key of 16 or 32 bytes (FIPS 197, section 5.2).
func (k *wideKey) setKey(key []byte) {
	nk := len(key) / 4
	k.rounds = nk + 6
	first := 4 * (14 - k.rounds)
	w := k.enc[first:]
	for i := range nk {
		w[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	rcon := uint32(1)
	for at := nk; at < len(w); at += nk {
		t := subWord(bits.RotateLeft32(w[at-1], -8)) ^ rcon
		rcon = rcon<<1 ^ rcon>>7*0x11b
		for i := at; i < min(at+nk, len(w)); i++ {
			if i == at+4 { // of a key of 32 bytes
				t = subWord(t)
			}
			t ^= w[i-nk]
			w[i] = t
		}
	}
	invertKeys(k.rounds, &k.dec[first], &k.enc[first])
}

func (k *wideKey) encrypt(iv *[aes.BlockSize]byte, buf []byte) {
	if n := len(buf) / aes.BlockSize; n > 0 {
		encryptBlocks(k.rounds, &k.enc[4*(14-k.rounds)], iv, &buf[0], n)
	}
}

func (k *wideKey) decrypt(iv *[aes.BlockSize]byte, dst, src []byte) {
	if n := len(src) / aes.BlockSize; n > 0 {
		_ = dst[n*aes.BlockSize-1]
		decryptBlocks(k.rounds, &k.dec[4*(14-k.rounds)], iv, &dst[0], &src[0], n)
	}
}

// cpuHasAES reports whether the processor has the AES instructions.
//
//go:noescape
func cpuHasAES() bool

// subWord is AES's S-box applied to each byte of w, in constant time.
//
//go:noescape
func subWord(w uint32) uint32

// invertKeys makes the round keys of decryption of those of encryption.
//
//go:noescape
func invertKeys(rounds int, dec, enc *uint32)

//go:noescape
func encryptBlocks(rounds int, keys *uint32, iv *[aes.BlockSize]byte, buf *byte, blocks int)

//go:noescape
func decryptBlocks(rounds int, keys *uint32, iv *[aes.BlockSize]byte, dst, src *byte, blocks int)

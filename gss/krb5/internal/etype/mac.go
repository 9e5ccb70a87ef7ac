package etype

import (
	"crypto/aes"
	"crypto/sha512"
	"encoding"
	"hash"
)

// A macKey is an HMAC key made ready: the state of the hash after the inner
// padded key, and that after the outer one, each half of the slice (RFC 2104,
// section 4, "Implementation Note"). crypto/hmac does the same, but binds it to
// one message at a time.
type macKey []byte

// newMACKey makes key ready. Each message will begin with prefix.
func (p *Profile) newMACKey(key, prefix []byte) macKey {
	s := p.take()
	defer p.put(s)
	pad := make([]byte, p.hashBlock)
	defer clear(pad)
	state := func(xor byte, prefix []byte) []byte {
		clear(pad)
		copy(pad, key) // no key here is longer than a hash block
		for i := range pad {
			pad[i] ^= xor
		}
		s.hash.Reset()
		s.hash.Write(pad)
		s.hash.Write(prefix)
		b, err := s.hash.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			panic("etype: hash state: " + err.Error()) // not for a hash of the standard library
		}
		return b
	}
	inner, outer := state(0x36, prefix), state(0x5c, nil)
	k := append(inner[:len(inner):len(inner)], outer...)
	clear(inner)
	clear(outer)
	return k[:len(k):len(k)]
}

// A state is what the work on one message needs beside the keys.
type state struct {
	hash    hash.Hash
	restore encoding.BinaryUnmarshaler // the same hash
	sum     [sha512.Size]byte
	iv      [aes.BlockSize]byte
	zero    [aes.BlockSize]byte // an IV for a block by itself
	a, b    [aes.BlockSize]byte
	short   [64]byte
}

// zeroIV gives the initial cipher state of a message, good for one use.
func (s *state) zeroIV() *[aes.BlockSize]byte {
	clear(s.zero[:])
	return &s.zero
}

func (p *Profile) take() *state {
	if s, ok := p.scratch.Get().(*state); ok {
		return s
	}
	h := p.newHash()
	return &state{hash: h, restore: h.(encoding.BinaryUnmarshaler)}
}

// put gives s back, with no keyed hash state left in it.
func (p *Profile) put(s *state) {
	s.hash.Reset()
	p.scratch.Put(s)
}

// begin starts an HMAC: what is written to s.hash from here on is its message.
func (s *state) begin(k macKey) { s.load(k[:len(k)/2]) }

// finish ends the HMAC and returns it in full, valid until s is used again.
func (s *state) finish(k macKey) []byte {
	inner := s.hash.Sum(s.sum[:0])
	s.load(k[len(k)/2:])
	s.hash.Write(inner)
	return s.hash.Sum(s.sum[:0])
}

func (s *state) load(saved []byte) {
	if err := s.restore.UnmarshalBinary(saved); err != nil {
		panic("etype: hash state: " + err.Error()) // the state is not from newMACKey
	}
}

package etype

import (
	"crypto/aes"
	"crypto/sha512"
	"encoding"
	"encoding/binary"
	"hash"
	"slices"
)

// A macKey is an HMAC key made ready: the state of the hash after the inner
// padded key, and that after the outer one, each half of the slice (RFC 2104,
// section 4, "Implementation Note"). crypto/hmac does the same, but binds it to
// one message at a time.
type macKey []byte

// newMACKey makes key ready. No key here is longer than a hash block.
func (p *Profile) newMACKey(key []byte) macKey { return p.appendMACKey(nil, key) }

// appendMACKey is newMACKey in the room of k.
func (p *Profile) appendMACKey(k macKey, key []byte) macKey {
	s := p.take()
	defer p.put(s)
	s.keyed = true
	padded := s.block[:p.hashBlock]
	defer clear(padded)
	k = slices.Grow(k, 2*s.size)
	for _, xor := range [...]byte{0x36, 0x5c} {
		clear(padded[copy(padded, key):])
		for i := range padded {
			padded[i] ^= xor
		}
		s.hash.Reset()
		s.hash.Write(padded)
		k = s.save(k)
	}
	return k
}

// A state is what the work on one message needs beside the keys.
//
// It gives the hash whole blocks, pads the message itself and takes the digest
// from the hash's serialized state. The hash's own Sum would copy the hash and
// pad piece by piece, which is a fifth of the time that the HMAC of a short
// message takes.
type state struct {
	p     *Profile
	hash  hash.Hash
	codec hashCodec // the same hash
	keyed bool      // the hash's state is worth a key

	n      int    // bytes of the message that stand in block, not yet hashed
	length uint64 // bytes hashed, the padded key included
	block  [2 * sha512.BlockSize]byte
	outer  [sha512.BlockSize]byte // what the outer hash ends with: digest and padding
	saved  [maxState]byte
	size   int // of the hash's serialized state

	confounder [aes.BlockSize]byte // decrypted
	iv         [aes.BlockSize]byte
	zero       [aes.BlockSize]byte // an IV for a block by itself
	a, b       [aes.BlockSize]byte
}

// A hashCodec writes and reads the state of a hash: four bytes that name the
// hash, its words, the block begun, the length so far.
type hashCodec interface {
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

const (
	stateMagic = 4
	maxState   = stateMagic + sha512.Size + sha512.BlockSize + 8
)

func (p *Profile) take() *state {
	if s, ok := p.scratch.Get().(*state); ok {
		return s
	}
	h := p.newHash()
	s := &state{p: p, hash: h, codec: h.(hashCodec)}
	s.size = len(s.save(s.saved[:0]))
	pad(s.outer[:p.hashBlock], p.hashSize, uint64(p.hashBlock+p.hashSize))
	return s
}

// put gives s back, with no keyed hash state left in it.
func (p *Profile) put(s *state) {
	if s.keyed {
		s.hash.Reset()
		s.keyed = false
	}
	p.scratch.Put(s)
}

// zeroIV gives the initial cipher state of a message, good for one use.
func (s *state) zeroIV() *[aes.BlockSize]byte {
	clear(s.zero[:])
	return &s.zero
}

// begin starts an HMAC.
func (s *state) begin(k macKey) {
	s.keyed = true
	s.load(k[:len(k)/2])
	s.n, s.length = 0, uint64(s.p.hashBlock)
}

// write continues the HMAC's message.
func (s *state) write(b []byte) {
	if s.n > 0 {
		b = b[s.fill(b):]
	}
	if whole := len(b) &^ (s.p.hashBlock - 1); whole > 0 { // a block is a power of two
		s.hash.Write(b[:whole])
		s.length += uint64(whole)
		b = b[whole:]
	}
	s.fill(b)
}

// writeShort is write for what must not escape.
func (s *state) writeShort(b []byte) {
	for len(b) > 0 {
		b = b[s.fill(b):]
	}
}

// fill takes from b what the block begun has room for, and tells how much.
func (s *state) fill(b []byte) int {
	block := s.block[:s.p.hashBlock]
	n := copy(block[s.n:], b)
	if s.n += n; s.n == len(block) {
		s.hash.Write(block)
		s.length += uint64(len(block))
		s.n = 0
	}
	return n
}

// oneBlock reports whether a message of n bytes fits a block, padding and all.
func (s *state) oneBlock(n int) bool { return n+1+s.p.hashBlock/8 <= s.p.hashBlock }

// sumBlock is the HMAC of the n bytes that stand in block, which fit one. The
// steps of a longer message are a twentieth of the time that one so short takes.
func (s *state) sumBlock(k macKey, n int) []byte {
	s.keyed = true
	size := s.p.hashBlock
	pad(s.block[:size], n, uint64(size+n))
	s.load(k[:len(k)/2])
	s.hash.Write(s.block[:size])
	return s.sumOuter(k)
}

// finish ends the HMAC and returns it in full, valid until s is used again.
func (s *state) finish(k macKey) []byte {
	size := s.p.hashBlock
	end := size
	if !s.oneBlock(s.n) {
		end = 2 * size
	}
	pad(s.block[:end], s.n, s.length+uint64(s.n))
	s.hash.Write(s.block[:end])
	return s.sumOuter(k)
}

// sumOuter ends an HMAC whose inner hash is complete.
func (s *state) sumOuter(k macKey) []byte {
	size := s.p.hashBlock
	copy(s.outer[:], s.digest())
	s.load(k[len(k)/2:])
	s.hash.Write(s.outer[:size])
	return s.digest()
}

// pad pads a message whose last n bytes stand in b (FIPS 180-4, section
// 5.1): a one bit, zeros, and the message's length in bits.
func pad(b []byte, n int, length uint64) {
	clear(b[n:])
	b[n] = 0x80
	binary.BigEndian.PutUint64(b[len(b)-8:], length*8)
}

// digest is the hash's, all its blocks being complete.
func (s *state) digest() []byte {
	return s.save(s.saved[:0])[stateMagic : stateMagic+s.p.hashSize]
}

func (s *state) save(dst []byte) []byte {
	b, err := s.codec.AppendBinary(dst)
	if err != nil {
		panic("etype: hash state: " + err.Error()) // not for a hash of the standard library
	}
	return b
}

func (s *state) load(saved []byte) {
	if err := s.codec.UnmarshalBinary(saved); err != nil {
		panic("etype: hash state: " + err.Error()) // the state is not from newMACKey
	}
}

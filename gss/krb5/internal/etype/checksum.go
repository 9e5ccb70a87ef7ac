package etype

import (
	"crypto/subtle"
	"fmt"
)

// A Checksum makes and verifies the enctype's keyed checksum under one key and
// key usage (RFC 3961, section 4, get_mic and verify_mic). It is safe for
// concurrent use. It prints as its enctype, without keys.
type Checksum struct {
	p   *Profile
	mac macKey // Kc
}

// NewChecksum derives the key for usage from a protocol key of KeySize bytes;
// a key of another length is [ErrKeySize]. The key is not kept.
func (p *Profile) NewChecksum(key []byte, usage uint32) (*Checksum, error) {
	var d deriver
	defer d.clear()
	if err := d.setKey(p, key); err != nil {
		return nil, err
	}
	var room [maxKeySize]byte
	kc := room[:p.macKeySize]
	defer clear(kc)
	d.derive(kc, usage, forChecksum)
	return &Checksum{p: p, mac: p.newMACKey(kc)}, nil
}

// Size returns the length of a checksum in bytes: MACSize.
func (c *Checksum) Size() int { return c.p.macSize }

// Sum appends the checksum, Size bytes, over message and trailer, in this
// order, to dst and returns the whole. It allocates only where dst has no
// room. The trailer is meant for a token's header (RFC 4121, section 4.2.4)
// and may stand on the caller's stack: it does not escape, where message does.
// A cleared Checksum panics.
func (c *Checksum) Sum(dst, message, trailer []byte) []byte {
	if c.mac == nil {
		panic(ErrCleared)
	}
	s := c.p.take()
	defer c.p.put(s)
	return append(dst, c.sum(s, message, trailer)...)
}

// Verify reports, in time that does not depend on where they differ, whether
// mac is the checksum over message and trailer, in full length. A cleared
// Checksum verifies nothing.
func (c *Checksum) Verify(mac, message, trailer []byte) bool {
	if c.mac == nil {
		return false
	}
	s := c.p.take()
	defer c.p.put(s)
	return subtle.ConstantTimeCompare(c.sum(s, message, trailer), mac) == 1
}

func (c *Checksum) sum(s *state, message, trailer []byte) []byte {
	var mac []byte
	if n := len(message) + len(trailer); s.oneBlock(n) {
		copy(s.block[copy(s.block[:], message):], trailer)
		mac = s.sumBlock(c.mac, n)
	} else {
		s.begin(c.mac)
		s.write(message)
		s.writeShort(trailer)
		mac = s.finish(c.mac)
	}
	s.keyed = false // that is all it holds
	return mac[:c.p.macSize]
}

// Clear overwrites the key. A Checksum in use by another goroutine must not be
// cleared.
func (c *Checksum) Clear() {
	clear(c.mac)
	c.mac = nil
}

// Format prints the enctype, whatever the verb.
func (c Checksum) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "etype.Checksum(%s)", c.p.id) }

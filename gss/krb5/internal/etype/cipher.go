package etype

import (
	"crypto/aes"
	"crypto/subtle"
	"fmt"
	"io"
	"slices"
)

// A Cipher encrypts and decrypts under one key and key usage (RFC 3961,
// section 3, encrypt and decrypt with a fresh cipher state). It is safe for
// concurrent use. It prints as its enctype, without keys.
type Cipher struct {
	p   *Profile
	cbc cbcKey // Ke
	mac macKey // Ki
}

// NewCipher derives the keys for usage from a protocol key of KeySize bytes;
// a key of another length is [ErrKeySize]. The key is not kept.
func (p *Profile) NewCipher(key []byte, usage uint32) (*Cipher, error) {
	var d deriver
	defer d.clear()
	if err := d.setKey(p, key); err != nil {
		return nil, err
	}
	return d.cipher(usage)
}

// maxKeySize is the length of the longest key, AES-256's.
const maxKeySize = 32

func (d *deriver) cipher(usage uint32) (*Cipher, error) {
	c := &Cipher{p: d.p}
	if err := d.fill(c, usage); err != nil {
		return nil, err
	}
	return c, nil
}

// fill derives the keys of c, whose room for them it uses.
func (d *deriver) fill(c *Cipher, usage uint32) error {
	var keys [2 * maxKeySize]byte
	defer clear(keys[:])
	ke, ki := keys[:d.p.keySize], keys[maxKeySize:][:d.p.macKeySize]
	d.derive(ke, usage, forEncryption)
	d.derive(ki, usage, forIntegrity)
	c.mac = d.p.appendMACKey(c.mac[:0], ki)
	return c.cbc.setKey(ke)
}

// Overhead returns by how many bytes a ciphertext is longer than its
// plaintext: 16 for the confounder and MACSize.
func (c *Cipher) Overhead() int { return c.p.Overhead() }

// Seal encrypts plaintext with a confounder from rand, appends the
// ciphertext, Overhead bytes longer, to dst and returns the whole. It
// allocates only where dst has no room. Plaintext may overlap dst's room.
// The error is rand's.
//
// Rand must not be nil; each message's 16 bytes must be unpredictable.
func (c *Cipher) Seal(dst, plaintext []byte, rand io.Reader) ([]byte, error) {
	start := len(dst)
	dst = slices.Grow(dst, len(plaintext)+c.Overhead())
	dst = dst[:start+len(plaintext)+c.Overhead()]
	copy(dst[start+aes.BlockSize:], plaintext)
	if err := c.SealInPlace(dst[start:], rand); err != nil {
		clear(dst[start:])
		return nil, err
	}
	return dst, nil
}

// SealInPlace encrypts what stands in buf between 16 bytes of room for the
// confounder and MACSize bytes of room for the MAC, and fills both. It takes
// no memory beside buf. ErrTooShort reports a buf shorter than Overhead; any
// other error is rand's, and buf is then not encrypted.
func (c *Cipher) SealInPlace(buf []byte, rand io.Reader) error {
	if len(buf) < c.Overhead() {
		return ErrTooShort
	}
	if c.mac == nil {
		return ErrCleared
	}
	if _, err := io.ReadFull(rand, buf[:aes.BlockSize]); err != nil {
		return fmt.Errorf("no random bytes for a confounder: %w", err)
	}
	c.seal(buf)
	return nil
}

// seal encrypts buf, whose confounder stands already.
func (c *Cipher) seal(buf []byte) {
	p := c.p
	n := len(buf) - p.macSize
	body, mac := buf[:n], buf[n:]
	s := p.take()
	defer p.put(s)
	s.begin(c.mac)

	cbc := cbcLength(n)
	clear(s.iv[:])
	if p.etm {
		s.write(s.iv[:]) // the IV is under the MAC (RFC 8009, section 5)
	}
	// Hash block by hash block, the processor does the hash of one while it
	// still encrypts another.
	stride := p.hashBlock
	if p.etm {
		stride -= aes.BlockSize // the hash's block begins with the IV
	}
	for done := 0; done < cbc; stride = p.hashBlock {
		chunk := body[done:min(done+stride, cbc)]
		if !p.etm {
			s.write(chunk)
		}
		c.cbc.encrypt(&s.iv, chunk)
		if p.etm {
			s.write(chunk)
		}
		done += len(chunk)
	}
	if last := body[cbc:]; len(last) > 0 {
		if !p.etm {
			s.write(last)
		}
		c.cbc.stealEncrypt(last, s)
		if p.etm {
			s.write(last)
		}
	}
	copy(mac, s.finish(c.mac))
}

// openStride is how many bytes are decrypted between two calls of the hash:
// few enough to be still in the first-level cache when it reads them.
const openStride = 1024

// Open verifies and decrypts ciphertext, appends the plaintext, Overhead bytes
// shorter, to dst and returns the whole. It allocates only where dst has no
// room. The room of dst must not overlap ciphertext, except that it may begin
// at ciphertext's first byte or at its byte 16: Open(buf[:0], buf) and
// Open(buf[16:16], buf) decrypt in place, and destroy the ciphertext.
//
// [ErrTooShort] reports a ciphertext shorter than Overhead, [ErrIntegrity] one
// whose MAC does not verify: nothing of a plaintext is left in dst's room
// then.
func (c *Cipher) Open(dst, ciphertext []byte) ([]byte, error) {
	p := c.p
	if len(ciphertext) < p.Overhead() {
		return nil, ErrTooShort
	}
	if c.mac == nil {
		return nil, ErrCleared
	}
	n := len(ciphertext) - p.macSize
	body, mac := ciphertext[:n], ciphertext[n:]
	s := p.take()
	defer p.put(s)
	s.begin(c.mac)
	if p.etm {
		s.write(s.zeroIV()[:])
		s.write(body)
		if subtle.ConstantTimeCompare(s.finish(c.mac)[:p.macSize], mac) != 1 {
			return nil, ErrIntegrity
		}
	}
	start := len(dst)
	dst = slices.Grow(dst, n-aes.BlockSize)
	dst = dst[:start+n-aes.BlockSize]
	plain := dst[start:]
	to := plain
	if len(plain) > 0 && &plain[0] == &body[0] {
		to = body[aes.BlockSize:] // keep blocks in their place, shift them in the end
	}
	c.decrypt(to, body, s)
	if !p.etm && subtle.ConstantTimeCompare(s.finish(c.mac)[:p.macSize], mac) != 1 {
		clear(to)
		clear(plain)
		return nil, ErrIntegrity
	}
	copy(plain, to)
	return dst, nil
}

// decrypt decrypts body to plain, which does not overlap it or is its tail
// after the confounder, and drops the confounder. Where the MAC is over the
// plaintext it feeds the hash.
func (c *Cipher) decrypt(plain, body []byte, s *state) {
	clear(s.iv[:])
	confounder := s.confounder[:]
	hash := func(b []byte) {
		if !c.p.etm {
			s.write(b)
		}
	}
	cbc := cbcLength(len(body))
	done := 0
	if cbc > 0 {
		c.cbc.decrypt(&s.iv, confounder, body[:aes.BlockSize])
		hash(confounder)
		done = aes.BlockSize
	}
	for stride := openStride - aes.BlockSize; done < cbc; stride = openStride {
		n := min(stride, cbc-done)
		out := plain[done-aes.BlockSize:][:n]
		c.cbc.decrypt(&s.iv, out, body[done:done+n])
		hash(out)
		done += n
	}
	if done == len(body) {
		return
	}
	first, rest := c.cbc.stealDecrypt(body[cbc:], s)
	hash(first)
	hash(rest)
	if cbc > 0 {
		copy(plain[cbc-aes.BlockSize:], first)
	}
	copy(plain[cbc:], rest)
}

// Clear wipes the keys as far as it can: an AES key schedule that crypto/aes
// owns is left to the garbage collector. A Cipher in use by another goroutine
// must not be cleared; a cleared one gives [ErrCleared].
func (c *Cipher) Clear() {
	c.cbc.clear()
	clear(c.mac)
	c.mac = nil
}

// Format prints the enctype, whatever the verb.
func (c Cipher) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "etype.Cipher(%s)", c.p.id) }

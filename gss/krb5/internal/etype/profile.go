package etype

import (
	"crypto/aes"
	"crypto/fips140"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"io"
	"sync"
)

// A Profile is one enctype's cryptography. It is safe for concurrent use.
type Profile struct {
	id           ID
	checksumType int32
	keySize      int // protocol key and Ke, bytes
	macKeySize   int // Ki and Kc, bytes
	macSize      int // MAC after truncation, bytes
	newHash      func() hash.Hash
	hashSize     int
	hashBlock    int
	etm          bool // encrypt-then-MAC and KDF of RFC 8009
	iterations   int  // of PBKDF2, unless the KDC says otherwise

	scratch sync.Pool // of *state
	once    sync.Pool // of *Cipher, without keys: see BaseKey
}

var profiles = [...]*Profile{
	{
		id: AES128CTSHMACSHA196, checksumType: 15, keySize: 16, macKeySize: 16, macSize: 12,
		newHash: sha1.New, hashSize: sha1.Size, hashBlock: sha1.BlockSize, iterations: 4096,
	},
	{
		id: AES256CTSHMACSHA196, checksumType: 16, keySize: 32, macKeySize: 32, macSize: 12,
		newHash: sha1.New, hashSize: sha1.Size, hashBlock: sha1.BlockSize, iterations: 4096,
	},
	{
		id: AES128CTSHMACSHA256128, checksumType: 19, keySize: 16, macKeySize: 16, macSize: 16, etm: true,
		newHash: sha256.New, hashSize: sha256.Size, hashBlock: sha256.BlockSize, iterations: 32768,
	},
	{
		id: AES256CTSHMACSHA384192, checksumType: 20, keySize: 32, macKeySize: 24, macSize: 24, etm: true,
		newHash: sha512.New384, hashSize: sha512.Size384, hashBlock: sha512.BlockSize, iterations: 32768,
	},
}

// Lookup returns the profile of id, or an [*UnsupportedError] for all but the
// four supported enctypes, and for those with SHA-1 while
// GODEBUG=fips140=only is in force.
func Lookup(id ID) (*Profile, error) {
	for _, p := range profiles {
		if p.id != id {
			continue
		}
		if p.hashSize == sha1.Size && fips140.Enforced() {
			break
		}
		return p, nil
	}
	return nil, &UnsupportedError{ID: id}
}

// ID returns the enctype's number.
func (p *Profile) ID() ID { return p.id }

// KeySize returns the length of the protocol key in bytes: 16 or 32.
func (p *Profile) KeySize() int { return p.keySize }

// MACSize returns the length in bytes of the MAC that ends a ciphertext, and
// of a checksum: 12, 16 or 24.
func (p *Profile) MACSize() int { return p.macSize }

// Overhead returns by how many bytes a ciphertext is longer than its
// plaintext: confounder and MAC.
func (p *Profile) Overhead() int { return aes.BlockSize + p.macSize }

// ChecksumType returns the number of the mandatory keyed checksum: 15, 16, 19
// or 20 (RFC 3962, section 7; RFC 8009, section 6).
func (p *Profile) ChecksumType() int32 { return p.checksumType }

// Iterations returns the iteration count of string-to-key where the KDC gives
// none: 4,096 or 32,768 (RFC 3962, section 4; RFC 8009, section 4).
func (p *Profile) Iterations() int { return p.iterations }

// String returns the enctype's name.
func (p *Profile) String() string { return p.id.String() }

// RandomKey reads a new protocol key of KeySize bytes from rand.
func (p *Profile) RandomKey(rand io.Reader) ([]byte, error) {
	key := make([]byte, p.keySize)
	if _, err := io.ReadFull(rand, key); err != nil {
		return nil, fmt.Errorf("no random bytes for a key: %w", err)
	}
	return key, nil
}

// checkKey is an error unless key is as long as the enctype's keys are.
func (p *Profile) checkKey(key []byte) error {
	if len(key) != p.keySize {
		return fmt.Errorf("%w: %s takes %d bytes, the key has %d", ErrKeySize, p.id, p.keySize, len(key))
	}
	return nil
}

package etype

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"testing"
)

var benchSizes = []int{64, 1024, 16384, 65536, 1048576}

// fastRand is what a caller who seals many small messages would hand in.
func fastRand() *mathrand.ChaCha8 { return mathrand.NewChaCha8([32]byte{1}) }

// bench runs f for each enctype and message size.
func bench(b *testing.B, f func(b *testing.B, p *Profile, key []byte, size int)) {
	for _, p := range profiles {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%s/%d", p, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				f(b, p, testKey(p), size)
			})
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	bench(b, func(b *testing.B, p *Profile, key []byte, size int) {
		c := newCipher(b, p, key, 24)
		buf, rand := make([]byte, size+p.Overhead()), fastRand()
		for b.Loop() {
			if err := c.SealInPlace(buf, rand); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSealSystemRandom(b *testing.B) {
	p := profiles[1]
	c := newCipher(b, p, testKey(p), 24)
	buf := make([]byte, 64+p.Overhead())
	for b.Loop() {
		if err := c.SealInPlace(buf, rand.Reader); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	bench(b, func(b *testing.B, p *Profile, key []byte, size int) {
		c := newCipher(b, p, key, 24)
		sealed, err := c.Seal(nil, make([]byte, size), fastRand())
		if err != nil {
			b.Fatal(err)
		}
		plain := make([]byte, 0, size)
		for b.Loop() {
			if _, err := c.Open(plain, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkChecksum(b *testing.B) {
	bench(b, func(b *testing.B, p *Profile, key []byte, size int) {
		c, err := p.NewChecksum(key, 25)
		if err != nil {
			b.Fatal(err)
		}
		message, mic := make([]byte, size), make([]byte, 0, 64)
		var header [16]byte
		for b.Loop() {
			c.Sum(mic, message, header[:])
		}
	})
}

// BenchmarkBaseline is the standard library's CBC, then its HMAC, over the
// same bytes, with the keys set up beforehand: what Seal and Open are to be
// compared with.
func BenchmarkBaseline(b *testing.B) {
	for _, open := range []bool{false, true} {
		name := "seal"
		if open {
			name = "open"
		}
		b.Run(name, func(b *testing.B) {
			bench(b, func(b *testing.B, p *Profile, key []byte, size int) {
				block, err := aes.NewCipher(key)
				if err != nil {
					b.Fatal(err)
				}
				mode := cipher.NewCBCEncrypter(block, make([]byte, aes.BlockSize))
				if open {
					mode = cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize))
				}
				mac := hmac.New(p.newHash, key)
				src, dst := make([]byte, size+aes.BlockSize), make([]byte, size+aes.BlockSize)
				sum := make([]byte, 0, 64)
				for b.Loop() {
					mac.Reset()
					if open {
						mode.CryptBlocks(dst, src)
						mac.Write(dst)
					} else {
						mac.Write(dst)
						mode.CryptBlocks(dst, dst)
					}
					mac.Sum(sum)
				}
			})
		})
	}
}

func BenchmarkNewCipher(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			b.ReportAllocs()
			key := testKey(p)
			for b.Loop() {
				newCipher(b, p, key, 24)
			}
		})
	}
}

func testKey(p *Profile) []byte { return bytes.Repeat([]byte{0x5a, 0x17}, p.KeySize()/2) }

func newCipher(t testing.TB, p *Profile, key []byte, usage uint32) *Cipher {
	t.Helper()
	c, err := p.NewCipher(key, usage)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

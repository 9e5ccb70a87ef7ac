package etype

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
)

// sizes are message lengths around every bound the code has: blocks, hash
// blocks, and the strides of both directions.
func sizes() []int {
	var list []int
	for n := range 200 {
		list = append(list, n)
	}
	for _, n := range []int{1024, 2048, 4096, 8192, 65536, 1 << 20} {
		for d := -33; d <= 33; d++ {
			if n < 65536 || d%16 == 0 || d == 1 {
				list = append(list, n+d)
			}
		}
	}
	return list
}

func message(n int) []byte {
	b := make([]byte, n)
	fastRand().Read(b)
	return b
}

func TestSealOpen(t *testing.T) {
	for _, p := range profiles {
		c := newCipher(t, p, testKey(p), 24)
		rand := fastRand()
		for _, n := range sizes() {
			plain := message(n)
			prefix := []byte("header")
			sealed, err := c.Seal(prefix, plain, rand)
			if err != nil {
				t.Fatal(err)
			}
			if len(sealed) != len(prefix)+n+c.Overhead() || !bytes.HasPrefix(sealed, prefix) {
				t.Fatalf("%s: %d bytes sealed give %d", p, n, len(sealed))
			}
			sealed = sealed[len(prefix):]
			before := bytes.Clone(sealed)
			got, err := c.Open(prefix, sealed)
			if err != nil || !bytes.Equal(got[len(prefix):], plain) || !bytes.HasPrefix(got, prefix) {
				t.Fatalf("%s: %d bytes do not come back: %v", p, n, err)
			}
			if !bytes.Equal(before, sealed) {
				t.Fatalf("%s: Open changed a ciphertext of %d bytes", p, n)
			}
		}
	}
}

func TestOpenInPlace(t *testing.T) {
	for _, p := range profiles {
		c := newCipher(t, p, testKey(p), 24)
		for _, n := range sizes() {
			plain := message(n)
			sealed, err := c.Seal(nil, plain, fastRand())
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []int{0, 16} {
				buf := bytes.Clone(sealed)
				got, err := c.Open(buf[at:at], buf)
				if err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%s: %d bytes do not come back in place at %d: %v", p, n, at, err)
				}
				if n > 0 && &got[0] != &buf[at] {
					t.Fatalf("%s: opening %d bytes in place allocated", p, n)
				}
			}
		}
	}
}

// Seal may be given a plaintext that stands in the room it writes to.
func TestSealOverlapping(t *testing.T) {
	for _, p := range profiles {
		c := newCipher(t, p, testKey(p), 24)
		plain := message(100)
		want, err := c.Seal(nil, plain, fastRand())
		if err != nil {
			t.Fatal(err)
		}
		for at := range 40 {
			buf := make([]byte, 200)
			in := buf[at : at+100]
			copy(in, plain)
			got, err := c.Seal(buf[:0], in, fastRand())
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: plaintext at byte %d of the room: %v", p, at, err)
			}
		}
	}
}

func TestConfounderIsFresh(t *testing.T) {
	for _, p := range profiles {
		c := newCipher(t, p, testKey(p), 24)
		rand := fastRand()
		a, err := c.Seal(nil, message(32), rand)
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Seal(nil, message(32), rand)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+16 <= 48; i += 16 {
			if bytes.Equal(a[i:i+16], b[i:i+16]) {
				t.Errorf("%s: block at %d is the same in two messages", p, i)
			}
		}
		// Without its random bytes nothing may be sealed.
		for _, r := range []*bytes.Reader{bytes.NewReader(nil), bytes.NewReader(make([]byte, 15))} {
			if got, err := c.Seal(nil, message(32), r); err == nil || got != nil {
				t.Errorf("%s: sealed with too few random bytes", p)
			}
		}
		if _, err := c.Seal(nil, nil, iotest.ErrReader(errors.ErrUnsupported)); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: the random source's error is lost: %v", p, err)
		}
	}
}

// Every changed bit, every strict prefix, another key and another usage fail,
// and leave nothing of a plaintext behind.
func TestOpenRefuses(t *testing.T) {
	for _, p := range profiles {
		c := newCipher(t, p, testKey(p), 24)
		for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 48, 100} {
			sealed, err := c.Seal(nil, message(n), fastRand())
			if err != nil {
				t.Fatal(err)
			}
			refused := func(what string, c *Cipher, ciphertext []byte, want error) {
				t.Helper()
				room := make([]byte, 4+n)
				copy(room, "mine")
				if got, err := c.Open(room[:4], ciphertext); !errors.Is(err, want) || got != nil {
					t.Fatalf("%s, %d bytes, %s: %x, %v", p, n, what, got, err)
				}
				if !bytes.Equal(room[:4], []byte("mine")) || slices.Max(append(room[4:], 0)) != 0 {
					t.Fatalf("%s, %d bytes, %s: left behind %x", p, n, what, room)
				}
			}
			for bit := range 8 * len(sealed) {
				sealed[bit/8] ^= 1 << (bit % 8)
				refused("a changed bit", c, sealed, ErrIntegrity)
				sealed[bit/8] ^= 1 << (bit % 8)
			}
			for cut := range len(sealed) {
				want := ErrIntegrity
				if cut < c.Overhead() {
					want = ErrTooShort
				}
				refused("a prefix", c, sealed[:cut], want)
			}
			refused("one byte more", c, append(bytes.Clone(sealed), 0), ErrIntegrity)
			refused("another usage", newCipher(t, p, testKey(p), 22), sealed, ErrIntegrity)
			other := testKey(p)
			other[0] ^= 1
			refused("another key", newCipher(t, p, other, 24), sealed, ErrIntegrity)
		}
	}
}

func TestSealInPlaceTooShort(t *testing.T) {
	for _, p := range profiles {
		c := newCipher(t, p, testKey(p), 24)
		for n := range c.Overhead() {
			if err := c.SealInPlace(make([]byte, n), fastRand()); !errors.Is(err, ErrTooShort) {
				t.Errorf("%s: a buffer of %d bytes: %v", p, n, err)
			}
		}
		if err := c.SealInPlace(make([]byte, c.Overhead()), fastRand()); err != nil {
			t.Errorf("%s: the empty message: %v", p, err)
		}
	}
}

// The same Cipher and Checksum from many goroutines, each with messages of its
// own; run with -race.
func TestConcurrentUse(t *testing.T) {
	for _, p := range profiles {
		c := newCipher(t, p, testKey(p), 24)
		k, err := p.NewChecksum(testKey(p), 25)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				rand := fastRand()
				for i := range 200 {
					plain := bytes.Repeat([]byte{byte(g)}, 13*g+i)
					sealed, err := c.Seal(nil, plain, rand)
					if err != nil {
						t.Error(err)
						return
					}
					if got, err := c.Open(nil, sealed); err != nil || !bytes.Equal(got, plain) {
						t.Errorf("%s: another goroutine's message: %v", p, err)
						return
					}
					if mic := k.Sum(nil, plain, sealed); !k.Verify(mic, plain, sealed) {
						t.Errorf("%s: another goroutine's checksum", p)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestChecksum(t *testing.T) {
	for _, p := range profiles {
		c, err := p.NewChecksum(testKey(p), 25)
		if err != nil {
			t.Fatal(err)
		}
		text := message(300)
		want := c.Sum(nil, text, nil)
		if len(want) != c.Size() || c.Size() != p.MACSize() {
			t.Errorf("%s: %d bytes, Size %d, MACSize %d", p, len(want), c.Size(), p.MACSize())
		}
		for cut := range len(text) + 1 {
			if got := c.Sum([]byte("mine"), text[:cut], text[cut:]); !bytes.Equal(got, append([]byte("mine"), want...)) {
				t.Fatalf("%s: cut at %d gives %x, want %x", p, cut, got, want)
			}
		}
		if !c.Verify(want, text, nil) {
			t.Errorf("%s: a checksum does not verify", p)
		}
		for bit := range 8 * len(want) {
			want[bit/8] ^= 1 << (bit % 8)
			if c.Verify(want, text, nil) {
				t.Fatalf("%s: verifies with bit %d changed", p, bit)
			}
			want[bit/8] ^= 1 << (bit % 8)
		}
		for n := range len(want) {
			if c.Verify(want[:n], text, nil) {
				t.Fatalf("%s: verifies when cut to %d bytes", p, n)
			}
		}
		other, err := p.NewChecksum(testKey(p), 23)
		if err != nil {
			t.Fatal(err)
		}
		if c.Verify(append(want, 0), text, nil) || c.Verify(want, text[1:], nil) || other.Verify(want, text, nil) {
			t.Errorf("%s: verifies when longer, over other text or for another usage", p)
		}
	}
}

func TestClear(t *testing.T) {
	for _, p := range profiles {
		c := newCipher(t, p, testKey(p), 24)
		k, err := p.NewChecksum(testKey(p), 25)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := c.Seal(nil, message(20), fastRand())
		if err != nil {
			t.Fatal(err)
		}
		mic := k.Sum(nil, message(20), nil)
		keys := [][]byte{c.mac, k.mac}
		c.Clear()
		k.Clear()
		for _, key := range keys {
			if slices.Max(key) != 0 {
				t.Errorf("%s: a MAC key is still there", p)
			}
		}
		if _, err := c.Open(nil, sealed); !errors.Is(err, ErrCleared) {
			t.Errorf("%s: Open after Clear: %v", p, err)
		}
		if _, err := c.Seal(nil, nil, fastRand()); !errors.Is(err, ErrCleared) {
			t.Errorf("%s: sealed after Clear", p)
		}
		if k.Verify(mic, message(20), nil) {
			t.Errorf("%s: verified after Clear", p)
		}
	}
}

// The hash states in the pool must not keep what would be worth a key.
func TestPooledStateHoldsNoKey(t *testing.T) {
	for _, p := range profiles {
		s := p.take()
		s.begin(newCipher(t, p, testKey(p), 24).mac)
		p.put(s)
		if got, want := s.hash.Sum(nil), p.newHash().Sum(nil); !bytes.Equal(got, want) {
			t.Errorf("%s: the hash state is %x, not a fresh one", p, got)
		}
	}
}

// FuzzOpen: a ciphertext is either refused, or it is what sealing its own
// confounder and plaintext gives.
func FuzzOpen(f *testing.F) {
	for i, p := range profiles {
		c := newCipher(f, p, testKey(p), 24)
		for _, n := range []int{0, 1, 16, 17, 100} {
			sealed, err := c.Seal(nil, message(n), fastRand())
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(i), sealed)
			f.Add(byte(i+1), sealed)
			f.Add(byte(i), sealed[:len(sealed)-1])
		}
	}
	f.Add(byte(0), make([]byte, sha1.Size))
	var ciphers [len(profiles)]*Cipher
	for i, p := range profiles {
		ciphers[i] = newCipher(f, p, testKey(p), 24)
	}
	f.Fuzz(func(t *testing.T, which byte, ciphertext []byte) {
		c := ciphers[int(which)%len(ciphers)]
		room := make([]byte, len(ciphertext))
		plain, err := c.Open(room[:0], ciphertext)
		if err != nil {
			if plain != nil || len(room) > 0 && slices.Max(room) != 0 {
				t.Fatalf("refused with %v, yet %x is left", err, room)
			}
			return
		}
		if len(plain) != len(ciphertext)-c.Overhead() {
			t.Fatalf("%d bytes from %d", len(plain), len(ciphertext))
		}
		n := len(ciphertext) - c.p.macSize
		s := c.p.take()
		defer c.p.put(s)
		c.decrypt(make([]byte, len(plain)), ciphertext[:n], s)
		confounder := s.confounder[:]
		if cbcLength(n) == 0 {
			confounder = s.b[:]
		}
		again, err := c.Seal(nil, plain, bytes.NewReader(bytes.Clone(confounder)))
		if err != nil || !bytes.Equal(again, ciphertext) {
			t.Fatalf("sealed again it is %x, %v, not %x", again, err, ciphertext)
		}
	})
}

//go:build !race

package etype

import (
	"crypto/fips140"
	"runtime"
	"testing"
)

// A message costs no allocation, whatever its size. (The race detector makes
// sync.Pool drop what it is given.)
func TestNoAllocations(t *testing.T) {
	for _, p := range profiles {
		c := newCipher(t, p, testKey(p), 24)
		k, err := p.NewChecksum(testKey(p), 25)
		if err != nil {
			t.Fatal(err)
		}
		rand := fastRand()
		for _, n := range []int{0, 1, 64, 1024, 65536} {
			plain, header := message(n), [16]byte{5, 4}
			sealed := make([]byte, 0, n+c.Overhead())
			opened := make([]byte, 0, n)
			mic := make([]byte, 0, k.Size())
			if got := testing.AllocsPerRun(100, func() {
				sealed, err = c.Seal(sealed[:0], plain, rand)
				if err != nil {
					t.Fatal(err)
				}
				if _, err = c.Open(opened, sealed); err != nil {
					t.Fatal(err)
				}
				if err = c.SealInPlace(sealed, rand); err != nil {
					t.Fatal(err)
				}
				mic = k.Sum(mic[:0], plain, header[:])
				if !k.Verify(mic, plain, header[:]) {
					t.Fatal("checksum does not verify")
				}
			}); got != 0 {
				t.Errorf("%s, %d bytes: %v allocations", p, n, got)
			}
		}
	}
}

// Ten thousand idle contexts, each with two of both kinds, must stay cheap.
func TestIdleMemory(t *testing.T) {
	const contexts = 2000
	limit := int64(3 << 10)
	if fips140.Enabled() {
		limit += 1 << 10 // room for key schedules that are crypto/aes's then
	}
	for _, p := range profiles {
		kept := make([]any, 0, 4*contexts)
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		for range contexts {
			for usage := range uint32(2) {
				k, err := p.NewChecksum(testKey(p), usage)
				if err != nil {
					t.Fatal(err)
				}
				kept = append(kept, newCipher(t, p, testKey(p), usage), k)
			}
		}
		if got := int64(heap()-before) / contexts; got > limit {
			t.Errorf("%s: %d bytes for two Ciphers and two Checksums, more than %d", p, got, limit)
		} else {
			t.Logf("%s: %d bytes for two Ciphers and two Checksums", p, got)
		}
		runtime.KeepAlive(kept)
	}
}

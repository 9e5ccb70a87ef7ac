package krb5

import (
	"crypto/rand"
	"io"
	"sync"
)

// randomBatch is how many octets are taken from the system at once: the
// confounders of 64 messages.
const randomBatch = 1024

// systemRandom is crypto/rand's Reader with its cost shared by many small
// reads. Every octet is given out once and then wiped. It is safe for
// concurrent use.
type systemRandom struct{}

type randomBuffer struct {
	left int
	data [randomBatch]byte
}

var randomBuffers = sync.Pool{New: func() any { return new(randomBuffer) }}

// Read fills p; it never fails.
func (systemRandom) Read(p []byte) (int, error) {
	if len(p) > randomBatch {
		return rand.Read(p)
	}
	b := randomBuffers.Get().(*randomBuffer)
	if b.left < len(p) {
		rand.Read(b.data[:]) // never fails: it ends the program instead
		b.left = randomBatch
	}
	from := b.data[b.left-len(p) : b.left]
	n := copy(p, from)
	clear(from)
	b.left -= n
	randomBuffers.Put(b)
	return n, nil
}

var _ io.Reader = systemRandom{}

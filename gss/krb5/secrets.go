package krb5

import (
	"slices"
	"sync"
)

// A secretRoom is memory for what a handshake decrypts, and for what it is about
// to encrypt. It is wiped before another handshake has it.
type secretRoom struct {
	buf      []byte
	outgrown [][]byte // buffers that were too short; what was appended before points there
}

// maxSecretRoom is what is kept for further handshakes, in bytes: the ticket of a
// client in very many groups has 64 KiB.
const maxSecretRoom = 64 << 10

var secretRooms = sync.Pool{New: func() any { return new(secretRoom) }}

// takeSecretRoom gives a room in which n bytes can be appended without moving
// those before them.
func takeSecretRoom(n int) *secretRoom {
	r := secretRooms.Get().(*secretRoom)
	r.buf = slices.Grow(r.buf[:0], n)
	return r
}

// giveBack wipes the room. Nothing may point into it any more.
func (r *secretRoom) giveBack() {
	if r == nil {
		return
	}
	clear(r.buf)
	for _, old := range r.outgrown {
		clear(old)
	}
	r.outgrown = nil
	if cap(r.buf) <= maxSecretRoom {
		secretRooms.Put(r)
	}
}

// add has f append to the room, and gives what it appended.
func (r *secretRoom) add(f func(dst []byte) ([]byte, error)) ([]byte, error) {
	n := len(r.buf)
	buf, err := f(r.buf)
	if err != nil {
		return nil, err
	}
	if n > 0 && &buf[0] != &r.buf[0] {
		r.outgrown = append(r.outgrown, r.buf)
	}
	r.buf = buf
	return buf[n:len(buf):len(buf)], nil
}

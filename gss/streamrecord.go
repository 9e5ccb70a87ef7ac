package gss

import (
	"sync"

	"github.com/countersign-go/countersign/token"
)

// The kinds of a record's message: format version and meaning.
const (
	streamVersion = 0x10 // upper four bits
	kindData      = streamVersion | 1
	kindEnd       = streamVersion | 2
)

// recordFlags are those of every frame after the context stands.
const recordFlags = token.Data | token.Wrapped | token.Encrypted

// recordRoom is what a buffer has beyond a token of maxRecord octets, for the
// frame's header.
const recordRoom = 64

// recordBuffers are shared by all Streams: each is held only while a record is
// made, or is read piece by piece.
var recordBuffers = sync.Pool{New: func() any { return new([maxRecord + recordRoom]byte) }}

func takeRecordBuffer() *[maxRecord + recordRoom]byte {
	return recordBuffers.Get().(*[maxRecord + recordRoom]byte)
}

// giveRecordBuffer takes back what takeRecordBuffer gave, wiped of the first n
// octets, which were plain text.
func giveRecordBuffer(b *[maxRecord + recordRoom]byte, n int) {
	clear(b[:n])
	recordBuffers.Put(b)
}

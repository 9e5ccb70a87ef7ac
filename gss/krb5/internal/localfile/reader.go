package localfile

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
)

// A Reader reads the integers of a format whose byte order depends on its version: early
// ones have the order of the machine that wrote them.
type Reader struct {
	cryptobyte.String
	Order binary.ByteOrder
}

// Uint16 reads a 16-bit integer, and reports whether there was one.
func (r *Reader) Uint16(v *uint16) bool {
	var b []byte
	if !r.ReadBytes(&b, 2) {
		return false
	}
	*v = r.Order.Uint16(b)
	return true
}

// Uint32 reads a 32-bit integer, and reports whether there was one.
func (r *Reader) Uint32(v *uint32) bool {
	var b []byte
	if !r.ReadBytes(&b, 4) {
		return false
	}
	*v = r.Order.Uint32(b)
	return true
}

package kmsg

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A builder writes the fields of one message behind the bytes already in buf.
// cryptobyte.Builder would allocate a child for each of the forty or so nested
// values of a ticket; this one allocates when buf grows. Its first error sticks.
type builder struct {
	message messageType
	buf     []byte
	err     error
}

func (b *builder) fail(field, problem string) {
	if b.err == nil {
		b.err = &SyntaxError{Message: b.message.String(), Field: field, Problem: problem}
	}
}

// bytes gives what was built, or nil and the first error.
func (b *builder) bytes() ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	return b.buf, nil
}

// begin opens a constructed value with room for a short length, which end fills
// in. It returns where the content starts.
func (b *builder) begin(tag asn1.Tag) int {
	b.buf = append(b.buf, byte(tag), 0)
	return len(b.buf)
}

// beginField opens field [n] and the constructed value in it; endField closes
// both.
func (b *builder) beginField(n uint8, tag asn1.Tag) int {
	b.begin(asn1.Tag(n).ContextSpecific().Constructed())
	return b.begin(tag)
}

func (b *builder) end(start int) {
	n := len(b.buf) - start
	if n < 0x80 {
		b.buf[start-1] = byte(n)
		return
	}
	// A long length takes k bytes more than begin left room for.
	k := lengthSize(n) - 1
	var room [4]byte
	b.buf = append(b.buf, room[:k]...)
	copy(b.buf[start+k:], b.buf[start:start+n])
	b.buf[start-1] = 0x80 | byte(k)
	for i := range k {
		b.buf[start+i] = byte(n >> (8 * (k - 1 - i)))
	}
}

func (b *builder) endField(start int) {
	b.end(start)
	b.end(start - 2)
}

// newBufferSize is where a buffer starts that the caller left to us: enough for
// most encrypted parts.
const newBufferSize = 512

// open starts the message: its application tag and SEQUENCE; close ends them.
func (b *builder) open() int {
	if cap(b.buf) == 0 {
		b.buf = make([]byte, 0, newBufferSize)
	}
	b.begin(b.message.tag())
	return b.begin(asn1.SEQUENCE)
}

func (b *builder) close(start int) { b.endField(start) }

// lengthSize is the number of bytes that the DER length n takes.
func lengthSize(n int) int {
	switch {
	case n < 0x80:
		return 1
	case n < 1<<8:
		return 2
	case n < 1<<16:
		return 3
	case n < 1<<24:
		return 4
	}
	return 5
}

// header writes a tag and a length that is known beforehand.
func (b *builder) header(tag asn1.Tag, n int) {
	size := lengthSize(n)
	if size == 1 {
		b.buf = append(b.buf, byte(tag), byte(n))
		return
	}
	b.buf = append(b.buf, byte(tag), 0x80|byte(size-1))
	for i := size - 2; i >= 0; i-- {
		b.buf = append(b.buf, byte(n>>(8*i)))
	}
}

// fieldHeader writes the tag of field [n] and of the value of the given length
// in it.
func (b *builder) fieldHeader(n uint8, tag asn1.Tag, length int) {
	b.header(asn1.Tag(n).ContextSpecific().Constructed(), 1+lengthSize(length)+length)
	b.header(tag, length)
}

func (b *builder) integer(n uint8, v int64) {
	size := 1
	for i := v; i > 0x7f || i < -0x80; i >>= 8 {
		size++
	}
	b.fieldHeader(n, asn1.INTEGER, size)
	for i := size - 1; i >= 0; i-- {
		b.buf = append(b.buf, byte(v>>(8*i)))
	}
}

func (b *builder) microseconds(n uint8, field string, v int) {
	if v < 0 || v > maxMicroseconds {
		b.fail(field, "number out of range")
	}
	b.integer(n, int64(v))
}

func (b *builder) octets(n uint8, v []byte) {
	b.fieldHeader(n, asn1.OCTET_STRING, len(v))
	b.buf = append(b.buf, v...)
}

func (b *builder) str(n uint8, v string) {
	b.fieldHeader(n, generalString, len(v))
	b.buf = append(b.buf, v...)
}

// element writes field [n] around DER that is already there. It must be one
// whole value with the given tag.
func (b *builder) element(n uint8, field string, tag asn1.Tag, der []byte) {
	b.checkElement(field, tag, der)
	b.header(asn1.Tag(n).ContextSpecific().Constructed(), len(der))
	b.buf = append(b.buf, der...)
}

func (b *builder) checkElement(field string, tag asn1.Tag, der []byte) {
	s := cryptobyte.String(der)
	var whole cryptobyte.String
	if !s.ReadASN1Element(&whole, tag) || !s.Empty() {
		b.fail(field, "not the DER of one value of its type")
	}
}

func (b *builder) flags(n uint8, v uint32) {
	b.fieldHeader(n, asn1.BIT_STRING, 5)
	b.buf = append(b.buf, 0, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// time writes a KerberosTime; fractions of a second are cut off.
func (b *builder) time(n uint8, field string, t time.Time) {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	if year < 1970 || year > 9999 {
		b.fail(field, "time missing, or not in the years 1970 to 9999")
		return
	}
	b.fieldHeader(n, asn1.GeneralizedTime, len("YYYYMMDDHHMMSSZ"))
	for _, v := range [...]int{year / 100, year % 100, int(month), day, hour, minute, second} {
		b.buf = append(b.buf, '0'+byte(v/10), '0'+byte(v%10))
	}
	b.buf = append(b.buf, 'Z')
}

package kmsg

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// readElement is cryptobyte's ReadASN1: it takes one value of the given type off
// s and gives its content. Tickets have sixty values, one in the other, and all
// that cryptobyte does for the generality of its readers was a quarter of the
// time that accepting a context takes. FuzzElement holds the two together.
func readElement(s *cryptobyte.String, content *cryptobyte.String, tag asn1.Tag) bool {
	b := *s
	if len(b) < 2 || b[0] != byte(tag) {
		return false
	}
	header, length := 2, uint64(b[1])
	if length >= 0x80 { // as many bytes of length follow
		size := int(length & 0x7f)
		if size == 0 || size > 4 || len(b) < 2+size {
			return false
		}
		length = 0
		for _, c := range b[2 : 2+size] {
			length = length<<8 | uint64(c)
		}
		if length < 0x80 || length>>(8*(size-1)) == 0 {
			return false // not the shortest form
		}
		header += size
	}
	if uint64(len(b)-header) < length {
		return false
	}
	end := header + int(length)
	*content, *s = b[header:end:end], b[end:]
	return true
}

// readInteger is cryptobyte's ReadASN1Int64WithTag for INTEGER.
func readInteger(s *cryptobyte.String, v *int64) bool {
	var b cryptobyte.String
	if !readElement(s, &b, asn1.INTEGER) || len(b) == 0 || len(b) > 8 {
		return false
	}
	if len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		return false // not the shortest form
	}
	n := int64(int8(b[0]))
	for _, c := range b[1:] {
		n = n<<8 | int64(c)
	}
	*v = n
	return true
}

// isTag reports whether the next value is of the given type.
func isTag(s cryptobyte.String, tag asn1.Tag) bool { return len(s) > 0 && s[0] == byte(tag) }

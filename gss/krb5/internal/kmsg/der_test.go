package kmsg

import (
	"bytes"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// What is read of DER is what cryptobyte reads, and what it refuses is refused.
func FuzzElement(f *testing.F) {
	long := append([]byte{4, 0x81, 0x80}, make([]byte, 0x80)...)
	for _, der := range [][]byte{
		nil, {2}, {2, 0}, {2, 1, 5}, {2, 1}, {2, 2, 0, 0x80}, {2, 2, 0, 0x7f}, {2, 2, 0xff, 0x80}, {2, 2, 0xff, 0x7f}, {2, 1, 0xff, 9},
		{2, 8, 0x80, 0, 0, 0, 0, 0, 0, 0}, {2, 9, 0, 0x80, 0, 0, 0, 0, 0, 0, 0}, {2, 0x80}, {2, 0x81, 1, 5}, {2, 0x82, 0, 0x80}, {2, 0x83},
		long, long[:len(long)-1], append(long, 1), {4, 0x84, 0xff, 0xff, 0xff, 0xff}, {4, 0x85, 1, 0, 0, 0, 0}, {4, 0x84, 0, 0, 1, 0}, {0x1f, 0},
	} {
		for _, tag := range []byte{2, 4, 0x30, 0x1f} {
			f.Add(der, tag)
		}
	}
	f.Fuzz(func(t *testing.T, der []byte, tag byte) {
		if tag&0x1f == 0x1f {
			return // of several bytes; there is none in Kerberos
		}
		var got, want cryptobyte.String
		s, r := cryptobyte.String(der), cryptobyte.String(der)
		ok, wanted := readElement(&s, &got, asn1.Tag(tag)), r.ReadASN1(&want, asn1.Tag(tag))
		if ok != wanted || ok && (!bytes.Equal(got, want) || !bytes.Equal(s, r)) {
			t.Errorf("tag %02x: reads %x, %t and leaves %x; cryptobyte %x, %t, %x", tag, got, ok, s, want, wanted, r)
		}
		if !ok && !bytes.Equal(s, der) {
			t.Errorf("tag %02x: refused, and took something", tag)
		}
		var v, w int64
		s, r = der, der
		ok, wanted = readInteger(&s, &v), r.ReadASN1Int64WithTag(&w, asn1.INTEGER)
		if ok != wanted || ok && (v != w || !bytes.Equal(s, r)) {
			t.Errorf("INTEGER %d, %t; cryptobyte %d, %t", v, ok, w, wanted)
		}
		if isTag(der, asn1.Tag(tag)) != cryptobyte.String(der).PeekASN1Tag(asn1.Tag(tag)) {
			t.Error("sees another type than cryptobyte")
		}
	})
}

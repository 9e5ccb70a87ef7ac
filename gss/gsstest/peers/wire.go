package peers

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// A request and a reply are a list of octet strings: a 32-bit count, then each
// string's 32-bit length and octets, numbers big endian.
const (
	maxStrings = 8
	maxLength  = 1 << 26 // of one string
)

func writeStrings(w io.Writer, list [][]byte) error {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(list)))
	for _, s := range list {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	_, err := w.Write(b)
	return err
}

// readStrings reads a list of at least one string.
func readStrings(r io.Reader) ([][]byte, error) {
	count, err := readNumber(r)
	if err != nil {
		return nil, err
	}
	if count == 0 || count > maxStrings {
		return nil, fmt.Errorf("a list of %d strings", count)
	}
	list := make([][]byte, count)
	for i := range list {
		n, err := readNumber(r)
		if err != nil {
			return nil, err
		}
		if n > maxLength {
			return nil, fmt.Errorf("a string of %d octets", n)
		}
		var b bytes.Buffer // grows with what arrives
		if _, err := io.CopyN(&b, r, int64(n)); err != nil {
			return nil, err
		}
		list[i] = b.Bytes()
	}
	return list, nil
}

func readNumber(r io.Reader) (uint32, error) {
	var b [4]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b[:]), nil
}

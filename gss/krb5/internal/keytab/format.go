package keytab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/countersign-go/countersign/gss/krb5/internal/localfile"
)

const (
	version1 = 0x0501 // this machine's byte order, the realm counted as a component, no name type
	version2 = 0x0502 // big endian
)

// ErrFormat is the cause of every error about bytes that are not a keytab.
var ErrFormat = errors.New("malformed keytab")

// ErrVersion means that the file starts with other than 0x0501 or 0x0502.
//
//lint:ignore ST1005 MIT's words
var ErrVersion = errors.New("Unsupported key table format version number")

// Parse reads a whole keytab. Holes, which ktutil and kadmin leave where they deleted an entry, are passed over, and a
// record of length 0 ends the keytab, both as in MIT's library; where that takes a damaged record for the end, Parse says
// what is wrong with it. The result shares no memory with data. Errors are [ErrVersion] or [ErrFormat].
func Parse(data []byte) (*Keytab, error) {
	r := reader{localfile.Reader{String: data}}
	version, err := r.version()
	if err != nil {
		return nil, err
	}
	kt := new(Keytab)
	for n := 1; !r.Empty(); n++ {
		var size uint32
		if !r.Uint32(&size) {
			return nil, fmt.Errorf("%w: cut off in the length of record %d", ErrFormat, n)
		}
		length := int64(int32(size))
		if length == 0 {
			return kt, nil
		}
		hole := length < 0
		if hole {
			length = -length
		}
		if length > int64(len(r.String)) {
			return nil, fmt.Errorf("%w: record %d has %d bytes, and %d are left", ErrFormat, n, length, len(r.String))
		}
		record := reader{localfile.Reader{String: r.String[:length], Order: r.Order}}
		r.String = r.String[length:]
		if hole {
			continue
		}
		e, ok := record.entry(version)
		if !ok {
			return nil, fmt.Errorf("%w: record %d is not an entry", ErrFormat, n)
		}
		kt.Entries = append(kt.Entries, e)
	}
	return kt, nil
}

// reader reads integers in the order of the file's version.
type reader struct{ localfile.Reader }

func (r *reader) version() (uint16, error) {
	var version uint16
	if !r.ReadUint16(&version) {
		return 0, fmt.Errorf("%w: shorter than its version number", ErrFormat)
	}
	switch version {
	case version1:
		r.Order = binary.NativeEndian
	case version2:
		r.Order = binary.BigEndian
	default:
		return 0, fmt.Errorf("%w: 0x%04x", ErrVersion, version)
	}
	return version, nil
}

// counted reads a 16-bit length and as many bytes. MIT's library takes lengths as signed.
func (r *reader) counted(b *[]byte) bool {
	var n uint16
	return r.Uint16(&n) && n <= math.MaxInt16 && r.ReadBytes(b, int(n))
}

func (r *reader) entry(version uint16) (e Entry, ok bool) {
	var count uint16
	if !r.Uint16(&count) {
		return e, false
	}
	if version == version1 {
		count-- // the realm is counted
	}
	var b []byte
	// Every component takes two bytes at the least: a count beyond that is refused before anything is allocated for it.
	if count == 0 || count > math.MaxInt16 || int(count) > len(r.String)/2 || !r.counted(&b) {
		return e, false
	}
	e.Realm = string(b)
	e.Components = make([]string, count)
	for i := range e.Components {
		if !r.counted(&b) {
			return e, false
		}
		e.Components[i] = string(b)
	}
	var nameType, stamp uint32
	if version != version1 && !r.Uint32(&nameType) {
		return e, false
	}
	var kvno uint8
	var etype uint16
	if !r.Uint32(&stamp) || !r.ReadUint8(&kvno) || !r.Uint16(&etype) || !r.counted(&b) || len(b) == 0 {
		return e, false
	}
	e.NameType = int32(nameType)
	e.Timestamp = time.Unix(int64(stamp), 0).UTC()
	e.Etype = int32(int16(etype))
	e.Key = slices.Clone(b)
	e.Kvno = uint32(kvno)
	// Four more bytes are the whole version number, unless they are zero: then they only fill a reused hole. What may follow
	// (Heimdal writes flags) has no meaning here.
	var whole uint32
	if len(r.String) >= 4 && r.Uint32(&whole) && whole != 0 {
		e.Kvno = whole
	}
	return e, true
}

// Append appends the keytab to dst in format 0x0502, every entry with its 32-bit key version, byte for byte as ktutil and
// kadmin write it. An entry that the format cannot hold is an error, and dst is then returned as it came.
func (k *Keytab) Append(dst []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(slices.Clone(dst))
	b.AddUint16(version2)
	for i, e := range k.Entries {
		if err := e.check(); err != nil {
			return dst, fmt.Errorf("keytab entry %d: %w", i+1, err)
		}
		b.AddUint32LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint16(uint16(len(e.Components)))
			addCounted(b, []byte(e.Realm))
			for _, c := range e.Components {
				addCounted(b, []byte(c))
			}
			b.AddUint32(uint32(e.NameType))
			b.AddUint32(uint32(e.Timestamp.Unix()))
			b.AddUint8(uint8(e.Kvno))
			b.AddUint16(uint16(e.Etype))
			addCounted(b, e.Key)
			b.AddUint32(e.Kvno)
		})
	}
	out, err := b.Bytes()
	if err != nil {
		return dst, err
	}
	return out, nil
}

func addCounted(b *cryptobyte.Builder, data []byte) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(data) })
}

func (e *Entry) check() error {
	if len(e.Components) == 0 || len(e.Components) > math.MaxInt16 {
		return fmt.Errorf("%d components in a principal", len(e.Components))
	}
	for _, c := range append([]string{e.Realm}, e.Components...) {
		if len(c) > math.MaxInt16 {
			return fmt.Errorf("a name of %d bytes", len(c))
		}
	}
	if len(e.Key) == 0 || len(e.Key) > math.MaxInt16 {
		return fmt.Errorf("a key of %d bytes", len(e.Key))
	}
	if e.Etype != int32(int16(e.Etype)) {
		return fmt.Errorf("etype %d does not fit 16 bits", e.Etype)
	}
	if t := e.Timestamp.Unix(); t < 0 || t > math.MaxUint32 {
		return fmt.Errorf("time %v does not fit 32 bits", e.Timestamp)
	}
	return nil
}

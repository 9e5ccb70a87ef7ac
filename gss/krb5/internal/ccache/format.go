package ccache

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
	version1 = 0x0501 // this machine's byte order, the realm counted as a component, no name types
	version2 = 0x0502 // this machine's byte order
	version3 = 0x0503 // big endian, a key's enctype written twice
	version4 = 0x0504 // big endian, a header of tags

	tagTimeOffset = 1

	// maxHeader is MIT's bound on the header of a version 4 file, in bytes.
	maxHeader = 1024
)

// ErrFormat is the cause of every error about bytes that are not a credential cache, a file cut short among them.
//
//lint:ignore ST1005 MIT's words
var ErrFormat = errors.New("Bad format in credentials cache")

// ErrVersion means that the cache starts with other than 0x0501 to 0x0504.
//
//lint:ignore ST1005 MIT's words
var ErrVersion = errors.New("Unsupported credentials cache format version number")

// Parse reads a whole cache of version 1 to 4. A credential that was removed in place is left out. The result shares no
// memory with data. Errors are [ErrVersion] or [ErrFormat]: where MIT's library takes a cut-off credential for the end of
// the cache, Parse refuses it.
func Parse(data []byte) (*Cache, error) {
	c, _, _, err := parse(slices.Clone(data))
	return c, err
}

// A span is where a credential stands in the file.
type span struct{ start, end int }

// parse reads a cache, whose byte slices then lie in data, and says its version and where each credential was found.
func parse(data []byte) (c *Cache, version uint16, spans []span, err error) {
	r := reader{Reader: localfile.Reader{String: data}}
	if version, err = r.version(); err != nil {
		return nil, 0, nil, err
	}
	c = new(Cache)
	if version == version4 {
		if c.header, err = r.header(); err != nil {
			return nil, 0, nil, err
		}
		if c.TimeOffset, err = timeOffset(c.header); err != nil {
			return nil, 0, nil, err
		}
	}
	if !r.principal(&c.Default) {
		return nil, 0, nil, fmt.Errorf("%w: no whole default principal", ErrFormat)
	}
	for n := 1; !r.Empty(); n++ {
		start := len(data) - len(r.String)
		var cred Credential
		removed, ok := r.credential(&cred)
		if !ok {
			return nil, 0, nil, fmt.Errorf("%w: credential %d, at byte %d of %d, is cut off or damaged", ErrFormat, n, start, len(data))
		}
		if !removed {
			c.Credentials = append(c.Credentials, cred)
			spans = append(spans, span{start, len(data) - len(r.String)})
		}
	}
	return c, version, spans, nil
}

// reader reads by the rules of the file's version.
type reader struct {
	localfile.Reader
	ordinal uint16 // the version
}

func (r *reader) version() (uint16, error) {
	if !r.ReadUint16(&r.ordinal) {
		return 0, fmt.Errorf("%w: shorter than its version number", ErrFormat)
	}
	var err error
	r.Order, err = byteOrder(r.ordinal)
	return r.ordinal, err
}

func byteOrder(version uint16) (binary.ByteOrder, error) {
	switch version {
	case version1, version2:
		return binary.NativeEndian, nil
	case version3, version4:
		return binary.BigEndian, nil
	}
	return nil, fmt.Errorf("%w: 0x%04x", ErrVersion, version)
}

func (r *reader) header() ([]byte, error) {
	var h cryptobyte.String
	if !r.ReadUint16LengthPrefixed(&h) || len(h) > maxHeader {
		return nil, fmt.Errorf("%w: no whole header", ErrFormat)
	}
	return h, nil
}

// timeOffset finds the clock offset among a header's tags; the last one counts.
func timeOffset(header cryptobyte.String) (offset time.Duration, err error) {
	for !header.Empty() {
		var tag uint16
		var value cryptobyte.String
		if !header.ReadUint16(&tag) || !header.ReadUint16LengthPrefixed(&value) {
			return 0, fmt.Errorf("%w: a header tag is cut off", ErrFormat)
		}
		if tag != tagTimeOffset {
			continue
		}
		var sec, usec uint32
		if !value.ReadUint32(&sec) || !value.ReadUint32(&usec) || !value.Empty() {
			return 0, fmt.Errorf("%w: the header's time offset is not of 8 bytes", ErrFormat)
		}
		offset = time.Duration(int32(sec))*time.Second + time.Duration(int32(usec))*time.Microsecond
	}
	return offset, nil
}

// counted reads a 32-bit length and as many bytes, capped so that an append to them cannot touch what follows.
func (r *reader) counted(b *[]byte) bool {
	var n uint32
	if !r.Uint32(&n) || uint64(n) > uint64(len(r.String)) || !r.ReadBytes(b, int(n)) {
		return false
	}
	if *b = slices.Clip(*b); n == 0 {
		*b = nil
	}
	return true
}

// count reads a number of elements that take at least min bytes each, and refuses one that the rest cannot hold.
func (r *reader) count(n *uint32, min int) bool {
	return r.Uint32(n) && uint64(*n) <= uint64(len(r.String)/min)
}

func (r *reader) principal(p *Principal) bool {
	var nameType, n uint32
	if r.ordinal != version1 && !r.Uint32(&nameType) {
		return false
	}
	if !r.count(&n, 4) {
		return false
	}
	if r.ordinal == version1 {
		if n == 0 {
			return false
		}
		n--
	}
	var b []byte
	if !r.counted(&b) {
		return false
	}
	*p = Principal{Realm: string(b), NameType: int32(nameType), Components: make([]string, n)}
	for i := range p.Components {
		if !r.counted(&b) {
			return false
		}
		p.Components[i] = string(b)
	}
	return true
}

func (r *reader) time(t *time.Time) bool {
	var v uint32
	if !r.Uint32(&v) {
		return false
	}
	if v != 0 {
		*t = time.Unix(int64(v), 0).UTC()
	}
	return true
}

func (r *reader) typed(list *[]TypedData) bool {
	var n uint32
	if !r.count(&n, 6) {
		return false
	}
	for range n {
		var kind uint16
		var b []byte
		if !r.Uint16(&kind) || !r.counted(&b) {
			return false
		}
		*list = append(*list, TypedData{int32(int16(kind)), b})
	}
	return true
}

// credential reads one credential and says whether it was removed in place: it then has no end but a time of authentication.
func (r *reader) credential(c *Credential) (removed, ok bool) {
	var etype, again uint16
	if !r.principal(&c.Client) || !r.principal(&c.Server) || !r.Uint16(&etype) ||
		r.ordinal == version3 && !r.Uint16(&again) || !r.counted(&c.Key) {
		return false, false
	}
	c.KeyType = int32(int16(etype))
	ok = r.time(&c.AuthTime) && r.time(&c.StartTime) && r.time(&c.EndTime) && r.time(&c.RenewTill) &&
		r.ReadUint8(&c.skey) && r.Uint32(&c.Flags) && r.typed(&c.Addresses) && r.typed(&c.AuthData) &&
		r.counted(&c.Ticket) && r.counted(&c.SecondTicket)
	c.IsSKey = c.skey != 0
	return c.EndTime.IsZero() && !c.AuthTime.IsZero(), ok
}

// Marshal gives the cache in version 4, byte for byte as MIT's library writes it. A value that the format cannot hold is an
// error.
func (c *Cache) Marshal() ([]byte, error) {
	header := c.header
	if offset, err := timeOffset(header); err != nil || offset != c.TimeOffset {
		if header, err = offsetHeader(c.TimeOffset); err != nil {
			return nil, err
		}
	}
	w := writer{order: binary.BigEndian, ordinal: version4}
	w.uint16(version4)
	w.uint16(uint16(len(header)))
	w.b = append(w.b, header...)
	w.principal(c.Default)
	for i := range c.Credentials {
		w.credential(&c.Credentials[i])
	}
	return w.b, w.err
}

func offsetHeader(offset time.Duration) ([]byte, error) {
	if offset == 0 {
		return nil, nil
	}
	sec := int64(offset / time.Second)
	if sec != int64(int32(sec)) {
		return nil, fmt.Errorf("a time offset of %v does not fit 32 bits of seconds", offset)
	}
	h := binary.BigEndian.AppendUint32([]byte{0, tagTimeOffset, 0, 8}, uint32(sec))
	return binary.BigEndian.AppendUint32(h, uint32(int32(offset%time.Second/time.Microsecond))), nil
}

// writer writes by the rules of a version. It keeps the first error.
type writer struct {
	b       []byte
	order   binary.AppendByteOrder
	ordinal uint16
	err     error
}

func newWriter(version uint16) writer {
	if version <= version2 {
		return writer{order: binary.NativeEndian, ordinal: version}
	}
	return writer{order: binary.BigEndian, ordinal: version}
}

func (w *writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *writer) uint16(v uint16) { w.b = w.order.AppendUint16(w.b, v) }
func (w *writer) uint32(v uint32) { w.b = w.order.AppendUint32(w.b, v) }

func (w *writer) counted(data string) {
	if len(data) > math.MaxInt32 {
		w.fail("%d bytes are more than the cache format holds", len(data))
		return
	}
	w.uint32(uint32(len(data)))
	w.b = append(w.b, data...)
}

func (w *writer) int16(what string, v int32) {
	if v != int32(int16(v)) && v != int32(uint16(v)) {
		w.fail("%s %d does not fit 16 bits", what, v)
	}
	w.uint16(uint16(v))
}

func (w *writer) principal(p Principal) {
	n := uint32(len(p.Components))
	if w.ordinal == version1 {
		n++
	} else {
		w.uint32(uint32(p.NameType))
	}
	w.uint32(n)
	w.counted(p.Realm)
	for _, c := range p.Components {
		w.counted(c)
	}
}

func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.uint32(0)
		return
	}
	v := t.Unix()
	if v < 0 || v > math.MaxUint32 {
		w.fail("time %v does not fit 32 bits", t)
	}
	w.uint32(uint32(v))
}

func (w *writer) typed(what string, list []TypedData) {
	w.uint32(uint32(len(list)))
	for _, d := range list {
		w.int16(what, d.Type)
		w.counted(string(d.Data))
	}
}

func (w *writer) credential(c *Credential) {
	w.principal(c.Client)
	w.principal(c.Server)
	w.int16("etype", c.KeyType)
	if w.ordinal == version3 {
		w.int16("etype", c.KeyType)
	}
	w.counted(string(c.Key))
	w.time(c.AuthTime)
	w.time(c.StartTime)
	w.time(c.EndTime)
	w.time(c.RenewTill)
	var skey byte
	if c.IsSKey {
		skey = max(1, c.skey)
	}
	w.b = append(w.b, skey)
	w.uint32(c.Flags)
	w.typed("address type", c.Addresses)
	w.typed("authorization data type", c.AuthData)
	w.counted(string(c.Ticket))
	w.counted(string(c.SecondTicket))
}

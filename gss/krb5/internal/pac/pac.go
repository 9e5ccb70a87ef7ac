package pac

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"

	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// Types of buffers (MS-PAC, section 2.4).
const (
	TypeLogonInfo       = 1
	TypeCredentialsInfo = 2
	TypeServerChecksum  = 6
	TypeKDCChecksum     = 7
	TypeClientInfo      = 10
	TypeDelegationInfo  = 11
	TypeUPNInfo         = 12
)

const (
	headerSize = 8  // count of buffers and version
	entrySize  = 16 // of the directory: type, size, offset
	alignment  = 8  // of a buffer's offset

	// maxBuffers bounds the directory. KDCs send about ten.
	maxBuffers = 64
)

// Types of authorization data (RFC 4120, section 5.2.6; MS-KILE, section
// 2.2.12).
const (
	adIfRelevant = 1
	adWin2kPAC   = 128
)

var (
	errFormat    = errors.New("the PAC is malformed")
	errDuplicate = errors.New("the PAC has two buffers of this type")

	// ErrNone means that there is no PAC.
	ErrNone = errors.New("the ticket has no PAC")
	// ErrNoBuffer means that the PAC has no buffer of the type asked for.
	ErrNoBuffer = errors.New("the PAC has no such buffer")
)

// A Buffer is one part of a PAC.
type Buffer struct {
	Type uint32
	Data []byte
}

// A PAC is a privilege attribute certificate that is split into its buffers,
// and neither verified nor otherwise looked at.
type PAC struct {
	Data    []byte // the whole
	Buffers []Buffer
}

// Find gives the PAC's octets out of containers of authorization data, each the
// content of an AD-IF-RELEVANT of a ticket. The error is ErrNone or tells what
// is malformed.
func Find(containers [][]byte) ([]byte, error) {
	for _, der := range containers {
		list, err := kmsg.ParseAuthorizationData(der)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if e.Type == adWin2kPAC {
				return e.Data, nil
			}
		}
	}
	return nil, ErrNone
}

// Containers copies what may hold a PAC out of a ticket's authorization data;
// nil when nothing does.
func Containers(data kmsg.AuthorizationData) (containers [][]byte) {
	for _, e := range data {
		if e.Type == adIfRelevant {
			containers = append(containers, append([]byte(nil), e.Data...))
		}
	}
	return containers
}

// Parse splits a PAC (MS-PAC, section 2.3). The result aliases data.
func Parse(data []byte) (*PAC, error) {
	if len(data) < headerSize {
		return nil, errFormat
	}
	count, version := binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint32(data[4:])
	if version != 0 {
		return nil, fmt.Errorf("%w: version %d", errFormat, version)
	}
	if count == 0 || count > maxBuffers || len(data) < headerSize+int(count)*entrySize {
		return nil, fmt.Errorf("%w: %d buffers in %d octets", errFormat, count, len(data))
	}
	directoryEnd := uint64(headerSize + count*entrySize)
	p := &PAC{Data: data, Buffers: make([]Buffer, count)}
	for i := range p.Buffers {
		entry := data[headerSize+i*entrySize:]
		size, offset := uint64(binary.LittleEndian.Uint32(entry[4:])), binary.LittleEndian.Uint64(entry[8:])
		if offset%alignment != 0 || offset < directoryEnd || offset > uint64(len(data)) || size > uint64(len(data))-offset {
			return nil, fmt.Errorf("%w: a buffer of %d octets at %d of %d", errFormat, size, offset, len(data))
		}
		p.Buffers[i] = Buffer{Type: binary.LittleEndian.Uint32(entry), Data: data[offset : offset+size : offset+size]}
	}
	return p, nil
}

// Buffer gives the content of the one buffer of a type. Two of a type are an
// error, as they are for MIT's library: which one counts would be a guess.
func (p *PAC) Buffer(typ uint32) ([]byte, error) {
	var found []byte
	for i := range p.Buffers {
		if p.Buffers[i].Type != typ {
			continue
		}
		if found != nil {
			return nil, errDuplicate
		}
		found = p.Buffers[i].Data
	}
	if found == nil {
		return nil, ErrNoBuffer
	}
	return found, nil
}

// utf16Text decodes little endian UTF-16.
func utf16Text(b []byte) (string, error) {
	if len(b)%2 != 0 {
		return "", errFormat
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units)), nil
}

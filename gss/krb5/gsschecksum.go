package krb5

import (
	"crypto/fips140"
	"crypto/md5" // RFC 4121 has it: a fingerprint inside an encrypted authenticator
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// The authenticator's checksum carries flags and channel bindings instead of a
// checksum (RFC 4121, section 4.1.1):
//
//	Lgth(4) = 16 | Bnd(16) | Flags(4) [ | DlgOpt(2) = 1 | Dlgth(2) | Deleg ] [ | Exts ]
//
// all numbers little endian.
const (
	checksumTypeGSS = 0x8003
	bindingsSize    = 16
	checksumMinSize = 4 + bindingsSize + 4
)

// gssChecksum is the content of that field.
type gssChecksum struct {
	bindings [bindingsSize]byte // zero: the initiator had none
	flags    gss.Flags

	delegation []byte // a KRB-CRED; present when flags has Delegation
	extensions []byte // what follows
}

func (c *gssChecksum) marshal() []byte {
	b := make([]byte, 0, checksumMinSize+4+len(c.delegation))
	b = binary.LittleEndian.AppendUint32(b, bindingsSize)
	b = append(b, c.bindings[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(c.flags))
	if c.delegation != nil {
		b = binary.LittleEndian.AppendUint16(b, delegationOption)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(c.delegation)))
		b = append(b, c.delegation...)
	}
	return append(b, c.extensions...)
}

// delegationOption is the only DlgOpt there is.
const delegationOption = 1

// parseGSSChecksum reads the checksum of an authenticator. Extensions at its
// end are not looked at: RFC 4121 has unknown ones ignored. They and the
// delegated credential alias sum.
func parseGSSChecksum(sum *kmsg.Checksum) (gssChecksum, error) {
	var c gssChecksum
	switch {
	case sum == nil:
		return c, errors.New("the authenticator has no checksum")
	case sum.Type != checksumTypeGSS:
		return c, fmt.Errorf("the authenticator's checksum is of type %d, not 0x8003", sum.Type)
	case len(sum.Value) < checksumMinSize, binary.LittleEndian.Uint32(sum.Value) != bindingsSize:
		return c, errInvalidLength
	}
	copy(c.bindings[:], sum.Value[4:])
	c.flags = gss.Flags(binary.LittleEndian.Uint32(sum.Value[4+bindingsSize:]))
	rest := sum.Value[checksumMinSize:]
	if c.flags&gss.Delegation == 0 {
		c.extensions = rest
		return c, nil
	}
	if len(rest) < 4 || binary.LittleEndian.Uint16(rest) != delegationOption {
		return c, errInvalidLength
	}
	n := int(binary.LittleEndian.Uint16(rest[2:]))
	if len(rest)-4 < n {
		return c, errInvalidLength
	}
	c.delegation, c.extensions = rest[4:4+n], rest[4+n:]
	return c, nil
}

var errInvalidLength = errors.New("Invalid field length in token")

// hashBindings makes the Bnd field: MD5 over the bindings in the layout of
// RFC 2744's structure, as little endian numbers and counted octets. Without
// bindings it is zero. Where MD5 is forbidden there can be none.
func hashBindings(cb *gss.ChannelBindings) (sum [bindingsSize]byte, err error) {
	if cb == nil {
		return sum, nil
	}
	if fips140.Enforced() {
		return sum, &gss.Error{
			Major: gss.ErrFailure,
			Mech:  gss.MechKrb5,
			Err:   errors.New("channel bindings need MD5 (RFC 4121, section 4.1.1.2), which GODEBUG=fips140=only forbids"),
		}
	}
	var b []byte
	add := func(data []byte) {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
		b = append(b, data...)
	}
	b = binary.LittleEndian.AppendUint32(b, cb.InitiatorAddressType)
	add(cb.InitiatorAddress)
	b = binary.LittleEndian.AppendUint32(b, cb.AcceptorAddressType)
	add(cb.AcceptorAddress)
	add(cb.ApplicationData)
	return md5.Sum(b), nil
}

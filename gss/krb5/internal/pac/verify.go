package pac

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
)

// usageSignature is the key usage of a PAC's signatures (MS-PAC, section 2.8).
const usageSignature = 17

// signatureHeader is the length of the checksum type before a signature.
const signatureHeader = 4

var (
	// ErrSignature means that the PAC was not signed with the service's key, or
	// was altered afterwards.
	ErrSignature = errors.New("the PAC's server signature does not verify")
	// ErrClient means that the PAC is of another client or another log-on than
	// the ticket.
	ErrClient = errors.New("the PAC is not of the ticket's client")
)

// Verify checks the server signature, which the KDC made with the service's
// key, over the PAC with both signatures zeroed (MS-PAC, section 2.8.1). key is
// the key that opened the ticket.
func (p *PAC) Verify(key []byte, id etype.ID) error {
	profile, err := etype.Lookup(id)
	if err != nil {
		return err
	}
	server, err := p.Buffer(TypeServerChecksum)
	if err != nil {
		return fmt.Errorf("server signature: %w", err)
	}
	if len(server) < signatureHeader {
		return fmt.Errorf("%w: server signature", errFormat)
	}
	if got := int32(binary.LittleEndian.Uint32(server)); got != profile.ChecksumType() {
		return fmt.Errorf("%w: it has checksum type %d, and the key of %s makes type %d", ErrSignature, got, id, profile.ChecksumType())
	}
	// A read-only domain controller's number may follow the signature.
	if len(server) < signatureHeader+profile.MACSize() {
		return fmt.Errorf("%w: server signature", errFormat)
	}
	zeroed := make([]byte, 0, len(p.Data))
	zeroed = append(zeroed, p.Data...)
	q, err := Parse(zeroed)
	if err != nil {
		return err
	}
	for _, typ := range []uint32{TypeServerChecksum, TypeKDCChecksum} {
		b, err := q.Buffer(typ)
		if err != nil {
			return fmt.Errorf("signature of type %d: %w", typ, err)
		}
		if len(b) < signatureHeader {
			return fmt.Errorf("%w: signature of type %d", errFormat, typ)
		}
		clear(b[signatureHeader:])
	}
	sum, err := profile.NewChecksum(key, usageSignature)
	if err != nil {
		return err
	}
	defer sum.Clear()
	if !sum.Verify(server[signatureHeader:signatureHeader+profile.MACSize()], zeroed, nil) {
		return ErrSignature
	}
	return nil
}

// CheckClient compares the PAC's client with that of the ticket: the name, as
// components without a realm, and the time of authentication to the second.
func (p *PAC) CheckClient(name []string, authTime time.Time) error {
	info, err := p.ClientInfo()
	if err != nil {
		return err
	}
	if want := strings.Join(name, "/"); info.Name != want {
		return fmt.Errorf("%w: it names %q, the ticket %q", ErrClient, info.Name, want)
	}
	if info.AuthTime.Unix() != authTime.Unix() {
		return fmt.Errorf("%w: it is of %s, the ticket of %s", ErrClient, info.AuthTime.Format(time.RFC3339), authTime.UTC().Format(time.RFC3339))
	}
	return nil
}

package kdc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// Key usage numbers, RFC 4120 section 7.5.1.
const (
	usageTimestamp     = 1
	usageASRep         = 3
	usageTGSChecksum   = 6
	usageAuthenticator = 7
	usageTGSRepSession = 8
	usageTGSRepSubkey  = 9
)

func lookupEtype(id int32) (*etype.Profile, error) { return etype.Lookup(etype.ID(id)) }

// supported keeps what of a list of encryption types this package can use.
func supported(ids []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(ids), func(id int32) bool {
		_, err := lookupEtype(id)
		return err != nil
	})
}

// profile gives the cryptography of the key's encryption type, once the key is as long as
// it must be.
func (k Key) profile() (*etype.Profile, error) {
	p, err := lookupEtype(k.Etype)
	if err != nil {
		return nil, err
	}
	if len(k.Value) != p.KeySize() {
		return nil, fmt.Errorf("key of enctype %d has %d bytes instead of %d", k.Etype, len(k.Value), p.KeySize())
	}
	return p, nil
}

func checkKey(k Key) error {
	_, err := k.profile()
	return err
}

// newKey makes a random key.
func newKey(id int32, random io.Reader) (Key, error) {
	p, err := lookupEtype(id)
	if err != nil {
		return Key{}, err
	}
	value, err := p.RandomKey(random)
	if err != nil {
		return Key{}, err
	}
	return Key{Etype: id, Value: value}, nil
}

func encrypt(k Key, usage uint32, plain []byte, random io.Reader) (kmsg.EncryptedData, error) {
	p, err := k.profile()
	if err != nil {
		return kmsg.EncryptedData{}, err
	}
	c, err := p.NewCipher(k.Value, usage)
	if err != nil {
		return kmsg.EncryptedData{}, err
	}
	defer c.Clear()
	sealed, err := c.Seal(nil, plain, random)
	return kmsg.EncryptedData{Etype: k.Etype, Cipher: sealed}, err
}

// decrypt opens what a KDC encrypted with k. A failed check of the MAC is an
// [*Error] with the code that a KDC would give.
func decrypt(k Key, usage uint32, data types.EncryptedData) ([]byte, error) {
	p, err := k.profile()
	if err != nil {
		return nil, err
	}
	if data.EType != k.Etype {
		return nil, fmt.Errorf("encrypted with enctype %d, not %d", data.EType, k.Etype)
	}
	c, err := p.NewCipher(k.Value, usage)
	if err != nil {
		return nil, err
	}
	defer c.Clear()
	plain, err := c.Open(nil, data.Cipher)
	switch {
	case errors.Is(err, etype.ErrTooShort):
		return nil, errors.New("ciphertext is shorter than its confounder and MAC")
	case err != nil:
		return nil, &Error{Code: errIntegrity}
	}
	return plain, nil
}

// checksum is the encryption type's keyed checksum of a message.
func checksum(k Key, usage uint32, message []byte) (kmsg.Checksum, error) {
	p, err := k.profile()
	if err != nil {
		return kmsg.Checksum{}, err
	}
	c, err := p.NewChecksum(k.Value, usage)
	if err != nil {
		return kmsg.Checksum{}, err
	}
	defer c.Clear()
	return kmsg.Checksum{Type: p.ChecksumType(), Value: c.Sum(nil, message, nil)}, nil
}

// stringToKey derives a key from a password by the parameters of an ETYPE-INFO2
// entry. Nobody has authenticated these: a forged reply that names a small iteration
// count makes the encrypted timestamp that answers it cheap to guess the password
// from. The RFCs' default, below which no KDC goes, is therefore the least.
func stringToKey(id int32, password, salt string, params []byte) (Key, error) {
	p, err := lookupEtype(id)
	if err != nil {
		return Key{}, err
	}
	// Zero means 2^32, RFC 3962 section 4: too many, as etype says.
	if len(params) == 4 {
		if n := binary.BigEndian.Uint32(params); n != 0 && n < uint32(p.Iterations()) {
			return Key{}, badReply("ETYPE-INFO2", fmt.Errorf("%w: %s with an iteration count of %d, at least %d is accepted",
				etype.ErrParams, p, n, p.Iterations()))
		}
	}
	value, err := p.StringToKey(password, salt, params)
	if err != nil {
		return Key{}, badReply("ETYPE-INFO2", err)
	}
	return Key{Etype: id, Value: value}, nil
}

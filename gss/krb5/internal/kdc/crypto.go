package kdc

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/types"
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

// maxIterations bounds the work that a KDC's ETYPE-INFO2 can ask for. KDCs use 4,096 to a
// few hundred thousand; this bound costs about a second.
const maxIterations = 1 << 20

// enctype is what the messages of an exchange need to know of an encryption type.
type enctype struct {
	keySize, overhead int // bytes; overhead is confounder and MAC
	checksum          int32
	iterations        uint32 // where the KDC names none
}

var enctypes = map[int32]enctype{
	17: {16, 16 + 12, 15, 4096},
	18: {32, 16 + 12, 16, 4096},
	19: {16, 16 + 16, 19, 32768},
	20: {32, 16 + 24, 20, 32768},
}

func lookupEnctype(id int32) (enctype, error) {
	e, ok := enctypes[id]
	if !ok {
		return enctype{}, fmt.Errorf("encryption type %d is not supported: rekey with AES", id)
	}
	return e, nil
}

// supported keeps what of a list of encryption types this package can use.
func supported(ids []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(ids), func(id int32) bool {
		_, ok := enctypes[id]
		return !ok
	})
}

func checkKey(k Key) error {
	e, err := lookupEnctype(k.Etype)
	if err != nil {
		return err
	}
	if len(k.Value) != e.keySize {
		return fmt.Errorf("key of enctype %d has %d bytes instead of %d", k.Etype, len(k.Value), e.keySize)
	}
	return nil
}

func gokrb5Key(k Key) types.EncryptionKey {
	return types.EncryptionKey{KeyType: k.Etype, KeyValue: k.Value}
}

// newKey makes a random key.
func newKey(id int32, random io.Reader) (Key, error) {
	e, err := lookupEnctype(id)
	if err != nil {
		return Key{}, err
	}
	k := Key{Etype: id, Value: make([]byte, e.keySize)}
	_, err = io.ReadFull(random, k.Value)
	return k, err
}

func encrypt(k Key, usage uint32, plain []byte) (types.EncryptedData, error) {
	if err := checkKey(k); err != nil {
		return types.EncryptedData{}, err
	}
	return crypto.GetEncryptedData(plain, gokrb5Key(k), usage, 0)
}

// decrypt opens what a KDC encrypted with k. A failed check of the MAC is an
// [*Error] with the code that a KDC would give.
func decrypt(k Key, usage uint32, data types.EncryptedData) (plain []byte, err error) {
	if err := checkKey(k); err != nil {
		return nil, err
	}
	if data.EType != k.Etype {
		return nil, fmt.Errorf("encrypted with enctype %d, not %d", data.EType, k.Etype)
	}
	// A shorter ciphertext makes gokrb5 panic.
	if len(data.Cipher) < enctypes[k.Etype].overhead {
		return nil, errors.New("ciphertext is shorter than its confounder and MAC")
	}
	err = fence("decrypting", func() error {
		b, err := crypto.DecryptEncPart(data, gokrb5Key(k), usage)
		if err != nil {
			return &Error{Code: errIntegrity}
		}
		plain = b
		return nil
	})
	return plain, err
}

// stringToKey derives a key from a password by the parameters of an ETYPE-INFO2
// entry.
func stringToKey(id int32, password, salt string, params []byte) (k Key, err error) {
	e, err := lookupEnctype(id)
	if err != nil {
		return Key{}, err
	}
	iterations := e.iterations
	switch len(params) {
	case 0:
	case 4:
		iterations = binary.BigEndian.Uint32(params)
	default:
		return Key{}, badReply("ETYPE-INFO2", fmt.Errorf("string-to-key parameters of %d bytes instead of 4", len(params)))
	}
	// Zero means 2^32, RFC 3962 section 4.
	if iterations == 0 || iterations > maxIterations {
		return Key{}, badReply("ETYPE-INFO2", fmt.Errorf("iteration count of the string-to-key function is not from 1 to %d", maxIterations))
	}
	et, err := crypto.GetEtype(id)
	if err != nil {
		return Key{}, err
	}
	hexParams := hex.EncodeToString(binary.BigEndian.AppendUint32(nil, iterations))
	err = fence("deriving the key", func() error {
		v, err := et.StringToKey(password, salt, hexParams)
		k = Key{Etype: id, Value: v}
		return err
	})
	return k, err
}

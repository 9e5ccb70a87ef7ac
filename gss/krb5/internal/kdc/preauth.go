package kdc

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/countersign-go/countersign/gss/krb5/internal/fence"
)

// Pre-authentication data types, RFC 4120 section 7.5.2.
const (
	paTGSReq       = 1
	paEncTimestamp = 2
	paPWSalt       = 3
	paEtypeInfo2   = 19
)

// keyParams says how the client's key is made from its password.
type keyParams struct {
	etype  int32
	salt   string
	params []byte
}

var errNoCommonEtype = errors.New("none of the encryption types that it names was asked for")

// chooseParams takes from pre-authentication data the ETYPE-INFO2 entry of the
// encryption type that comes first in wanted. Without ETYPE-INFO2 it is
// the first wanted type with the default salt, or that of PW-SALT.
func chooseParams(data types.PADataSequence, wanted []int32, defaultSalt string) (keyParams, error) {
	chosen := keyParams{etype: wanted[0], salt: defaultSalt}
	for _, pa := range data {
		switch pa.PADataType {
		case paPWSalt:
			chosen.salt = string(pa.PADataValue)
		case paEtypeInfo2:
			var info types.ETypeInfo2
			err := fence.Run(func() error { return info.Unmarshal(pa.PADataValue) })
			if err != nil {
				return keyParams{}, badReply("ETYPE-INFO2", err)
			}
			for _, id := range wanted {
				for _, e := range info {
					if e.EType != id {
						continue
					}
					k := keyParams{etype: id, salt: defaultSalt, params: e.S2KParams}
					// An empty salt is told from an absent one by neither MIT's KDC
					// nor gokrb5's decoder.
					if e.Salt != "" {
						k.salt = e.Salt
					}
					return k, nil
				}
			}
			return keyParams{}, badReply("ETYPE-INFO2", errNoCommonEtype)
		}
	}
	return chosen, nil
}

// key makes the client's key for the chosen parameters.
func (s *secret) key(p keyParams) (Key, error) {
	if s.keys == nil {
		return stringToKey(p.etype, s.password, p.salt, p.params)
	}
	for _, k := range s.keys {
		if k.Etype == p.etype {
			return k, nil
		}
	}
	return Key{}, fmt.Errorf("no key of encryption type %d in the keytab", p.etype)
}

// encTimestamp makes the PA-ENC-TIMESTAMP of RFC 4120 section 5.2.7.2.
func encTimestamp(k Key, now time.Time, random io.Reader) (types.PAData, error) {
	now = now.UTC()
	plain, err := asn1.Marshal(types.PAEncTSEnc{PATimestamp: now.Truncate(time.Second), PAUSec: now.Nanosecond() / 1000})
	if err != nil {
		return types.PAData{}, err
	}
	enc, err := encrypt(k, usageTimestamp, plain, random)
	if err != nil {
		return types.PAData{}, err
	}
	der, err := asn1.Marshal(types.EncryptedData{EType: enc.Etype, Cipher: enc.Cipher})
	if err != nil {
		return types.PAData{}, err
	}
	return types.PAData{PADataType: paEncTimestamp, PADataValue: der}, nil
}

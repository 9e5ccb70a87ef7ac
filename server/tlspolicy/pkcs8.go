package tlspolicy

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxIterations bounds the time that a key file can take: a few seconds. OpenSSL
// writes 2048, NIST recommends at least 1000, careful people some 100,000.
const maxIterations = 10_000_000

var (
	errScheme     = errors.New("the key is encrypted by a scheme that is not read here")
	errPassphrase = errors.New("the passphrase is wrong, or the key damaged")
	errNoPKCS8    = errors.New("not an encrypted PKCS#8 key")
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// keyLengths are those of the ciphers, AES in CBC mode.
var keyLengths = map[string]int{
	"2.16.840.1.101.3.4.1.2":  16,
	"2.16.840.1.101.3.4.1.22": 24,
	"2.16.840.1.101.3.4.1.42": 32,
}

// prfs are those of PBKDF2: HMAC with these.
var prfs = map[string]func() hash.Hash{
	"1.2.840.113549.2.7":  sha1.New,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
}

// decryptPKCS8 decrypts an EncryptedPrivateKeyInfo (RFC 5958, section 3) that is
// encrypted by PBES2 with PBKDF2 and AES-CBC (RFC 8018), and gives the DER of the
// key, or of nothing if the passphrase was wrong and the padding good by chance.
func decryptPKCS8(der, passphrase []byte) ([]byte, error) {
	in := cryptobyte.String(der)
	var info, algorithm, params, encrypted cryptobyte.String
	var scheme asn1.ObjectIdentifier
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !in.Empty() ||
		!info.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&scheme) ||
		!info.ReadASN1(&encrypted, cbasn1.OCTET_STRING) || !info.Empty() {
		return nil, errNoPKCS8
	}
	if !scheme.Equal(oidPBES2) {
		return nil, fmt.Errorf("%w: %s", errScheme, scheme)
	}
	var kdf, enc, iv cryptobyte.String
	var encryption asn1.ObjectIdentifier
	if !algorithm.ReadASN1(&params, cbasn1.SEQUENCE) || !algorithm.Empty() ||
		!params.ReadASN1(&kdf, cbasn1.SEQUENCE) || !params.ReadASN1(&enc, cbasn1.SEQUENCE) || !params.Empty() ||
		!enc.ReadASN1ObjectIdentifier(&encryption) {
		return nil, errNoPKCS8
	}
	length, ok := keyLengths[encryption.String()]
	if !ok {
		return nil, fmt.Errorf("%w: cipher %s", errScheme, encryption)
	}
	if !enc.ReadASN1(&iv, cbasn1.OCTET_STRING) || !enc.Empty() || len(iv) != aes.BlockSize {
		return nil, errNoPKCS8
	}
	key, err := deriveKey(kdf, passphrase, length)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(encrypted) == 0 || len(encrypted)%aes.BlockSize != 0 {
		return nil, errNoPKCS8
	}
	plain := make([]byte, len(encrypted))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, encrypted)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, errPassphrase
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, errPassphrase
		}
	}
	return plain[:len(plain)-pad], nil
}

// deriveKey reads PBKDF2's AlgorithmIdentifier (RFC 8018, appendix A.2).
func deriveKey(kdf cryptobyte.String, passphrase []byte, length int) ([]byte, error) {
	var name asn1.ObjectIdentifier
	if !kdf.ReadASN1ObjectIdentifier(&name) {
		return nil, errNoPKCS8
	}
	if !name.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("%w: key derivation %s", errScheme, name)
	}
	var params, salt cryptobyte.String
	var iterations int
	if !kdf.ReadASN1(&params, cbasn1.SEQUENCE) || !kdf.Empty() ||
		!params.ReadASN1(&salt, cbasn1.OCTET_STRING) || !params.ReadASN1Integer(&iterations) {
		return nil, errNoPKCS8
	}
	if iterations < 1 || iterations > maxIterations {
		return nil, fmt.Errorf("%w: %d iterations", errScheme, iterations)
	}
	if params.PeekASN1Tag(cbasn1.INTEGER) {
		var stated int
		if !params.ReadASN1Integer(&stated) || stated != length {
			return nil, errNoPKCS8
		}
	}
	prf := sha1.New // the default
	if !params.Empty() {
		var algorithm, null cryptobyte.String
		var id asn1.ObjectIdentifier
		var present bool
		if !params.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !params.Empty() || !algorithm.ReadASN1ObjectIdentifier(&id) ||
			!algorithm.ReadOptionalASN1(&null, &present, cbasn1.NULL) || !algorithm.Empty() || len(null) > 0 {
			return nil, errNoPKCS8
		}
		var ok bool
		if prf, ok = prfs[id.String()]; !ok {
			return nil, fmt.Errorf("%w: pseudorandom function %s", errScheme, id)
		}
	}
	return pbkdf2.Key(prf, string(passphrase), salt, iterations, length)
}

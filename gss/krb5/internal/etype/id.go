package etype

import "strconv"

// ID is an encryption type number as assigned under RFC 3961, section 11.
type ID int32

// The supported encryption types.
const (
	AES128CTSHMACSHA196    ID = 17
	AES256CTSHMACSHA196    ID = 18
	AES128CTSHMACSHA256128 ID = 19
	AES256CTSHMACSHA384192 ID = 20
)

// Encryption types that are known by name in order to be refused by name.
const (
	desCBCCRC          ID = 1
	desCBCMD4          ID = 2
	desCBCMD5          ID = 3
	des3CBCSHA1        ID = 16
	arcfourHMAC        ID = 23
	arcfourHMACExp     ID = 24
	camellia128CTSCMAC ID = 25
	camellia256CTSCMAC ID = 26
)

// names lists the canonical name of each enctype first, then its aliases, as
// MIT krb5 has them.
var names = []struct {
	id    ID
	names []string
}{
	{AES256CTSHMACSHA196, []string{"aes256-cts-hmac-sha1-96", "aes256-cts", "aes256-sha1"}},
	{AES128CTSHMACSHA196, []string{"aes128-cts-hmac-sha1-96", "aes128-cts", "aes128-sha1"}},
	{AES256CTSHMACSHA384192, []string{"aes256-cts-hmac-sha384-192", "aes256-sha2"}},
	{AES128CTSHMACSHA256128, []string{"aes128-cts-hmac-sha256-128", "aes128-sha2"}},
	{desCBCCRC, []string{"des-cbc-crc"}},
	{desCBCMD4, []string{"des-cbc-md4"}},
	{desCBCMD5, []string{"des-cbc-md5", "des"}},
	{des3CBCSHA1, []string{"des3-cbc-sha1", "des3-hmac-sha1", "des3-cbc-sha1-kd"}},
	{arcfourHMAC, []string{"arcfour-hmac", "rc4-hmac", "arcfour-hmac-md5"}},
	{arcfourHMACExp, []string{"arcfour-hmac-exp", "rc4-hmac-exp", "arcfour-hmac-md5-exp"}},
	{camellia128CTSCMAC, []string{"camellia128-cts-cmac", "camellia128-cts"}},
	{camellia256CTSCMAC, []string{"camellia256-cts-cmac", "camellia256-cts"}},
}

// String returns MIT krb5's canonical name of id, such as
// "aes256-cts-hmac-sha1-96", or "etype 99" for a number without one.
func (id ID) String() string {
	for _, n := range names {
		if n.id == id {
			return n.names[0]
		}
	}
	return "etype " + strconv.Itoa(int(id))
}

// An UnsupportedError reports an enctype that this module does not use.
type UnsupportedError struct{ ID ID }

func (e *UnsupportedError) Error() string {
	switch e.ID {
	case AES128CTSHMACSHA196, AES256CTSHMACSHA196:
		return "encryption type " + e.ID.String() + " is refused: it uses SHA-1, which GODEBUG=fips140=only forbids; " +
			"rekey the principal with SHA-2, e.g. kadmin: cpw -randkey -e aes256-sha2 PRINCIPAL"
	case desCBCCRC, desCBCMD4, desCBCMD5, des3CBCSHA1, arcfourHMAC, arcfourHMACExp:
		return "encryption type " + e.ID.String() + " is refused: it is not secure; " + rekey
	}
	return "encryption type " + e.ID.String() + " is refused: it is not supported; " + rekey
}

const rekey = "rekey the principal with AES, e.g. kadmin: cpw -randkey -e aes256-cts,aes128-cts PRINCIPAL"

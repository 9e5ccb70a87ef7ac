package etype

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	for _, v := range []struct {
		id             ID
		name           string
		key, mac       int
		checksumType   int32
		checksumLength int
	}{
		{17, "aes128-cts-hmac-sha1-96", 16, 12, 15, 12},
		{18, "aes256-cts-hmac-sha1-96", 32, 12, 16, 12},
		{19, "aes128-cts-hmac-sha256-128", 16, 16, 19, 16},
		{20, "aes256-cts-hmac-sha384-192", 32, 24, 20, 24},
	} {
		p := lookup(t, v.id)
		if p.ID() != v.id || p.String() != v.name || v.id.String() != v.name {
			t.Errorf("etype %d is %d %q %q", int(v.id), p.ID(), p, v.id)
		}
		if p.KeySize() != v.key || p.MACSize() != v.mac || p.Overhead() != 16+v.mac || p.ChecksumType() != v.checksumType {
			t.Errorf("%s: key %d, MAC %d, overhead %d, checksum type %d", p, p.KeySize(), p.MACSize(), p.Overhead(), p.ChecksumType())
		}
	}
}

func TestLookupRefusesByNameWithACure(t *testing.T) {
	for id, name := range map[ID]string{
		1: "des-cbc-crc", 3: "des-cbc-md5", 16: "des3-cbc-sha1", 23: "arcfour-hmac", 24: "arcfour-hmac-exp",
		25: "camellia128-cts-cmac", 26: "camellia256-cts-cmac", 99: "etype 99", 0: "etype 0", -128: "etype -128",
	} {
		p, err := Lookup(id)
		var refused *UnsupportedError
		if p != nil || !errors.As(err, &refused) || refused.ID != id {
			t.Errorf("Lookup(%d) = %v, %v", int(id), p, err)
			continue
		}
		if text := err.Error(); !strings.Contains(text, name+" is refused") || !strings.Contains(text, "cpw -randkey -e aes") {
			t.Errorf("Lookup(%d): %q lacks the name or the cure", int(id), text)
		}
	}
}

func TestParseNames(t *testing.T) {
	all := []ID{18, 17, 20, 19}
	for in, want := range map[string][]ID{
		"aes256-cts-hmac-sha1-96":                {18},
		"aes256-cts":                             {18},
		"aes256-sha1 aes128-sha1":                {18, 17},
		"aes128-sha2,aes256-sha2":                {19, 20},
		"aes128-cts-hmac-sha256-128, AES256-CTS": {19, 18},
		"aes":                                    all,
		"DEFAULT":                                all,
		"default -aes128-cts -aes256-cts":        {20, 19},
		"DEFAULT +rc4 -aes":                      {23},
		"aes256-sha2 aes":                        {20, 18, 17, 19},
		"rc4-hmac des3 camellia":                 {23, 16, 26, 25},
		"arcfour-hmac-md5\tdes3-hmac-sha1\r\naes256-cts": {23, 16, 18},
		"-aes aes256-cts":                        {18},
		"chacha20 aes256-cts aes256-cts no-such": {18},
		" ,, aes128-cts ,":                       {17},
		"des":                                    {3},
	} {
		got, err := ParseNames(in)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("ParseNames(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", " , ", "no-such", "aes -aes", "-DEFAULT"} {
		if got, err := ParseNames(in); !errors.Is(err, ErrNoneNamed) || got != nil {
			t.Errorf("ParseNames(%q) = %d, %v, want ErrNoneNamed", in, got, err)
		}
	}
}

// What ParseNames gives must be the caller's own.
func TestParseNamesSharesNothing(t *testing.T) {
	first, err := ParseNames("aes")
	if err != nil {
		t.Fatal(err)
	}
	first[0] = 99
	second, err := ParseNames("aes")
	if err != nil || second[0] != AES256CTSHMACSHA196 {
		t.Errorf("after a change to the first list, the second is %d, %v", second, err)
	}
}

func TestStringToKeyParams(t *testing.T) {
	for _, p := range profiles {
		byDefault, err := p.StringToKey("password", "SALT", nil)
		if err != nil {
			t.Fatal(err)
		}
		params := []byte{0, 0, 0x10, 0}
		if p.etm {
			params = []byte{0, 0, 0x80, 0}
		}
		same, err := p.StringToKey("password", "SALT", params)
		if err != nil || !slices.Equal(byDefault, same) {
			t.Errorf("%s: the default count differs from the RFC's: %v", p, err)
		}
		for _, bad := range [][]byte{{0, 0, 0, 0}, {1, 0, 0, 1}, {255, 255, 255, 255}, {1}, {0, 0, 16}, {0, 0, 0, 16, 0}} {
			if key, err := p.StringToKey("password", "SALT", bad); !errors.Is(err, ErrParams) || key != nil {
				t.Errorf("%s: s2kparams %x accepted", p, bad)
			}
		}
	}
	_, err := profiles[0].StringToKey("password", "SALT", []byte{0, 0, 0, 0})
	if err == nil || !strings.Contains(err.Error(), "4294967296") {
		t.Errorf("a count of zero, which means 2^32, is reported as %v", err)
	}
}

func TestWrongKeyLength(t *testing.T) {
	for _, p := range profiles {
		for n := range 2*p.KeySize() + 1 {
			key := make([]byte, n)
			_, cipherErr := p.NewCipher(key, 1)
			_, checksumErr := p.NewChecksum(key, 1)
			_, prfErr := p.PRF(key, nil)
			for _, err := range []error{cipherErr, checksumErr, prfErr} {
				if right := n == p.KeySize(); (err == nil) != right || !right && !errors.Is(err, ErrKeySize) {
					t.Errorf("%s, key of %d bytes: %v", p, n, err)
				}
			}
		}
	}
}

func TestRandomKey(t *testing.T) {
	for _, p := range profiles {
		rand := fastRand()
		a, err := p.RandomKey(rand)
		if err != nil || len(a) != p.KeySize() {
			t.Fatalf("%s: %d bytes, %v", p, len(a), err)
		}
		b, err := p.RandomKey(rand)
		if err != nil || slices.Equal(a, b) {
			t.Errorf("%s: the same key twice, %v", p, err)
		}
		if key, err := p.RandomKey(strings.NewReader("short")); err == nil || key != nil {
			t.Errorf("%s: a key from 5 random bytes", p)
		}
	}
}

// No verb and no encoder may show key bytes.
func TestNothingPrintsKeys(t *testing.T) {
	for _, p := range profiles {
		c := newCipher(t, p, testKey(p), 24)
		k, err := p.NewChecksum(testKey(p), 25)
		if err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%o"} {
			for what, holder := range map[string]any{
				"etype.Cipher(" + p.String() + ")": c, "etype.Checksum(" + p.String() + ")": k,
			} {
				if got := fmt.Sprintf(verb, holder); got != what {
					t.Errorf("%s prints %q", verb, got)
				}
			}
			for what, holder := range map[string]any{
				"{etype.Cipher(" + p.String() + ")}": struct{ C Cipher }{*c}, "{etype.Checksum(" + p.String() + ")}": struct{ C Checksum }{*k},
			} {
				if got := fmt.Sprintf("%v", holder); got != what {
					t.Errorf("within a struct it prints %q", got)
				}
			}
		}
		for _, holder := range []any{c, k} {
			if b, err := json.Marshal(holder); err != nil || string(b) != "{}" {
				t.Errorf("JSON %s, %v", b, err)
			}
		}
	}
}

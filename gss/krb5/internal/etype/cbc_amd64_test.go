//go:build !purego

package etype

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"testing"
)

// FuzzCBC holds the assembly against crypto/cipher's CBC and against the code
// that other platforms run: the same bytes and the same IV for what follows,
// in place and beside, and nothing written past the end.
func FuzzCBC(f *testing.F) {
	if !haveAES {
		f.Skip("left out: the processor has no AES instructions")
	}
	for _, n := range []int{0, 16, 32, 48, 112, 128, 144, 256, 400} {
		f.Add(message(32), message(16), message(n))
		f.Add(message(16), message(16), message(n))
	}
	f.Fuzz(func(t *testing.T, key, iv, data []byte) {
		if len(key) != 16 && len(key) != 32 || len(iv) != aes.BlockSize {
			t.Skip()
		}
		data = data[:len(data)/aes.BlockSize*aes.BlockSize]
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		var k wideKey
		k.setKey(key)
		guard := []byte("these bytes stay as they are")
		room := func() []byte { return append(bytes.Clone(data), guard...) }
		check := func(what string, want, got, wantIV, gotIV []byte) {
			t.Helper()
			if !bytes.Equal(got[:len(data)], want) || !bytes.Equal(got[len(data):], guard) {
				t.Errorf("%s: %x, want %x and the guard", what, got, want)
			}
			if !bytes.Equal(gotIV, wantIV) {
				t.Errorf("%s: the IV that follows is %x, want %x", what, gotIV, wantIV)
			}
		}

		want, next := make([]byte, len(data)), iv
		if len(data) > 0 {
			cipher.NewCBCEncrypter(block, iv).CryptBlocks(want, data)
			next = want[len(want)-aes.BlockSize:]
		}
		got, gotIV := room(), [aes.BlockSize]byte(iv)
		k.encrypt(&gotIV, got[:len(data)])
		check("assembly encrypts", want, got, next, gotIV[:])
		got, gotIV = room(), [aes.BlockSize]byte(iv)
		cbcEncrypt(block, &gotIV, got[:len(data)])
		check("Go encrypts", want, got, next, gotIV[:])

		if next = iv; len(data) > 0 {
			cipher.NewCBCDecrypter(block, iv).CryptBlocks(want, data)
			next = data[len(data)-aes.BlockSize:]
		}
		for what, decrypt := range map[string]func(iv *[aes.BlockSize]byte, dst, src []byte){
			"assembly decrypts": k.decrypt,
			"Go decrypts":       func(iv *[aes.BlockSize]byte, dst, src []byte) { cbcDecrypt(block, iv, dst, src) },
		} {
			got, gotIV = room(), [aes.BlockSize]byte(iv)
			decrypt(&gotIV, got[:len(data)], data)
			check(what+" beside", want, got, next, gotIV[:])
			got, gotIV = room(), [aes.BlockSize]byte(iv)
			decrypt(&gotIV, got[:len(data)], got[:len(data)])
			check(what+" in place", want, got, next, gotIV[:])
		}
	})
}

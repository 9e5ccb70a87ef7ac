package etype

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	gokrb5 "github.com/jcmturner/gokrb5/v8/crypto"
	gokrb5etype "github.com/jcmturner/gokrb5/v8/crypto/etype"
)

func peer(t *testing.T, p *Profile) gokrb5etype.EType {
	t.Helper()
	e, err := gokrb5.GetEtype(int32(p.ID()))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Each side reads what the other wrote. gokrb5 has its crypto from another
// hand, with HMAC, CBC and key derivation of its own.
func TestAgainstGokrb5(t *testing.T) {
	src := fastRand()
	for _, p := range profiles {
		e := peer(t, p)
		for _, usage := range []uint32{1, 2, 3, 7, 11, 12, 22, 23, 24, 25, 1024, 0x80000000, 0xffffffff} {
			key, err := p.RandomKey(src)
			if err != nil {
				t.Fatal(err)
			}
			c := newCipher(t, p, key, usage)
			k, err := p.NewChecksum(key, usage)
			if err != nil {
				t.Fatal(err)
			}
			for n := range 201 {
				plain := message(n)
				ours, err := c.Seal(nil, plain, src)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := e.DecryptMessage(key, ours, usage); err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%s, usage %d, %d bytes: gokrb5 reads %x, %v", p, usage, n, got, err)
				}
				_, theirs, err := e.EncryptMessage(key, plain, usage)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := c.Open(nil, theirs); err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%s, usage %d, %d bytes: of gokrb5's we read %x, %v", p, usage, n, got, err)
				}
				want, err := e.GetChecksumHash(key, plain, usage)
				if err != nil {
					t.Fatal(err)
				}
				if got := k.Sum(nil, plain[:n/2], plain[n/2:]); !bytes.Equal(got, want) {
					t.Fatalf("%s, usage %d, %d bytes: checksum %x, gokrb5 has %x", p, usage, n, got, want)
				}
			}
		}
	}
}

func TestStringToKeyAgainstGokrb5(t *testing.T) {
	r := rand.New(fastRand())
	for _, p := range profiles {
		e := peer(t, p)
		for range 8 {
			password, salt := string(message(r.IntN(80))), "REALM"+string(message(r.IntN(30)))
			params := binary.BigEndian.AppendUint32(nil, 1+r.Uint32N(500))
			want, err := e.StringToKey(password, salt, hex.EncodeToString(params))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := p.StringToKey(password, salt, params); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: key %x, %v, gokrb5 has %x", p, got, err, want)
			}
		}
	}
}

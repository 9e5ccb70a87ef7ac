package etype

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// A BaseKey seals and opens what Ciphers of the same key and usage open and seal.
func TestBaseKey(t *testing.T) {
	for _, p := range profiles {
		var k BaseKey
		if _, err := k.Seal(nil, nil, 11, fastRand()); !errors.Is(err, ErrCleared) {
			t.Errorf("%s: Seal without a key: %v", p, err)
		}
		if err := k.Set(p, testKey(p)); err != nil {
			t.Fatal(err)
		}
		for _, usage := range []uint32{11, 12, 1024} {
			c := newCipher(t, p, testKey(p), usage)
			for _, n := range []int{0, 15, 16, 100} {
				sealed, err := k.Seal([]byte("before"), message(n), usage, fastRand())
				if err != nil {
					t.Fatal(err)
				}
				if got, err := c.Open(nil, sealed[len("before"):]); err != nil || !bytes.Equal(got, message(n)) {
					t.Errorf("%s, usage %d: a Cipher opens %x, %v", p, usage, got, err)
				}
				if sealed, err = c.Seal(nil, message(n), fastRand()); err != nil {
					t.Fatal(err)
				}
				if got, err := k.Open(nil, sealed, usage); err != nil || !bytes.Equal(got, message(n)) {
					t.Errorf("%s, usage %d: opens %x, %v", p, usage, got, err)
				}
				if _, err := k.Open(nil, sealed, usage+1); !errors.Is(err, ErrIntegrity) {
					t.Errorf("%s: opened for usage %d what was sealed for %d: %v", p, usage+1, usage, err)
				}
			}
		}
		if got, want := fmt.Sprintf("%v %+v %#v", k, k, k), fmt.Sprintf("etype.BaseKey(%[1]s) etype.BaseKey(%[1]s) etype.BaseKey(%[1]s)", p); got != want {
			t.Errorf("prints as %q", got)
		}
		k.Clear()
		if _, err := k.Open(nil, make([]byte, p.Overhead()), 11); !errors.Is(err, ErrCleared) {
			t.Errorf("%s: Open after Clear: %v", p, err)
		}
		if err := k.Set(p, testKey(p)[1:]); !errors.Is(err, ErrKeySize) {
			t.Errorf("%s: a key too short: %v", p, err)
		}
		if _, err := k.Seal(nil, nil, 11, fastRand()); !errors.Is(err, ErrCleared) {
			t.Errorf("%s: Seal after Set failed: %v", p, err)
		}
	}
}

// What is shared holds no key when nobody uses it.
func TestBaseKeyLeavesNoKey(t *testing.T) {
	p := lookup(t, AES256CTSHMACSHA384192)
	var k BaseKey
	if err := k.Set(p, testKey(p)); err != nil {
		t.Fatal(err)
	}
	c, err := k.take(11)
	if err != nil {
		t.Fatal(err)
	}
	mac := c.mac
	if bytes.Count(mac, []byte{0}) == len(mac) {
		t.Fatal("no key was derived")
	}
	c.giveBack()
	if bytes.Count(mac, []byte{0}) != len(mac) || c.cbc != (cbcKey{}) {
		t.Error("the keys of one message are still there")
	}
}

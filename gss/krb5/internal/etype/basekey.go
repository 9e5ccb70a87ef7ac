package etype

import (
	"fmt"
	"io"
)

// A BaseKey is a protocol key under which single messages of several usages are
// sealed and opened, as a session key in the AP exchange. Where a [Cipher] is
// made once and used often, this keeps no derived key: each call derives what it
// needs, and wipes it, in memory that is shared by all. The zero value has no
// key, and gives [ErrCleared]. It prints as its enctype, without keys. It is for
// one goroutine at a time.
type BaseKey struct {
	d deriver
}

// Set makes k ready for a protocol key of p's KeySize bytes, which it does not
// keep as it is; a key of another length is [ErrKeySize].
func (k *BaseKey) Set(p *Profile, key []byte) error {
	if err := k.d.setKey(p, key); err != nil {
		k.Clear()
		return err
	}
	return nil
}

// Seal is [Cipher.Seal] under the key for usage.
func (k *BaseKey) Seal(dst, plaintext []byte, usage uint32, rand io.Reader) ([]byte, error) {
	c, err := k.take(usage)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	return c.Seal(dst, plaintext, rand)
}

// Open is [Cipher.Open] under the key for usage.
func (k *BaseKey) Open(dst, ciphertext []byte, usage uint32) ([]byte, error) {
	c, err := k.take(usage)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	return c.Open(dst, ciphertext)
}

func (k *BaseKey) take(usage uint32) (*Cipher, error) {
	p := k.d.p
	if p == nil {
		return nil, ErrCleared
	}
	c, ok := p.once.Get().(*Cipher)
	if !ok {
		c = &Cipher{p: p}
	}
	if err := k.d.fill(c, usage); err != nil {
		return nil, err
	}
	return c, nil
}

// giveBack wipes the keys of a Cipher that was taken.
func (c *Cipher) giveBack() {
	c.cbc.clear()
	clear(c.mac)
	c.p.once.Put(c)
}

// Clear wipes the key as [Cipher.Clear] does.
func (k *BaseKey) Clear() {
	k.d.clear()
	k.d.p = nil
}

// Format prints the enctype, whatever the verb.
func (k BaseKey) Format(f fmt.State, _ rune) {
	if k.d.p == nil {
		fmt.Fprint(f, "etype.BaseKey(none)")
		return
	}
	fmt.Fprintf(f, "etype.BaseKey(%s)", k.d.p.id)
}

package gsstest

import (
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
)

// Keytab returns a keytab in MIT's format, version 2, with every key of every
// version of the principals, oldest first. It fails for one that is not in the
// database. A keytab from before a [Realm.Rekey] lacks the newer version.
func (r *Realm) Keytab(principals ...string) ([]byte, error) {
	b := cryptobyte.NewBuilder([]byte{5, 2})
	now := r.now()
	for _, name := range principals {
		p, err := r.find(name)
		if err != nil {
			return nil, fmt.Errorf("gsstest: keytab: %w", err)
		}
		for _, key := range p.keys {
			b.AddUint32LengthPrefixed(func(b *cryptobyte.Builder) { addKeytabEntry(b, p.name, r.config.Name, now, key) })
		}
	}
	out, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("gsstest: keytab: %w", err)
	}
	return out, nil
}

func addKeytabEntry(b *cryptobyte.Builder, name types.PrincipalName, realm string, now time.Time, key storedKey) {
	text := func(s string) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
	}
	b.AddUint16(uint16(len(name.NameString)))
	text(realm)
	for _, component := range name.NameString {
		text(component)
	}
	b.AddUint32(uint32(name.NameType))
	b.AddUint32(uint32(now.Unix()))
	b.AddUint8(uint8(key.kvno))
	b.AddUint16(uint16(key.Enctype))
	text(string(key.Value))
	b.AddUint32(uint32(key.kvno))
}

package ccache

import (
	"encoding/binary"
	"fmt"

	"github.com/countersign-go/countersign/gss/krb5/internal/localfile"
)

// KCM daemons and keyrings hold principals and credentials one by one, each in the form that it has in a file of version 4.

func entryReader(data []byte) reader {
	return reader{Reader: localfile.Reader{String: data, Order: binary.BigEndian}, ordinal: version4}
}

func unmarshalPrincipal(data []byte) (Principal, error) {
	r := entryReader(data)
	var p Principal
	if !r.principal(&p) || !r.Empty() {
		return Principal{}, fmt.Errorf("%w: %d bytes are no principal", ErrFormat, len(data))
	}
	return p, nil
}

// unmarshalCredential reads a credential, whose slices then lie in data, and appends it to list unless it is marked as removed.
func unmarshalCredential(list []Credential, data []byte) ([]Credential, error) {
	r := entryReader(data)
	var c Credential
	removed, ok := r.credential(&c)
	if !ok || !r.Empty() {
		return nil, fmt.Errorf("%w: %d bytes are no credential", ErrFormat, len(data))
	}
	if removed {
		return list, nil
	}
	return append(list, c), nil
}

func marshalPrincipal(p Principal) ([]byte, error) {
	w := newWriter(version4)
	w.principal(p)
	return w.b, w.err
}

func marshalCredential(c *Credential) ([]byte, error) {
	w := newWriter(version4)
	w.credential(c)
	return w.b, w.err
}

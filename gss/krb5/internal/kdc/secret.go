package kdc

import "slices"

// Secret is what a client proves itself with: a password, or the keys that a
// keytab holds for it. It is used within [Client.AS] only and printing it
// shows neither.
type Secret struct{ s *secret }

type secret struct {
	password string
	keys     []Key // nil: the password
}

// Password makes a secret of a password.
func Password(password string) Secret { return Secret{&secret{password: password}} }

// Keys makes a secret of a principal's keys, those of its newest kvno in a
// keytab. Their encryption types are asked for before others.
func Keys(keys ...Key) Secret { return Secret{&secret{keys: slices.Clone(keys)}} }

// String shows no secret.
func (s Secret) String() string {
	switch {
	case s.s == nil:
		return "no secret"
	case s.s.keys != nil:
		return "keys"
	}
	return "password"
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// MarshalJSON gives what String says.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

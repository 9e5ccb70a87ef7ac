package krb5

import (
	"bytes"
	"errors"
	"testing"
)

// What was in a room is wiped when it is given back, also where the room had to
// grow, and failed additions leave nothing.
func TestSecretRoom(t *testing.T) {
	r := takeSecretRoom(16)
	first, err := r.add(func(dst []byte) ([]byte, error) { return append(dst, "first secret"...), nil })
	ok(t, err)
	if _, err := r.add(func([]byte) ([]byte, error) { return nil, errKeyLength }); !errors.Is(err, errKeyLength) {
		t.Errorf("a failure became %v", err)
	}
	second, err := r.add(func(dst []byte) ([]byte, error) {
		return append(dst, bytes.Repeat([]byte("long"), maxSecretRoom)...), nil
	})
	ok(t, err)
	if string(first) != "first secret" || !bytes.HasPrefix(second, []byte("longlong")) || len(second) != 4*maxSecretRoom {
		t.Fatalf("the room holds %q and %.20q", first, second)
	}
	r.giveBack()
	if !zero(first) || !zero(second) {
		t.Error("secrets are still there")
	}
}

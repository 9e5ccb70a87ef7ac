package krb5

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// mitProxyToken is the beginning of the first token of MIT's gss-client
// -iakerb, with a message cut to two octets.
const mitProxyToken = "\x60\x1a\x06\x06\x2b\x06\x01\x05\x02\x05\x05\x01\x30\x0c\xa1\x0a\x04\x08MIT.TEST"

func TestProxyToken(t *testing.T) {
	message := "\x6a\x00"
	want := mitProxyToken + message
	got, err := (&proxyToken{realm: "MIT.TEST", message: []byte(message)}).marshal(true)
	if err != nil || string(got) != want {
		t.Errorf("%x, want %x: %v", got, want, err)
	}
	tokens := map[string]proxyToken{
		want:                               {realm: "MIT.TEST", message: []byte(message)},
		want[10:]:                          {realm: "MIT.TEST", message: []byte(message)},
		"\x05\x01\x30\x04\xa1\x02\x0c\x00": {utf8: true, message: []byte{}},
		"\x05\x01\x30\x0c\xa1\x03\x0c\x01R\xa2\x05\x04\x03abcmsg":                     {realm: "R", utf8: true, cookie: []byte("abc"), message: []byte("msg")},
		"\x05\x01\x30\x11\xa1\x03\x0c\x01R\xa2\x05\x04\x03abc\xa3\x03\x02\x01\x07msg": {realm: "R", utf8: true, cookie: []byte("abc"), message: []byte("msg")},
	}
	for token, want := range tokens {
		p, ok, err := parseProxyToken([]byte(token))
		if err != nil || !ok || p.realm != want.realm || p.utf8 != want.utf8 || !bytes.Equal(p.cookie, want.cookie) || !bytes.Equal(p.message, want.message) {
			t.Errorf("%x: %+v, %v, %v", token, p, ok, err)
		}
		// A prefix is malformed, no proxy token, or has a shorter message.
		for n := range token {
			q, ok, err := parseProxyToken([]byte(token[:n]))
			if err == nil && ok && (token[0] == 0x60 || n < len(token)-len(p.message) || !bytes.HasPrefix(p.message, q.message)) {
				t.Errorf("the first %d octets of %x: %+v", n, token, q)
			}
		}
	}
	for _, bad := range []string{
		"\x05\x01",
		"\x05\x01\x30\x00",
		"\x05\x01\x31\x04\xa1\x02\x0c\x00",
		"\x05\x01\x30\x04\xa2\x02\x0c\x00",
		"\x05\x01\x30\x04\xa1\x02\x13\x00",
		"\x05\x01\x30\x05\xa1\x03\x0c\x00\x00",
		"\x05\x01\x30\x09\xa1\x02\x0c\x00\xa2\x03\x05\x01a",
		"\x05\x01\x30\x05\xa1\x02\x0c\x00\xa3",
		"\x05\x01\x30\x84\xff\xff\xff\xff",
		"\x60\x02\x06\x00",
		"\x60\x0d\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x05\x01",
		"\x05\x01\x30\x82\x02\x08\xa1\x82\x02\x04\x04\x82\x02\x00" + strings.Repeat("R", 512),
	} {
		if p, ok, err := parseProxyToken([]byte(bad)); err == nil {
			t.Errorf("%x: %+v, %v", bad, p, ok)
		}
	}
}

func FuzzProxyToken(f *testing.F) {
	f.Add([]byte(mitProxyToken + "\x6a\x00"))
	f.Add([]byte(mitProxyToken[10:] + "\x6a\x00"))
	f.Add([]byte("\x05\x01\x30\x11\xa1\x03\x0c\x01R\xa2\x05\x04\x03abc\xa3\x03\x02\x01\x07msg"))
	f.Fuzz(func(t *testing.T, token []byte) {
		p, ok, err := parseProxyToken(token)
		if err != nil || !ok {
			return
		}
		if len(p.realm)+len(p.cookie)+len(p.message) > len(token) {
			t.Fatalf("more than %d octets of %d", len(p.realm)+len(p.cookie)+len(p.message), len(token))
		}
		for _, framed := range []bool{true, false} {
			again, err := p.marshal(framed)
			if err != nil {
				t.Fatal(err)
			}
			q, ok, err := parseProxyToken(again)
			if err != nil || !ok || q.realm != p.realm || q.utf8 != p.utf8 || !bytes.Equal(q.cookie, p.cookie) || !bytes.Equal(q.message, p.message) {
				t.Fatalf("%+v became %+v, %v", p, q, err)
			}
		}
	})
}

// TestFinished alters each octet of the extension that vouches for the
// conversation, and cuts it everywhere.
func TestFinished(t *testing.T) {
	profile, err := etype.Lookup(20)
	if err != nil {
		t.Fatal(err)
	}
	key := bytes.Repeat([]byte{7}, profile.KeySize())
	conversation := []byte("what both said")
	good, err := (&initiateHandshake{session: profile, subkey: key, conversation: conversation}).finished()
	if err != nil {
		t.Fatal(err)
	}
	check := func(extensions []byte) error {
		h := &acceptHandshake{mech: gss.MechIAKERB, conversation: conversation}
		h.auth.SubKey = &kmsg.EncryptionKey{Type: 20, Value: key}
		return h.checkFinished(extensions)
	}
	if err := check(good); err != nil {
		t.Fatal(err)
	}
	if err := check(slices.Concat([]byte("\x00\x00\x00\x09\x00\x00\x00\x02??"), good)); err != nil {
		t.Error("with an unknown extension:", err)
	}
	for i := range good {
		if check(good[:i]) == nil {
			t.Errorf("the first %d of %d octets are accepted", i, len(good))
		}
		for bit := range 8 {
			altered := slices.Clone(good)
			altered[i] ^= 1 << bit
			if check(altered) == nil {
				t.Errorf("accepted with bit %d of octet %d altered", bit, i)
			}
		}
	}
	conversation = append(conversation, '!')
	if check(good) == nil {
		t.Error("another conversation is accepted")
	}
	noKey := &acceptHandshake{mech: gss.MechIAKERB, conversation: conversation}
	if noKey.checkFinished(good) == nil {
		t.Error("accepted without a subkey")
	}
}

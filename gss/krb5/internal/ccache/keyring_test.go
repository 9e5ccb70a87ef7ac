package ccache

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestKeyringNames(t *testing.T) {
	for residual, want := range map[string]keyring{
		"name":                   {legacyAnchor, "name", ""},
		"session:name":           {sessionAnchor, "name", ""},
		"persistent:1000":        {persistentAnchor, "1000", ""},
		"persistent:":            {persistentAnchor, "", ""},
		"user:name:krb_ccache_x": {userAnchor, "name", "krb_ccache_x"},
		"process:a:b:c":          {processAnchor, "a", "b:c"},
	} {
		got, err := parseKeyring(residual)
		if got != want || err != nil {
			t.Errorf("%s: %v, %v", residual, got, err)
		}
		if _, _, single := collection("KEYRING:" + residual); single != (want.cache == "") {
			t.Errorf("%s is a collection: %t", residual, single)
		}
	}
	for _, bad := range []string{"anywhere:name", "session:name:", "session:a\x00b", ":name"} {
		if got, err := parseKeyring(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestKeyringPrimary(t *testing.T) {
	good := marshalPrimary("tkt")
	if want := "\x00\x00\x00\x01\x00\x00\x00\x03tkt"; string(good) != want {
		t.Errorf("%q, want %q", good, want)
	}
	if got, err := parsePrimary(good); got != "tkt" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for i := range good {
		if got, err := parsePrimary(good[:i]); err == nil {
			t.Errorf("the first %d bytes give %q", i, got)
		}
	}
	if _, err := parsePrimary(append(good, 'x')); !errors.Is(err, ErrFormat) {
		t.Errorf("a byte more: %v", err)
	}
	binary.BigEndian.PutUint32(good, 2)
	if _, err := parsePrimary(good); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2: %v", err)
	}
	for _, offset := range []time.Duration{0, -90*time.Second - 5*time.Microsecond, time.Hour + 999_999*time.Microsecond} {
		b := marshalOffsets(offset)
		if got, err := parseOffsets(b); got != offset || err != nil {
			t.Errorf("offset %v became %v, %v", offset, got, err)
		}
		if _, err := parseOffsets(b[:7]); err == nil {
			t.Error("an offset cut off is taken")
		}
	}
}

// What other programs put into keys is read, or refused, and written again as it was.
func FuzzEntries(f *testing.F) {
	cred := credential("a", 18, 2_000_000_000)
	one, err := marshalCredential(&cred)
	if err != nil {
		f.Fatal(err)
	}
	principal, err := marshalPrincipal(cred.Client)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(one)
	f.Add(principal)
	f.Add(marshalPrimary("tkt"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := unmarshalPrincipal(data); err == nil {
			if again, err := marshalPrincipal(p); err != nil || !slices.Equal(again, data) {
				t.Fatalf("principal %x became %x, %v", data, again, err)
			}
		}
		if creds, err := unmarshalCredential(nil, data); err == nil && len(creds) == 1 {
			if again, err := marshalCredential(&creds[0]); err != nil || !slices.Equal(again, data) {
				t.Fatalf("credential %x became %x, %v", data, again, err)
			}
		}
		if name, err := parsePrimary(data); err == nil && !slices.Equal(marshalPrimary(name), data) {
			t.Fatalf("primary name %q was %x", name, data)
		}
	})
}

func TestEntryPrefixes(t *testing.T) {
	cred := credential("a", 18, 2_000_000_000)
	one, err := marshalCredential(&cred)
	if err != nil {
		t.Fatal(err)
	}
	for i := range one {
		if got, err := unmarshalCredential(nil, one[:i]); err == nil {
			t.Errorf("the first %d of %d bytes give %v", i, len(one), got)
		}
	}
	for _, bad := range []string{"", "x", strings.Repeat("\xff", 100)} {
		if p, err := unmarshalPrincipal([]byte(bad)); err == nil {
			t.Errorf("%x gives %v", bad, p)
		}
	}
}

package gss_test

import (
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
)

// An OID may come from the peer in a token of any length. One of several
// mebioctets would take hours to read as a number, and its text fill the log.
func TestLongOID(t *testing.T) {
	for _, tt := range []struct {
		octets int
		valid  bool
	}{
		{127, true},
		{128, false},
		{16 << 20, false},
	} {
		oid := gss.OID("\x2a" + strings.Repeat("\x81", tt.octets-2) + "\x01")
		if oid.Valid() != tt.valid {
			t.Errorf("OID of %d octets: valid %t, want %t", tt.octets, oid.Valid(), tt.valid)
		}
		for _, text := range []string{oid.String(), oid.Braces(), oid.Name()} {
			if len(text) > 400 || strings.Contains(text, "malformed") == tt.valid {
				t.Errorf("OID of %d octets: text of %d characters, %.40q", tt.octets, len(text), text)
			}
		}
	}
}

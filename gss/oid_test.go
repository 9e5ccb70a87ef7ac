package gss_test

import (
	"encoding/asn1"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
)

func TestParseOID(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want gss.OID
	}{
		{"1.2.840.113554.1.2.2", gss.MechKrb5},
		{" 1.2.840.113554.1.2.2\n", gss.MechKrb5},
		{"{ 1 2 840 113554 1 2 2 }", gss.MechKrb5},
		{"{1 2 840 113554 1 2 2}", gss.MechKrb5},
		{"{  1\t2 840 113554 1 2  2 }", gss.MechKrb5},
		{"1.3.6.1.5.5.2", gss.MechSPNEGO},
		{"0.0", "\x00"},
		{"0.39", "\x27"},
		{"1.39", "\x4f"},
		{"2.0", "\x50"},
		{"2.47", "\x7f"},
		{"2.48", "\x81\x00"},
		{"2.999.3", "\x88\x37\x03"}, // X.690, section 8.19.5
		{"1.2.127", "\x2a\x7f"},
		{"1.2.128", "\x2a\x81\x00"},
		{"1.2.18446744073709551616", "\x2a\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00"}, // past 64 bits
	} {
		if got, err := gss.ParseOID(tt.in); err != nil || got != tt.want {
			t.Errorf("ParseOID(%q) = %x, %v, want %x", tt.in, string(got), err, string(tt.want))
		}
	}
	longest := "1.2" + strings.Repeat(".1", 126)
	if got, err := gss.ParseOID(longest); err != nil || len(got) != 127 || got.String() != longest {
		t.Errorf("the longest OID: %d octets, %v", len(got), err)
	}
	for _, in := range []string{
		"", " ", "1", "{ 1 }", "{}", "1.", ".1", "1..2", "1.2.", "3.1", "0.40", "1.40", "1.2.x", "1.2.-3", "1.2.+3", "01.2", "1.2.03",
		"1.2 3", "{ 1.2.3 }", "{ 1 2", "1 2 }", "1 2 3", "1.2.٣", "kerberos",
		longest + ".1", "1.2." + strings.Repeat("9", 1000),
	} {
		if got, err := gss.ParseOID(in); err == nil {
			t.Errorf("ParseOID(%.40q) = %s", in, got)
		}
	}
}

func TestOIDText(t *testing.T) {
	for _, tt := range []struct {
		oid                  gss.OID
		valid                bool
		dotted, braces, name string
	}{
		{gss.MechKrb5, true, "1.2.840.113554.1.2.2", "{ 1 2 840 113554 1 2 2 }", "kerberos_v5"},
		{gss.MechSPNEGO, true, "1.3.6.1.5.5.2", "{ 1 3 6 1 5 5 2 }", "spnego"},
		{gss.MechIAKERB, true, "1.3.6.1.5.2.5", "{ 1 3 6 1 5 2 5 }", "iakerb"},
		{gss.NTHostbasedService, true, "1.2.840.113554.1.2.1.4", "{ 1 2 840 113554 1 2 1 4 }", "1.2.840.113554.1.2.1.4"},
		{gss.NTUserName, true, "1.2.840.113554.1.2.1.1", "{ 1 2 840 113554 1 2 1 1 }", "1.2.840.113554.1.2.1.1"},
		{gss.NTKrb5Principal, true, "1.2.840.113554.1.2.2.1", "{ 1 2 840 113554 1 2 2 1 }", "1.2.840.113554.1.2.2.1"},
		{gss.NTAnonymous, true, "1.3.6.1.5.6.3", "{ 1 3 6 1 5 6 3 }", "1.3.6.1.5.6.3"},
		{gss.NTExportName, true, "1.3.6.1.5.6.4", "{ 1 3 6 1 5 6 4 }", "1.3.6.1.5.6.4"},
		{"", false, "malformed OID ", "malformed OID ", "malformed OID "},
		{"\x2a\x86", false, "malformed OID 2a86", "malformed OID 2a86", "malformed OID 2a86"},           // ends within an arc
		{"\x2a\x80\x01", false, "malformed OID 2a8001", "malformed OID 2a8001", "malformed OID 2a8001"}, // not minimal
		{"\x80\x01", false, "malformed OID 8001", "malformed OID 8001", "malformed OID 8001"},
	} {
		if got := tt.oid.Valid(); got != tt.valid {
			t.Errorf("%x: valid %t", string(tt.oid), got)
		}
		if got := tt.oid.String(); got != tt.dotted {
			t.Errorf("String of %x: %q, want %q", string(tt.oid), got, tt.dotted)
		}
		if got := tt.oid.Braces(); got != tt.braces {
			t.Errorf("Braces of %x: %q, want %q", string(tt.oid), got, tt.braces)
		}
		if got := tt.oid.Name(); got != tt.name {
			t.Errorf("Name of %x: %q, want %q", string(tt.oid), got, tt.name)
		}
	}
	if long := gss.OID(strings.Repeat("\x01", 128)); long.Valid() {
		t.Error("an OID of 128 octets is valid")
	}
}

func TestParseMechanism(t *testing.T) {
	for in, want := range map[string]gss.OID{
		"kerberos_v5":              gss.MechKrb5,
		"krb5":                     gss.MechKrb5,
		" KRB5 ":                   gss.MechKrb5,
		"spnego":                   gss.MechSPNEGO,
		"iakerb":                   gss.MechIAKERB,
		"1.3.6.1.5.5.2":            gss.MechSPNEGO,
		"{ 1 2 840 113554 1 2 2 }": gss.MechKrb5,
		"1.2.3.4":                  mechFake, // not known, but well-formed
	} {
		if got, err := gss.ParseMechanism(in); err != nil || got != want {
			t.Errorf("ParseMechanism(%q) = %s, %v", in, got, err)
		}
	}
	_, err := gss.ParseMechanism("ntlm")
	if !errors.Is(err, gss.ErrBadMech) {
		t.Errorf("an unknown name gives %v", err)
	}
	for _, known := range []string{`"ntlm"`, "kerberos_v5 (1.2.840.113554.1.2.2)", "spnego (1.3.6.1.5.5.2)"} {
		if err == nil || !strings.Contains(err.Error(), known) {
			t.Errorf("the error does not name %s: %v", known, err)
		}
	}
}

// FuzzParseOID holds texts to a round trip and to encoding/asn1.
func FuzzParseOID(f *testing.F) {
	for _, s := range []string{"1.2.840.113554.1.2.2", "{ 1 3 6 1 5 5 2 }", "2.999.3", "0.40", "1.2.18446744073709551616"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		oid, err := gss.ParseOID(s)
		if err != nil {
			if oid != "" {
				t.Fatalf("%q gave %x beside %v", s, string(oid), err)
			}
			return
		}
		if !oid.Valid() {
			t.Fatalf("%q gave the malformed %x", s, string(oid))
		}
		for _, text := range []string{oid.String(), oid.Braces()} {
			if again, err := gss.ParseOID(text); err != nil || again != oid {
				t.Fatalf("%q gave %x, whose text %q gave %x, %v", s, string(oid), text, string(again), err)
			}
		}
	})
}

// FuzzOID takes octets as an OID. What encoding/asn1 reads is valid and has the
// same arcs; what is valid has a text that is read as the same.
func FuzzOID(f *testing.F) {
	for _, oid := range []gss.OID{gss.MechKrb5, gss.MechSPNEGO, "\x88\x37\x03", "\x2a\x80\x01", "\x2a\x86"} {
		f.Add([]byte(oid))
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		oid := gss.OID(octets)
		if oid.Valid() {
			if again, err := gss.ParseOID(oid.String()); err != nil || again != oid {
				t.Fatalf("%x has the text %q, which gave %x, %v", octets, oid, string(again), err)
			}
		}
		if len(octets) > 127 {
			return
		}
		var other asn1.ObjectIdentifier
		rest, err := asn1.Unmarshal(slices.Concat([]byte{6, byte(len(octets))}, octets), &other)
		if err == nil && len(rest) == 0 && (!oid.Valid() || oid.String() != other.String()) {
			t.Fatalf("%x: valid %t, %s, encoding/asn1 reads %s", octets, oid.Valid(), oid, other)
		}
	})
}

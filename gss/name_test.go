package gss_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
)

// Exported names of RFC 2743, section 3.2, octet for octet as MIT's
// gss_export_name gives them.
var exportedNames = []struct {
	text string
	mech gss.OID
	typ  gss.OID
	blob string
}{
	{"alice@EXAMPLE.ORG", gss.MechKrb5, gss.NTKrb5Principal,
		"0401" + "000b" + "06092a864886f712010202" + "00000011" + "616c696365404558414d504c452e4f5247"},
	{"host/server.example@EXAMPLE.ORG", gss.MechKrb5, gss.NTKrb5Principal,
		"0401" + "000b" + "06092a864886f712010202" + "0000001f" + "686f73742f7365727665722e6578616d706c65404558414d504c452e4f5247"},
	{"someone", mechFake, gss.NTExportName, "0401" + "0005" + "06032a0304" + "00000007" + "736f6d656f6e65"},
}

func TestExportedNames(t *testing.T) {
	for _, tt := range exportedNames {
		name := gss.MechanismName(tt.mech, tt.typ, tt.text)
		blob, err := name.Export()
		if err != nil || hex.EncodeToString(blob) != tt.blob {
			t.Errorf("Export of %s: %x, %v, want %s", tt.text, blob, err, tt.blob)
		}
		again, err := gss.ImportName(string(blob), gss.NTExportName)
		if err != nil || again != name || !again.Equal(name) || again.Mechanism() != tt.mech {
			t.Errorf("ImportName of %s: %v of %s, %v", tt.blob, again, again.Mechanism(), err)
		}
		for n := range blob {
			if got, err := gss.ImportName(string(blob[:n]), gss.NTExportName); !errors.Is(err, gss.ErrBadName) || !got.IsZero() {
				t.Errorf("the first %d octets of %s: %v, %v", n, tt.blob, got, err)
			}
		}
		if got, err := gss.ImportName(string(blob)+"x", gss.NTExportName); !errors.Is(err, gss.ErrBadName) {
			t.Errorf("%s with an octet more: %v, %v", tt.blob, got, err)
		}
	}
	for what, blob := range map[string]string{
		"another token":            "0402" + "0005" + "06032a0304" + "00000001" + "61",
		"not an OID":               "0401" + "0005" + "04032a0304" + "00000001" + "61",
		"OID too short":            "0401" + "0005" + "06022a0304" + "00000001" + "61",
		"OID ends in an arc":       "0401" + "0005" + "06032a0384" + "00000001" + "61",
		"empty OID":                "0401" + "0002" + "0600" + "00000001" + "61",
		"name longer than there":   "0401" + "0005" + "06032a0304" + "ffffffff" + "61",
		"name shorter than is":     "0401" + "0005" + "06032a0304" + "00000000" + "61",
		"OID length past the blob": "0401" + "ffff" + "06032a0304" + "00000001" + "61",
	} {
		if got, err := gss.ImportName(unhex(t, blob), gss.NTExportName); !errors.Is(err, gss.ErrBadName) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		text string
		typ  gss.OID
		err  error
	}{
		{"host@server.example", gss.NTHostbasedService, nil},
		{"alice", gss.NTUserName, nil},
		{"alice@EXAMPLE.ORG", gss.NTKrb5Principal, nil},
		{"", gss.NTUserName, gss.ErrBadName},
		{"", gss.NTHostbasedService, gss.ErrBadName},
		{"", gss.NTExportName, gss.ErrBadName},
		{strings.Repeat("a", 64<<10), gss.NTUserName, nil},
		{strings.Repeat("a", 64<<10+1), gss.NTUserName, gss.ErrBadName},
		{"alice", mechFake, gss.ErrBadNameType},
		{"alice", "", gss.ErrBadNameType},
	} {
		name, err := gss.ImportName(tt.text, tt.typ)
		if !errors.Is(err, tt.err) {
			t.Errorf("ImportName(%.20q, %s): %v, want %v", tt.text, tt.typ, err, tt.err)
		}
		if err != nil {
			if !name.IsZero() {
				t.Errorf("ImportName(%.20q, %s) gave %v beside %v", tt.text, tt.typ, name, err)
			}
			continue
		}
		if text, typ := name.Display(); text != tt.text || typ != tt.typ || name.String() != tt.text || name.Mechanism() != "" {
			t.Errorf("%.20q, %s is shown as %.20q, %s", tt.text, tt.typ, text, typ)
		}
		if blob, err := name.Export(); !errors.Is(err, gss.ErrNameNotMN) || blob != nil {
			t.Errorf("Export of a name that is no MN: %x, %v", blob, err)
		}
	}
	if name, err := gss.ImportName("", gss.NTAnonymous); err != nil || name.IsZero() {
		t.Errorf("the anonymous name: %v, %v", name, err)
	}
	if !(gss.Name{}).IsZero() {
		t.Error("the zero Name is a name")
	}
}

func TestNameEqual(t *testing.T) {
	anonymous, err := gss.ImportName("", gss.NTAnonymous)
	if err != nil {
		t.Fatal(err)
	}
	mn := func(text string) gss.Name { return gss.MechanismName(gss.MechKrb5, gss.NTKrb5Principal, text) }
	for _, tt := range []struct {
		a, b gss.Name
		want bool
	}{
		{gss.HostService("host@server.example"), gss.HostService("host@SERVER.Example"), true},
		{gss.HostService("host@server.example"), gss.HostService("HOST@server.example"), false},
		{gss.HostService("host@a"), gss.HostService("host@b"), false},
		{gss.HostService("host"), gss.HostService("host"), true},
		{gss.HostService("host"), gss.HostService("host@"), false},
		{gss.HostService("host"), gss.HostService("host@a"), false},
		{gss.UserName("alice"), gss.UserName("alice"), true},
		{gss.UserName("alice"), gss.UserName("Alice"), false},
		{gss.UserName("host@a"), gss.HostService("host@a"), false},
		{mn("alice@R"), mn("alice@R"), true},
		{mn("alice@R"), mn("alice@r"), false},
		{mn("alice@R"), gss.MechanismName(mechFake, gss.NTKrb5Principal, "alice@R"), false},
		{mn("alice@R"), must(t)(gss.ImportName("alice@R", gss.NTKrb5Principal)), false},
		{anonymous, anonymous, false}, // RFC 2743, section 2.4.3: never equal, not even to itself
	} {
		if got := tt.a.Equal(tt.b); got != tt.want {
			t.Errorf("%v and %v: %t", tt.a, tt.b, got)
		}
		if got := tt.b.Equal(tt.a); got != tt.want {
			t.Errorf("%v and %v: %t", tt.b, tt.a, got)
		}
	}
}

func must(t testing.TB) func(gss.Name, error) gss.Name {
	return func(n gss.Name, err error) gss.Name {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// FuzzImportExportedName: what can be imported exports to the same octets, so
// that comparing those compares names.
func FuzzImportExportedName(f *testing.F) {
	for _, tt := range exportedNames {
		blob, err := hex.DecodeString(tt.blob)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(blob)
		f.Add(blob[:len(blob)-1])
	}
	f.Add([]byte("\x04\x01\x00\x05\x06\x03\x2a\x03\x04\xff\xff\xff\xffa"))
	f.Fuzz(func(t *testing.T, blob []byte) {
		name, err := gss.ImportName(string(blob), gss.NTExportName)
		if err != nil {
			if !errors.Is(err, gss.ErrBadName) || !name.IsZero() {
				t.Fatalf("%x: %v, %v", blob, name, err)
			}
			return
		}
		if name.Mechanism() == "" {
			t.Fatalf("%x gave a name that is no MN", blob)
		}
		if again, err := name.Export(); err != nil || !bytes.Equal(again, blob) {
			t.Fatalf("%x exports as %x, %v", blob, again, err)
		}
	})
}

package krb5_test

import (
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/gss/krb5"
)

func profileWithRealm(t *testing.T, realm string) *krb5.Profile {
	t.Helper()
	p, err := krb5.ReadProfile(writeFile(t, "krb5.conf", []byte("[libdefaults]\ndefault_realm = "+realm+
		"\ndns_canonicalize_hostname = false\nrdns = false\n[domain_realm]\nlocalhost = "+realm+"\n")))
	must(t, err)
	return p
}

// TestExportedNames has what gss_export_name of MIT krb5 1.20.1 gave for
// imported and canonicalised names, the default realm being A.B.C. Both sides'
// exported names can be kept in one access list.
func TestExportedNames(t *testing.T) {
	profile := profileWithRealm(t, "A.B.C")
	const header = "0401000b06092a864886f712010202000000"
	tests := []struct {
		typ    gss.OID
		text   string
		shown  string
		export string // behind the header
	}{
		{gss.NTKrb5Principal, "alice@MIT.TEST", "alice@MIT.TEST", "0e616c696365404d49542e54455354"},
		{gss.NTKrb5Principal, "host/localhost@MIT.TEST", "host/localhost@MIT.TEST", "17686f73742f6c6f63616c686f7374404d49542e54455354"},
		{gss.NTHostbasedService, "host@localhost", "host/localhost@A.B.C", "14686f73742f6c6f63616c686f737440412e422e43"},
		{gss.NTKrb5Principal, "alice", "alice@A.B.C", "0b616c69636540412e422e43"},
		{gss.NTUserName, "alice", "alice@A.B.C", "0b616c69636540412e422e43"},
		{gss.NTKrb5Principal, `a\/b\@c\\d/e@MIT.TEST`, `a\/b\@c\\d/e@MIT.TEST`, "15615c2f625c40635c5c642f65404d49542e54455354"},
		{gss.NTKrb5Principal, `tab\tnl\n@R`, `tab\tnl\n@R`, "0b7461625c746e6c5c6e4052"},
		{gss.NTKrb5Principal, "tab\tx@R", `tab\tx@R`, "087461625c74784052"},
		{gss.NTKrb5Principal, `\a\l\ice@R`, "alice@R", "07616c6963654052"},
		{gss.NTKrb5Principal, "sp ace@R", "sp ace@R", "087370206163654052"},
		{gss.NTKrb5Principal, "é@R", "é@R", "04c3a94052"},
		{gss.NTKrb5Principal, `a@R\@S`, `a@R\@S`, "066140525c4053"},
		{gss.NTKrb5Principal, "a/@R", "a/@R", "04612f4052"},
		{gss.NTKrb5Enterprise, "alice@upn.example", `alice\@upn.example@A.B.C`, "18616c6963655c4075706e2e6578616d706c6540412e422e43"},
		{gss.NTKrb5Enterprise, "alice@upn.example@MIT.TEST", `alice\@upn.example@MIT.TEST`, "1b616c6963655c4075706e2e6578616d706c65404d49542e54455354"},
		{gss.NTKrb5Enterprise, "alice/x@upn", `alice\/x\@upn@A.B.C`, "13616c6963655c2f785c4075706e40412e422e43"},
		{gss.NTKrb5Enterprise, "alice", "alice@A.B.C", "0b616c69636540412e422e43"},
		{gss.NTKrb5Enterprise, `a\@b@c@d`, `a\@b\@c@d`, "09615c40625c40634064"},
		{gss.NTKrb5Enterprise, "a@b@c/d", `a\@b@c\/d`, "09615c406240635c2f64"},
	}
	for _, tt := range tests {
		name, err := gss.ImportName(tt.text, tt.typ)
		must(t, err)
		mn, err := profile.Canonicalize(t.Context(), name)
		if err != nil || mn.String() != tt.shown {
			t.Errorf("%q: %q, %v", tt.text, mn, err)
			continue
		}
		blob, err := mn.Export()
		if got := hex.EncodeToString(blob); err != nil || got != header+tt.export {
			t.Errorf("%q exports as %s, %v", tt.text, got, err)
		}
		back, err := gss.ImportName(string(blob), gss.NTExportName)
		if err != nil || back != mn {
			t.Errorf("%q comes back as %q, %v", tt.text, back, err)
		}
		again, err := profile.Canonicalize(t.Context(), back)
		if err != nil || again != mn {
			t.Errorf("%q canonicalised twice: %q, %v", tt.text, again, err)
		}
	}
	for _, bad := range []struct {
		typ  gss.OID
		text string
	}{{gss.NTKrb5Principal, "a@b@c"}, {gss.NTKrb5Enterprise, "a@b@c@d"}, {gss.NTKrb5Principal, `a\`}, {gss.NTKrb5Principal, "a@R/S"}, {gss.NTHostbasedService, "@h"}} {
		name, err := gss.ImportName(bad.text, bad.typ)
		must(t, err)
		if mn, err := profile.Canonicalize(t.Context(), name); !errors.Is(err, gss.ErrBadName) {
			t.Errorf("%q: %q, %v", bad.text, mn, err)
		}
	}
}

// A host-based service without a host's name is the local host's, and a port in
// the name has no say in its realm: what MIT's gss_canonicalize_name makes of both.
func TestHostbasedForms(t *testing.T) {
	profile := profileWithRealm(t, "A.B.C")
	local, err := os.Hostname()
	must(t, err)
	canonical := func(text string) string {
		t.Helper()
		name, err := profile.Canonicalize(t.Context(), gss.HostService(text))
		must(t, err)
		return name.String()
	}
	for text, want := range map[string]string{
		"http@":                 canonical("http@" + local),
		"http":                  canonical("http@" + local),
		"mssql@localhost:1433":  "mssql/localhost:1433@A.B.C",
		"mssql@LOCALHOST.:Inst": "mssql/localhost:Inst@A.B.C",
	} {
		if got := canonical(text); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	if name, err := profile.Canonicalize(t.Context(), gss.HostService("mssql@:1433")); !errors.Is(err, gss.ErrBadName) {
		t.Errorf("a port without a host: %v, %v", name, err)
	}

	// To accept for, "service@" is the local host alone, and "service" any.
	s := newSetup(t)
	must(t, s.realm.AddService("http/elsewhere.example"))
	principal, _, _ := strings.Cut(canonical("http@"), "@")
	must(t, s.realm.AddService(principal))
	for _, tt := range []struct {
		name, key string
		ok        bool
	}{
		{"http@", principal, true},
		{"http@", "http/elsewhere.example", false},
		{"http", "http/elsewhere.example", true},
	} {
		data, err := s.realm.Keytab(tt.key)
		must(t, err)
		keytab, err := krb5.ParseKeytab(data)
		must(t, err)
		_, err = krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Name: gss.HostService(tt.name), Keytab: keytab, Profile: profile})
		if ok := err == nil; ok != tt.ok || !ok && !errors.Is(err, gss.ErrNoCred) {
			t.Errorf("%s with the key of %s: %v", tt.name, tt.key, err)
		}
	}
}

// TestEnterpriseName gets a ticket by an enterprise name and a password, and
// shows the principal to a service.
func TestEnterpriseName(t *testing.T) {
	mit := mitrealm.New(t, mitrealm.Config{Users: map[string]string{`alice\@upn.example`: "alicepw"}})
	profile, err := krb5.ReadProfile(mit.ConfigFile)
	must(t, err)
	keytab, err := krb5.OpenKeytab(mit.KeytabFile)
	must(t, err)
	name, err := gss.ImportName("alice@upn.example", gss.NTKrb5Enterprise)
	must(t, err)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Name: name, Password: "alicepw", Profile: profile})
	must(t, err)
	const want = `alice\@upn.example@MIT.TEST`
	if got := cred.Name().String(); got != want {
		t.Errorf("credential of %s", got)
	}
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	must(t, err)
	a := (&setup{profile: profile, keytab: keytab}).acceptor(t)
	_, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service)})
	if got := ac.Inquire().Initiator.String(); got != want {
		t.Errorf("initiator %s", got)
	}
	if p, err := krb5.PACOf(ac.Inquire()); err != nil || p.Client.Name != "alice@upn.example" {
		t.Errorf("%+v, %v", p, err)
	}
	// "alice@upn.example" without that type is of another realm.
	plain, err := profile.Canonicalize(t.Context(), gss.UserName("alice@upn.example"))
	if err != nil || plain.String() != "alice@upn.example" {
		t.Errorf("%s, %v", plain, err)
	}
}

func TestLocalName(t *testing.T) {
	s := newSetup(t)
	a := s.acceptor(t)
	for principal, want := range map[string]string{
		"alice@TEST.EXAMPLE":          "alice",
		"host/localhost@TEST.EXAMPLE": "",
		"alice@OTHER.EXAMPLE":         "",
		`al\@ice@TEST.EXAMPLE`:        "al@ice",
		`alice\@upn@TEST.EXAMPLE`:     "alice@upn",
	} {
		name, err := gss.ImportName(principal, gss.NTKrb5Principal)
		must(t, err)
		got, err := a.LocalName(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", principal, got, err)
		}
	}
	if got, err := a.LocalName(gss.HostService(service)); !errors.Is(err, gss.ErrBadNameType) {
		t.Errorf("a host's service: %q, %v", got, err)
	}
}

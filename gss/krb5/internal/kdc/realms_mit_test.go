package kdc

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// crossRealms serves realms A, B and C, where A and B trust each other, and B
// and C. All know each other's KDCs; capaths leads from A to C over B.
func crossRealms(t *testing.T) map[string]*mitRealm {
	t.Helper()
	realms := map[string]*mitRealm{}
	section := "[realms]\n"
	for _, name := range []string{"A", "B", "C"} {
		r := newMITRealm(t, name+".TEST", "")
		realms[name] = r
		section += fmt.Sprintf(" %s = {\n  kdc = 127.0.0.1:%d\n }\n", r.name, r.port)
	}
	for name, r := range realms {
		file := filepath.Join(r.dir, "krb5.conf")
		libdefaults, _, _ := strings.Cut(readFile(t, file), "[realms]")
		r.write("krb5.conf", libdefaults+section+`[domain_realm]
 .b.example = B.TEST
[capaths]
 A.TEST = {
  C.TEST = B.TEST
  B.TEST = .
 }
`)
		for _, pair := range []string{"A B", "B A", "B C", "C B"} {
			if from, to, _ := strings.Cut(pair, " "); from == name || to == name {
				r.admin(fmt.Sprintf("addprinc -pw shared-%s-%s krbtgt/%s.TEST@%s.TEST", from, to, to, from))
			}
		}
		r.admin("addprinc -pw alicepw alice", fmt.Sprintf("addprinc -randkey host/www.%s.example", strings.ToLower(name)))
		r.serve()
	}
	return realms
}

func TestCrossRealm(t *testing.T) {
	realms := crossRealms(t)
	a := realms["A"]
	c := &Client{Profile: a.profile("")}
	tgt, err := c.AS(t.Context(), a.user("alice"), Password("alicepw"), ASOptions{})
	if err != nil {
		t.Fatal(err)
	}
	host := func(name, realm string) Principal {
		return Principal{Type: NTSrvHst, Components: []string{"host", name}, Realm: realm}
	}
	for _, x := range []struct {
		why            string
		service        Principal
		realm          string
		err            string
		withoutCapaths bool
	}{
		{why: "realm given", service: host("www.b.example", "B.TEST"), realm: "B.TEST"},
		{why: "the KDC refers by its domain_realm", service: host("www.b.example", ""), realm: "B.TEST"},
		{why: "over a realm between", service: host("www.c.example", "C.TEST"), realm: "C.TEST"},
		{why: "the realm between is found by the KDC", service: host("www.c.example", "C.TEST"), realm: "C.TEST", withoutCapaths: true},
		{why: "unknown there", service: host("none.b.example", "B.TEST"), err: "Server host/none.b.example@B.TEST not found in Kerberos database"},
		{why: "unknown everywhere", service: host("none.a.example", ""), err: "Server host/none.a.example@A.TEST not found in Kerberos database"},
		{why: "no such realm", service: host("www.d.example", "D.TEST"), err: "Server krbtgt/D.TEST@A.TEST not found in Kerberos database"},
	} {
		c := c
		if x.withoutCapaths {
			text := readFile(t, filepath.Join(a.dir, "krb5.conf"))
			text, _, _ = strings.Cut(text, "[capaths]")
			c = &Client{Profile: parseProfile(t, text)}
		}
		got, err := c.TGS(t.Context(), tgt, x.service, TGSOptions{})
		if x.err != "" {
			wantError(t, err, x.err, -1765328377)
			continue
		}
		if err != nil || got.Server.Realm != x.realm || got.Client.Realm != "A.TEST" {
			t.Errorf("%s: ticket for %v to %v, %v", x.why, got.Client, got.Server, err)
		}
	}
}

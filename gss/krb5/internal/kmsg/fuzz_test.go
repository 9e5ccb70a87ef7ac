package kmsg

import (
	"bytes"
	"reflect"
	"testing"
)

// fuzz asserts for one kind of message: what is read can be written, and is
// then stable; nothing takes memory out of proportion to the input.
func fuzz(f *testing.F, names ...string) {
	messages := readRecorded(f).byKind()
	var tested []kind
	for _, k := range kinds() {
		for _, name := range names {
			if k.name != name {
				continue
			}
			tested = append(tested, k)
			for i := range k.samples {
				if der := k.der(f, i); len(der) < 4096 {
					f.Add(der)
				}
			}
			if der, ok := messages[name]; ok {
				f.Add(der)
			}
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		before := bytes.Clone(der)
		for _, k := range tested {
			checkStable(t, k, der)
		}
		if !bytes.Equal(der, before) {
			t.Error("the input was changed")
		}
	})
}

func FuzzParseAPReq(f *testing.F)         { fuzz(f, "AP-REQ", "Ticket") }
func FuzzParseAPRep(f *testing.F)         { fuzz(f, "AP-REP", "EncAPRepPart") }
func FuzzParseTicketPart(f *testing.F)    { fuzz(f, "EncTicketPart", "AuthorizationData") }
func FuzzParseAuthenticator(f *testing.F) { fuzz(f, "Authenticator") }
func FuzzParseKRBError(f *testing.F)      { fuzz(f, "KRB-ERROR") }
func FuzzParseKRBCred(f *testing.F)       { fuzz(f, "KRB-CRED", "EncKrbCredPart") }

func FuzzParsePrincipal(f *testing.F) {
	for _, s := range []string{"alice@EXAMPLE", "host/server.example", `a\/b\@c\\\n\0@R\@S`, "", "@", "a@b@c", `a\`, "krbtgt/R@R", "\xff/é@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, realm, err := ParsePrincipal(s)
		if err != nil {
			if n.Components != nil || realm != "" {
				t.Errorf("%q: an error, and %v %q", s, n, realm)
			}
			return
		}
		if len(n.Components) == 0 || len(n.Components) > MaxComponents {
			t.Errorf("%q: %d components", s, len(n.Components))
		}
		again, againRealm, err := ParsePrincipal(Unparse(n, realm))
		if err != nil || !reflect.DeepEqual(n, again) || realm != againRealm {
			t.Errorf("%q: %v %q became %v %q, %v", s, n, realm, again, againRealm, err)
		}
		der, err := (&Ticket{Realm: realm, SName: n}).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if tkt, err := ParseTicket(der); err != nil || !reflect.DeepEqual(tkt.SName, n) || tkt.Realm != realm {
			t.Errorf("%q: %v became %v, %v", s, n, tkt.SName, err)
		}
	})
}

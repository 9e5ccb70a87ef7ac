//go:build !purego

// Under the build tag purego Go's own FIPS 140 module is refused by Go: crypto/internal/fips140/check panics at the start of a
// process that asks for it.

package krb5_test

import (
	"bytes"
	"crypto/fips140"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// Under GODEBUG=fips140=only, which is fixed at a process's start, contexts of
// the enctypes 19 and 20 work, and what needs SHA-1 or MD5 is an error.
func TestFIPS140Only(t *testing.T) {
	if !fips140.Enforced() {
		self, err := os.Executable()
		must(t, err)
		cmd := exec.Command(self, "-test.run=^TestFIPS140Only$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFIPS140Only")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	for _, enctype := range []int32{19, 20} {
		s := newSetup(t, enctype)
		i, a := s.initiator(t), s.acceptor(t)
		ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service), Flags: gss.DefaultFlags | gss.Delegation})
		exchange(t, ic, ac)
		exchange(t, ac, ic)

		_, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Name: gss.UserName("alice"), Password: "secret", Profile: s.profile})
		must(t, err)

		b := &gss.ChannelBindings{ApplicationData: []byte("tls-exporter:0123")}
		bound, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService(service), Bindings: b})
		must(t, err)
		if _, err := bound.Step(nil); err == nil || !strings.Contains(err.Error(), "MD5") {
			t.Errorf("initiating with channel bindings: %v", err)
		}
		ac, err = a.Accept(b)
		must(t, err)
		sent := forgery{auth: func(auth *kmsg.Authenticator) { auth.Checksum.Value[4] = 1 }}.make(t, s.realm) // a Bnd field
		if _, err := ac.Step(sent); err == nil || !strings.Contains(err.Error(), "MD5") {
			t.Errorf("accepting with channel bindings: %v", err)
		}
	}
}

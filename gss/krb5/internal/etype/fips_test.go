//go:build !purego

// Under the build tag purego Go's own FIPS 140 module is refused by Go: crypto/internal/fips140/check panics at the start of a
// process that asks for it.

package etype

import (
	"bytes"
	"crypto/fips140"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// With SHA-1 forbidden, the enctypes that need it are refused, not a panic in
// the middle of a message, and the others work. The mode is fixed at the
// start of a process, so the test runs itself in one.
func TestFIPS140Only(t *testing.T) {
	if !fips140.Enforced() {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "-test.run=^TestFIPS140Only$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFIPS140Only")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	for _, id := range []ID{AES128CTSHMACSHA196, AES256CTSHMACSHA196} {
		var refused *UnsupportedError
		if p, err := Lookup(id); p != nil || !errors.As(err, &refused) || !strings.Contains(err.Error(), "aes256-sha2") {
			t.Errorf("Lookup(%s) = %v, %v", id, p, err)
		}
	}
	for _, id := range []ID{AES128CTSHMACSHA256128, AES256CTSHMACSHA384192} {
		p := lookup(t, id)
		key, err := p.StringToKey("a password that is long", "REALMuser", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.PRF(key, nil); err != nil {
			t.Error(err)
		}
		c := newCipher(t, p, key, 24)
		sealed, err := c.Seal(nil, message(100), fastRand())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Open(nil, sealed); err != nil || !bytes.Equal(got, message(100)) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

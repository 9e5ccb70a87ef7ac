package krb5_test

import (
	"bytes"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/peers"
)

// derived is what both ends compute from a context without a token: session
// key, pseudo-random octets, size limits.
func (s *stage) derived(t *testing.T) {
	s.bothRoles(t, func(t *testing.T, i gss.Initiator, a gss.Acceptor) {
		for _, flags := range []gss.Flags{gss.DefaultFlags, gss.Integrity | gss.Confidentiality} {
			ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service), Flags: flags})
			ik, err := ic.SessionKey()
			must(t, err)
			ak, err := ac.SessionKey()
			must(t, err)
			if !bytes.Equal(ik, ak) {
				t.Errorf("flags %s: the session keys differ: %d and %d octets", flags, len(ik), len(ak))
			}
			s.samePRF(t, ic, ac, flags)
			s.sameLimits(t, ic, ac)
			s.acceptorSubkey(t, ic, ac, flags)
		}
	})
}

func (s *stage) samePRF(t *testing.T, ic, ac gss.Context, flags gss.Flags) {
	t.Helper()
	if !s.isC() {
		return
	}
	for _, key := range []gss.PRFKey{gss.PRFKeyFull, gss.PRFKeyPartial} {
		if s.program.Implementation == peers.Heimdal && key == gss.PRFKeyFull && flags&gss.Mutual == 0 {
			continue // Heimdal's full key is the acceptor's subkey or none
		}
		for _, input := range []string{"", "input", string(bytes.Repeat([]byte("long "), 100))} {
			// A block is 16, 32 or 48 octets.
			for _, n := range []int{1, 16, 31, 32, 33, 48, 49, 500} {
				i, err := ic.PseudoRandom(key, []byte(input), n)
				must(t, err)
				a, err := ac.PseudoRandom(key, []byte(input), n)
				must(t, err)
				if len(i) != n || !bytes.Equal(i, a) {
					t.Errorf("key %d, %d octets of input, %d of output: %x and %x", key, len(input), n, i, a)
				}
			}
		}
	}
}

// sameLimits: Java leaves room for padding that AES does not have, and may be
// more careful than this library, but not less.
func (s *stage) sameLimits(t *testing.T, ic, ac gss.Context) {
	t.Helper()
	for _, seal := range []bool{true, false} {
		for _, size := range []int{0, 1, 16, 28, 44, 60, 61, 76, 100, 1000, 65536, 1 << 20} {
			i, err := ic.WrapSizeLimit(size, seal)
			must(t, err)
			a, err := ac.WrapSizeLimit(size, seal)
			must(t, err)
			ours, theirs := i, a
			if _, ok := ic.(*peers.Context); ok {
				ours, theirs = a, i
			}
			if ours != theirs && (s.isC() || ours < theirs) {
				t.Errorf("seal %t, limit %d: %d, the peer's %d", seal, size, ours, theirs)
			}
		}
	}
}

// acceptorSubkey: with mutual authentication the acceptor asserts a key of its
// own, and every token says so (RFC 4121, section 4.2.2); Java's asserts none.
func (s *stage) acceptorSubkey(t *testing.T, ic, ac gss.Context, flags gss.Flags) {
	t.Helper()
	_, theirs := ac.(*peers.Context)
	want := flags&gss.Mutual != 0 && !(theirs && s.program.Implementation == peers.Java)
	for _, c := range []gss.Context{ic, ac} {
		token, err := c.Wrap(nil, []byte("message"), true)
		must(t, err)
		if got := token[2]&4 != 0; got != want {
			t.Errorf("%T: token flags %02x, acceptor subkey wanted: %t", c, token[2], want)
		}
	}
}

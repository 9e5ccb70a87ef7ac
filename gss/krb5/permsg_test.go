package krb5

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
)

var enctypes = []etype.ID{etype.AES128CTSHMACSHA196, etype.AES256CTSHMACSHA196, etype.AES128CTSHMACSHA256128, etype.AES256CTSHMACSHA384192}

// newProtectionPair is both ends of an established context, without the
// handshake.
func newProtectionPair(t testing.TB, id etype.ID, flags gss.Flags, subkey bool) (initiator, acceptor *protection) {
	t.Helper()
	profile, err := etype.Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	key, err := profile.RandomKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg := protectionConfig{initiator: true, flags: flags, profile: profile, key: key, acceptorSubkey: subkey, sendSeq: 100, recvSeq: 200}
	initiator = newProtection(cfg)
	cfg.initiator, cfg.key, cfg.sendSeq, cfg.recvSeq = false, slices.Clone(key), 200, 100
	return initiator, newProtection(cfg)
}

func wrapOrFail(t testing.TB, p *protection, msg string, seal bool) []byte {
	t.Helper()
	token, err := p.wrap(nil, []byte(msg), seal, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestRotation accepts any right rotation count (RFC 4121, section 4.2.5).
func TestRotation(t *testing.T) {
	for _, id := range enctypes {
		for _, seal := range []bool{true, false} {
			i, a := newProtectionPair(t, id, 0, true)
			token := wrapOrFail(t, i, "a message", seal)
			body := token[headerSize:]
			for _, rrc := range []int{1, 12, 16, 28, len(body) - 1, len(body), len(body) + 3, 0xffff} {
				rotated := slices.Clone(token)
				rotated[6], rotated[7] = byte(rrc>>8), byte(rrc)
				n := rrc % len(body)
				copy(rotated[headerSize:], body[len(body)-n:])
				copy(rotated[headerSize+n:], body[:len(body)-n])
				msg, sealed, err := a.unwrap(nil, rotated)
				if err != nil || string(msg) != "a message" || sealed != seal {
					t.Errorf("%s, sealed %t, RRC %d: %q, %t, %v", id, seal, rrc, msg, sealed, err)
				}
			}
		}
	}
}

// TestExtraCount accepts filler between message and header copy, which this
// end never sends (RFC 4121, section 4.2.4).
func TestExtraCount(t *testing.T) {
	for _, id := range enctypes {
		i, a := newProtectionPair(t, id, 0, true)
		for _, ec := range []uint16{1, 15, 16, 300} {
			token := wrapWithExtra(t, i, "a message", ec)
			if msg, _, err := a.unwrap(nil, token); err != nil || string(msg) != "a message" {
				t.Errorf("%s, EC %d: %q, %v", id, ec, msg, err)
			}
			token[4], token[5] = 0xff, 0xff
			if msg, _, err := a.unwrap(nil, token); !errors.Is(err, gss.ErrDefectiveToken) || msg != nil {
				t.Errorf("%s, EC past the token's end: %q, %v", id, msg, err)
			}
		}
	}
}

// TestDCERotation: in DCE style a sealed token with a rotation count is rotated
// by EC octets more (MS-KILE, section 3.4.5.4.1), and only there.
func TestDCERotation(t *testing.T) {
	const ec, rrc = 16, 28
	for _, id := range enctypes {
		for _, flags := range []gss.Flags{gss.DCEStyle, 0} {
			i, a := newProtectionPair(t, id, flags, true)
			token := wrapWithExtra(t, i, "a message", ec)
			body := token[headerSize:]
			for _, by := range []int{rrc, rrc + ec} {
				rotated := slices.Clone(token)
				rotated[7] = rrc
				copy(rotated[headerSize:], body[len(body)-by:])
				copy(rotated[headerSize+by:], body[:len(body)-by])
				msg, _, err := a.unwrap(nil, rotated)
				if want := flags != 0 == (by == rrc+ec); want != (err == nil) || want && string(msg) != "a message" {
					t.Errorf("%s, flags %s, rotated by %d: %q, %v", id, flags, by, msg, err)
				}
			}
		}
	}
}

// wrapWithExtra seals a message with filler between it and the header's copy.
func wrapWithExtra(t testing.TB, p *protection, msg string, ec uint16) []byte {
	t.Helper()
	header := make([]byte, headerSize)
	putHeader(header, tokWrap, p.sendFlags|flagSealed, ec, 0, p.sendSeq.Add(1)-1)
	plain := slices.Concat([]byte(msg), bytes.Repeat([]byte{0x5a}, int(ec)), header)
	cipher, err := p.cipher(sent)
	if err != nil {
		t.Fatal(err)
	}
	token, err := cipher.Seal(header, plain, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestAlteredTokens flips every bit of every octet and cuts tokens at every
// length: none gives a message.
func TestAlteredTokens(t *testing.T) {
	for _, id := range enctypes {
		i, a := newProtectionPair(t, id, 0, true)
		mic, err := i.mic(nil, []byte("a message"))
		if err != nil {
			t.Fatal(err)
		}
		for name, token := range map[string][]byte{
			"sealed": wrapOrFail(t, i, "a message", true),
			"signed": wrapOrFail(t, i, "a message", false),
			"MIC":    mic,
		} {
			check := func(altered []byte, what string) {
				dst := make([]byte, 3, 200)
				var msg []byte
				var err error
				if name == "MIC" {
					err = a.verifyMIC([]byte("a message"), altered)
				} else {
					msg, _, err = a.unwrap(dst, altered)
				}
				if !errors.Is(err, gss.ErrBadMIC) && !errors.Is(err, gss.ErrDefectiveToken) || msg != nil {
					t.Errorf("%s, %s, %s: %q, %v", id, name, what, msg, err)
				}
				if bytes.Contains(dst[:cap(dst)], []byte("message")) {
					t.Errorf("%s, %s, %s: the message is left in the buffer", id, name, what)
				}
			}
			for n := range token {
				check(token[:n], fmt.Sprintf("first %d octets", n))
				for bit := range 8 {
					if n == 2 && bit >= 3 {
						continue // unknown flags are to be ignored, and are authenticated
					}
					altered := slices.Clone(token)
					altered[n] ^= 1 << bit
					check(altered, fmt.Sprintf("octet %d, bit %d", n, bit))
				}
			}
			check(append(slices.Clone(token), 0), "one octet more")
		}
	}
}

// TestWrongDirectionAndKey refuses tokens that come back to their sender and
// those whose flags name another key than the one agreed on.
func TestWrongDirectionAndKey(t *testing.T) {
	i, a := newProtectionPair(t, 18, 0, true)
	token := wrapOrFail(t, i, "a message", true)
	if _, _, err := i.unwrap(nil, token); !errors.Is(err, gss.ErrBadMIC) || !errors.Is(err, errTokenReflected) {
		t.Errorf("a reflected token: %v", err)
	}
	i.sendFlags &^= flagAcceptorSubkey
	if _, _, err := a.unwrap(nil, wrapOrFail(t, i, "a message", true)); !errors.Is(err, errTokenSubkey) {
		t.Errorf("no acceptor-subkey flag: %v", err)
	}
	i, a = newProtectionPair(t, 18, 0, false)
	i.sendFlags |= flagAcceptorSubkey
	if _, _, err := a.unwrap(nil, wrapOrFail(t, i, "a message", true)); !errors.Is(err, errTokenSubkey) {
		t.Errorf("acceptor-subkey flag without subkey: %v", err)
	}
}

// TestSequenceStatus holds every per-message call against RFC 2743's
// supplementary status: a duplicate or old token gives no message, one out of
// sequence or after a gap gives it beside the status.
func TestSequenceStatus(t *testing.T) {
	const both = gss.ReplayDetection | gss.Sequencing
	for _, seal := range []bool{true, false} {
		i, a := newProtectionPair(t, 18, both, true)
		var tokens [][]byte
		for n := range 100 {
			tokens = append(tokens, wrapOrFail(t, i, fmt.Sprint(n), seal))
		}
		for _, s := range []struct {
			n    int
			want gss.Major
		}{{0, 0}, {0, gss.ErrDuplicateToken}, {2, gss.ErrGapToken}, {1, gss.ErrUnseqToken}, {3, 0}, {99, gss.ErrGapToken}, {4, gss.ErrOldToken}} {
			msg, _, err := a.unwrap(nil, tokens[s.n])
			if s.want == 0 && err != nil || s.want != 0 && !errors.Is(err, s.want) {
				t.Errorf("token %d: %v, want %v", s.n, err, s.want)
			}
			given := s.want == 0 || s.want == gss.ErrGapToken || s.want == gss.ErrUnseqToken
			if given && string(msg) != fmt.Sprint(s.n) || !given && msg != nil {
				t.Errorf("token %d (%v) gives %q", s.n, s.want, msg)
			}
		}
	}
	i, a := newProtectionPair(t, 18, both, true)
	mic, _ := i.mic(nil, []byte("m"))
	if err := a.verifyMIC([]byte("m"), mic); err != nil {
		t.Error(err)
	}
	if err := a.verifyMIC([]byte("m"), mic); !errors.Is(err, gss.ErrDuplicateToken) {
		t.Errorf("a MIC twice: %v", err)
	}
}

// TestConcurrentMessages uses one context from many goroutines: every token
// has a number of its own and is good.
func TestConcurrentMessages(t *testing.T) {
	i, a := newProtectionPair(t, 18, gss.ReplayDetection, true)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			var token, msg []byte
			for n := range 50 {
				var err error
				if token, err = i.wrap(token[:0], fmt.Append(nil, g, n), n%2 == 0, rand.Reader); err != nil {
					t.Error(err)
				}
				if msg, _, err = a.unwrap(msg[:0], token); err != nil && !errors.Is(err, gss.ErrOldToken) || err == nil && string(msg) != fmt.Sprint(g, n) {
					t.Errorf("%q: %v", msg, err)
				}
			}
		})
	}
	wg.Wait()
	if got := i.sendSeq.Load(); got != 100+8*50 {
		t.Errorf("%d sequence numbers used", got-100)
	}
}

// TestNoAllocation: per-message calls with buffers of one's own allocate
// nothing.
func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	for _, id := range enctypes {
		i, a := newProtectionPair(t, id, gss.DefaultFlags, true)
		msg := bytes.Repeat([]byte("m"), 1000)
		token, out := make([]byte, 0, 2000), make([]byte, 0, 2000)
		got := testing.AllocsPerRun(100, func() {
			for _, seal := range []bool{true, false} {
				token, _ = i.wrap(token[:0], msg, seal, systemRandom{})
				out, _, _ = a.unwrap(out[:0], token)
			}
			token, _ = i.mic(token[:0], msg)
			_ = a.verifyMIC(msg, token)
		})
		if got != 0 {
			t.Errorf("%s: %v allocations", id, got)
		}
	}
}

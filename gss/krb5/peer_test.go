package krb5_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/gss/gsstest/peers"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/spnego"
)

func TestPeerMIT(t *testing.T)     { testPeer(t, peers.MIT) }
func TestPeerHeimdal(t *testing.T) { testPeer(t, peers.Heimdal) }
func TestPeerJava(t *testing.T)    { testPeer(t, peers.Java) }

// A stage is a realm in which this library and another one talk.
type stage struct {
	*setup
	program    *peers.Program
	peer       *peers.Peer
	httpKeytab *krb5.Keytab // of http/localhost, which the peer has no key of
	mech       gss.OID      // Kerberos, bare or negotiated by SPNEGO
}

// isC reports whether the peer is a C library. Java has no DCE style, PRF and
// error tokens, and stores no credentials.
func (s *stage) isC() bool { return s.program.Implementation != peers.Java }

// testPeer shows that this library and a peer's understand each other.
func testPeer(t *testing.T, implementation peers.Implementation) {
	t.Parallel()
	program := peers.Build(t, implementation)
	for _, enctype := range allEnctypes {
		t.Run(fmt.Sprintf("enctype=%d", enctype), func(t *testing.T) {
			s := newStage(t, program, enctype)
			t.Run("contexts", s.contexts)
			t.Run("derived", s.derived)
			t.Run("sequence", s.sequence)
			if implementation == peers.MIT {
				t.Run("rotated", s.rotated)
			}
			t.Run("delegation", s.delegation)
		})
	}
	t.Run("MIT KDC", func(t *testing.T) {
		s := newMITStage(t, program)
		t.Run("contexts", s.contexts)
		t.Run("delegation", s.delegation)
	})
	t.Run("SPNEGO", func(t *testing.T) {
		s := newStage(t, program, 18)
		s.mech = gss.MechSPNEGO
		t.Run("contexts", s.contexts)
		t.Run("derived", s.derived)
		t.Run("sequence", s.sequence)
		t.Run("bindings", s.bindings)
	})
	s := newStage(t, program, 18)
	t.Run("bindings", s.bindings)
	if implementation == peers.MIT {
		t.Run("assertion", s.assertion)
	}
	t.Run("names", s.names)
	t.Run("skew", s.skew)
	t.Run("wrong service", s.wrongService)
	t.Run("replay", s.replay)
}

// peerConf comes before the realm's krb5.conf. Heimdal asks for the SHA-2
// enctypes only where it is told to.
const peerConf = `[libdefaults]
	default_etypes = aes256-cts-hmac-sha384-192 aes128-cts-hmac-sha256-128 aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96
	udp_preference_limit = 1465
`

func newStage(t *testing.T, program *peers.Program, enctype int32) *stage {
	t.Helper()
	s := &stage{setup: newSetup(t, enctype), program: program, mech: gss.MechKrb5}
	must(t, s.realm.AddService("http/localhost"))
	kt, err := s.realm.Keytab("http/localhost")
	must(t, err)
	s.httpKeytab, err = krb5.ParseKeytab(kt)
	must(t, err)
	s.peer = s.startPeer(t, "host/localhost")
	return s
}

// newMITStage is a stage whose tickets are of MIT's KDC.
func newMITStage(t *testing.T, program *peers.Program) *stage {
	t.Helper()
	realm := mitrealm.New(t, mitrealm.Config{Name: "TEST.EXAMPLE", Services: []string{"host/localhost", "http/localhost"}})
	realm.Kinit("alice")
	s := &stage{setup: &setup{}, program: program, mech: gss.MechKrb5}
	var err error
	s.profile, err = krb5.ReadProfile(realm.ConfigFile)
	must(t, err)
	s.cache, err = krb5.OpenCache(realm.CCacheFile)
	must(t, err)
	s.keytab, err = krb5.OpenKeytab(realm.KeytabFile)
	must(t, err)
	s.httpKeytab = s.keytab
	s.peer = program.Start(t, realm.Env())
	return s
}

// startPeer starts the peer with a cache of alice's and the keys of services.
func (s *stage) startPeer(t *testing.T, services ...string) *peers.Peer {
	t.Helper()
	return s.startPeerWith(t, peerConf, services...)
}

// startPeerWith is startPeer with something else before the realm's krb5.conf.
func (s *stage) startPeerWith(t *testing.T, prologue string, services ...string) *peers.Peer {
	t.Helper()
	conf := append([]byte(prologue), s.realm.Krb5Conf()...)
	cache, err := s.realm.CCache("alice")
	must(t, err)
	keytab, err := s.realm.Keytab(services...)
	must(t, err)
	return s.program.Start(t, peers.Env(os.Environ(),
		writeFile(t, "krb5.conf", conf), writeFile(t, "ccache", cache), writeFile(t, "keytab", keytab), t.TempDir()))
}

func (s *stage) peerInitiator() gss.Initiator { return s.peer.Initiator(s.mech) }
func (s *stage) peerAcceptor() gss.Acceptor   { return s.peer.Acceptor(s.mech, service) }

// bothRoles runs test with this library as initiator, then as acceptor.
func (s *stage) bothRoles(t *testing.T, test func(t *testing.T, i gss.Initiator, a gss.Acceptor)) {
	t.Run("ours to theirs", func(t *testing.T) { test(t, negotiated(t, s.mech, s.initiator(t)), s.peerAcceptor()) })
	t.Run("theirs to ours", func(t *testing.T) { test(t, s.peerInitiator(), negotiating(t, s.mech, s.acceptor(t))) })
}

// negotiated is an initiator that offers its mechanism by SPNEGO, where mech is
// that.
func negotiated(t *testing.T, mech gss.OID, i gss.Initiator) gss.Initiator {
	t.Helper()
	if mech != gss.MechSPNEGO {
		return i
	}
	n, err := spnego.NewInitiator(i)
	must(t, err)
	return n
}

// negotiating is the same of an acceptor.
func negotiating(t *testing.T, mech gss.OID, a gss.Acceptor) gss.Acceptor {
	t.Helper()
	if mech != gss.MechSPNEGO {
		return a
	}
	n, err := spnego.NewAcceptor(a)
	must(t, err)
	return n
}

// contexts are of every kind, and messages of every kind go both ways.
func (s *stage) contexts(t *testing.T) {
	s.bothRoles(t, func(t *testing.T, i gss.Initiator, a gss.Acceptor) {
		const base = gss.Confidentiality | gss.Integrity
		for _, flags := range []gss.Flags{
			gss.DefaultFlags,
			base,
			base | gss.Sequencing,
			base | gss.Mutual | gss.ReplayDetection,
			gss.DefaultFlags | gss.DCEStyle,
			base | gss.DCEStyle | gss.Mutual,
		} {
			if flags&gss.DCEStyle != 0 && !s.isC() {
				continue
			}
			ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service), Flags: flags})
			s.checkInfo(t, ic, flags)
			s.checkInfo(t, ac, flags)
			exchange(t, ic, ac)
			s.bridgeHeimdalGap(t, ic, ac, flags)
			exchange(t, ac, ic)
		}
		ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service)})
		exchangeLarge(t, ic, ac)
		exchangeLarge(t, ac, ic)
	})
}

// checkInfo holds what an end tells of a context against what was asked for.
func (s *stage) checkInfo(t *testing.T, c gss.Context, flags gss.Flags) {
	t.Helper()
	const (
		order = gss.ReplayDetection | gss.Sequencing
		asked = gss.Confidentiality | gss.Integrity | gss.Mutual | gss.DCEStyle | order
	)
	info := c.Inquire()
	got := info.Flags & asked
	if s.program.Implementation == peers.Java && flags&order != 0 {
		// To Java one is the other: where it initiates it asks for both.
		got, flags = got|order, flags|order
	}
	if got != flags {
		t.Errorf("%T: flags %s, want %s", c, got, flags)
	}
	if info.Initiator.String() != "alice@TEST.EXAMPLE" || info.Acceptor.String() != "host/localhost@TEST.EXAMPLE" {
		t.Errorf("%T: %s to %s", c, info.Initiator, info.Acceptor)
	}
}

// bridgeHeimdalGap sends the message that Heimdal's initiator misses. Without
// mutual authentication an acceptor has no way to tell its first sequence number
// and begins with the initiator's: so do MIT's, Java's and even Heimdal's. But
// Heimdal's initiator expects 0, and reports a gap before the first message.
func (s *stage) bridgeHeimdalGap(t *testing.T, ic, ac gss.Context, flags gss.Flags) {
	t.Helper()
	_, initiates := ic.(*peers.Context)
	if s.program.Implementation != peers.Heimdal || !initiates || flags&gss.Mutual != 0 || flags&gss.Sequencing == 0 {
		return
	}
	token, err := ac.Wrap(nil, []byte("lost"), true)
	must(t, err)
	if _, _, err := ic.Unwrap(nil, token); !errors.Is(err, gss.ErrGapToken) {
		t.Errorf("Heimdal's initiator, of the acceptor's first message: %v", err)
	}
}

// exchangeLarge sends 1 MiB, sealed and in the clear.
func exchangeLarge(t *testing.T, from, to gss.Context) {
	t.Helper()
	msg := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for _, seal := range []bool{true, false} {
		token, err := from.Wrap(nil, msg, seal)
		must(t, err)
		got, sealed, err := to.Unwrap(nil, token)
		if err != nil || sealed != seal || !bytes.Equal(got, msg) {
			t.Errorf("1 MiB, sealed %t: %d octets, sealed %t, %v", seal, len(got), sealed, err)
		}
	}
}

// rotated: tokens of MIT's gss_wrap_iov, which carry what others have at their
// end behind the header, in DCE style by a count of its own. Heimdal's gss_wrap
// rotates so as well.
func (s *stage) rotated(t *testing.T) {
	s.bothRoles(t, func(t *testing.T, i gss.Initiator, a gss.Acceptor) {
		for _, flags := range []gss.Flags{gss.DefaultFlags, gss.DefaultFlags | gss.DCEStyle} {
			ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service), Flags: flags})
			ours, theirs := ic, ac
			if _, ok := ours.(*peers.Context); ok {
				ours, theirs = ac, ic
			}
			peer := theirs.(*peers.Context)
			for _, size := range []int{1, 15, 16, 17, 4096} {
				for _, seal := range []bool{true, false} {
					msg := bytes.Repeat([]byte("m"), size)
					token, err := peer.WrapIOV(msg, seal)
					must(t, err)
					got, sealed, err := ours.Unwrap(nil, token)
					if err != nil || sealed != seal || !bytes.Equal(got, msg) {
						t.Errorf("flags %s, %d octets, sealed %t: %d octets, sealed %t, %v", flags, size, seal, len(got), sealed, err)
					}
				}
			}
		}
	})
}

// sequence: a gap, a late token and a duplicate are what they are to both.
func (s *stage) sequence(t *testing.T) {
	s.bothRoles(t, func(t *testing.T, i gss.Initiator, a gss.Acceptor) {
		const all = gss.Mutual | gss.Confidentiality | gss.Integrity
		for _, flags := range []gss.Flags{all | gss.ReplayDetection | gss.Sequencing, all | gss.ReplayDetection} {
			ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service), Flags: flags})
			s.disorder(t, ic, ac)
			s.disorder(t, ac, ic)
		}
	})
}

// disorder delivers the second of three tokens after the third, and it and the
// first once more.
func (s *stage) disorder(t *testing.T, from, to gss.Context) {
	t.Helper()
	var tokens [3][]byte
	for i := range tokens {
		var err error
		tokens[i], err = from.Wrap(nil, []byte{byte(i)}, true)
		must(t, err)
	}
	const duplicate = gss.ErrDuplicateToken
	gap, late := gss.ErrGapToken, gss.ErrUnseqToken
	if to.Inquire().Flags&gss.Sequencing == 0 {
		gap, late = 0, 0
	}
	for _, tt := range []struct {
		token int
		want  gss.Major
	}{{0, 0}, {0, duplicate}, {2, gap}, {1, late}, {1, duplicate}, {0, duplicate}} {
		msg, _, err := to.Unwrap(nil, tokens[tt.token])
		given := tt.want != duplicate
		if _, ok := to.(*peers.Context); ok {
			switch s.program.Implementation {
			case peers.Heimdal:
				// Heimdal gives no message beside a status, and forgets
				// what came before a gap: late tokens and duplicates
				// from there are a failure to it.
				if given = tt.want == 0; tt.token == 1 || tt.token == 0 && errors.Is(err, gss.ErrFailure) {
					tt.want, given = gss.ErrFailure, false
				}
			default:
				given = true // beside a duplicate, too
			}
		}
		if tt.want == 0 && err != nil || tt.want != 0 && !errors.Is(err, tt.want) {
			t.Errorf("%T, token %d: %v, want %v", to, tt.token, err, tt.want)
		}
		if want := []byte{byte(tt.token)}; bytes.Equal(msg, want) != given {
			t.Errorf("%T, token %d: message %x", to, tt.token, msg)
		}
	}
}

package krb5_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/peers"
)

func TestPeerMIT(t *testing.T)     { testPeer(t, peers.MIT) }
func TestPeerHeimdal(t *testing.T) { testPeer(t, peers.Heimdal) }
func TestPeerJava(t *testing.T)    { testPeer(t, peers.Java) }

// A stage is a realm in which this library and another one talk.
type stage struct {
	*setup
	program *peers.Program
	peer    *peers.Peer
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
			t.Run("delegation", s.delegation)
		})
	}
	s := newStage(t, program, 18)
	t.Run("bindings", s.bindings)
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
	s := &stage{setup: newSetup(t, enctype), program: program}
	must(t, s.realm.AddService("http/localhost"))
	s.peer = s.startPeer(t, "host/localhost")
	return s
}

// startPeer starts the peer with a cache of alice's and the keys of services.
func (s *stage) startPeer(t *testing.T, services ...string) *peers.Peer {
	t.Helper()
	conf := append([]byte(peerConf), s.realm.Krb5Conf()...)
	cache, err := s.realm.CCache("alice")
	must(t, err)
	keytab, err := s.realm.Keytab(services...)
	must(t, err)
	return s.program.Start(t, peers.Env(os.Environ(),
		writeFile(t, "krb5.conf", conf), writeFile(t, "ccache", cache), writeFile(t, "keytab", keytab), t.TempDir()))
}

func (s *stage) peerInitiator() gss.Initiator { return s.peer.Initiator(gss.MechKrb5) }
func (s *stage) peerAcceptor() gss.Acceptor   { return s.peer.Acceptor(gss.MechKrb5, service) }

// bothRoles runs test with this library as initiator, then as acceptor.
func (s *stage) bothRoles(t *testing.T, test func(t *testing.T, i gss.Initiator, a gss.Acceptor)) {
	t.Run("ours to theirs", func(t *testing.T) { test(t, s.initiator(t), s.peerAcceptor()) })
	t.Run("theirs to ours", func(t *testing.T) { test(t, s.peerInitiator(), s.acceptor(t)) })
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
			t.Log(flags)
			ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service), Flags: flags})
			const asked = gss.Mutual | gss.ReplayDetection | gss.Sequencing | gss.DCEStyle | base
			for _, c := range []gss.Context{ic, ac} {
				info := c.Inquire()
				if got := info.Flags & asked; got != flags {
					t.Errorf("%T: flags %s, want %s", c, got, flags)
				}
				if info.Initiator.String() != "alice@TEST.EXAMPLE" || info.Acceptor.String() != "host/localhost@TEST.EXAMPLE" {
					t.Errorf("%T: %s to %s", c, info.Initiator, info.Acceptor)
				}
			}
			exchange(t, ic, ac)
			exchange(t, ac, ic)
		}
		ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service)})
		exchangeLarge(t, ic, ac)
		exchangeLarge(t, ac, ic)
	})
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

// sequence: a gap, a late token and a duplicate are what they are to both.
func (s *stage) sequence(t *testing.T) {
	s.bothRoles(t, func(t *testing.T, i gss.Initiator, a gss.Acceptor) {
		const all = gss.Mutual | gss.Confidentiality | gss.Integrity
		for _, flags := range []gss.Flags{all | gss.ReplayDetection | gss.Sequencing, all | gss.ReplayDetection} {
			ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service), Flags: flags})
			disorder(t, ic, ac, flags)
			disorder(t, ac, ic, flags)
		}
	})
}

// disorder delivers the second of three tokens last, and it and the first twice.
func disorder(t *testing.T, from, to gss.Context, flags gss.Flags) {
	t.Helper()
	var tokens [3][]byte
	for i := range tokens {
		var err error
		tokens[i], err = from.Wrap(nil, []byte{byte(i)}, true)
		must(t, err)
	}
	gap, late := gss.ErrGapToken, gss.ErrUnseqToken
	if flags&gss.Sequencing == 0 {
		gap, late = 0, 0
	}
	for _, tt := range []struct {
		token int
		want  gss.Major
	}{{0, 0}, {2, gap}, {1, late}, {1, gss.ErrDuplicateToken}, {0, gss.ErrDuplicateToken}} {
		msg, _, err := to.Unwrap(nil, tokens[tt.token])
		if !isStatus(err, tt.want) {
			t.Errorf("flags %s, %T: token %d: %v, want %v", flags, to, tt.token, err, tt.want)
		}
		if tt.want != gss.ErrDuplicateToken && !bytes.Equal(msg, []byte{byte(tt.token)}) {
			t.Errorf("flags %s, %T: token %d carries %x", flags, to, tt.token, msg)
		}
	}
}

func isStatus(err error, want gss.Major) bool {
	if want == 0 {
		return err == nil
	}
	return errors.Is(err, want)
}

package krb5_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/peers"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

var update = flag.Bool("update", false, "record testdata/transcripts anew, with the peers that are installed")

// A recording is one exchange with a peer: what was said, and the clock and the
// keys that it takes to say it again. The keys are of a realm that is no more.
type recording struct {
	implementation peers.Implementation
	initiates      bool // the peer does
	enctype        int32
	mech           gss.OID

	comment    string
	at         time.Time
	keytab     []byte // of host/localhost
	cache      []byte // alice's, with a ticket for it
	transcript peers.Transcript
}

func recordings() []*recording {
	var all []*recording
	for _, implementation := range []peers.Implementation{peers.MIT, peers.Heimdal, peers.Java} {
		for _, initiates := range []bool{true, false} {
			all = append(all,
				&recording{implementation: implementation, initiates: initiates, enctype: 18, mech: gss.MechKrb5},
				&recording{implementation: implementation, initiates: initiates, enctype: 20, mech: gss.MechKrb5},
				&recording{implementation: implementation, initiates: initiates, enctype: 18, mech: gss.MechSPNEGO})
		}
	}
	return all
}

func (r *recording) name() string {
	role := "acceptor"
	if r.initiates {
		role = "initiator"
	}
	mech := "krb5"
	if r.mech == gss.MechSPNEGO {
		mech = "spnego"
	}
	return fmt.Sprintf("%s-%s-%s-%d", strings.ToLower(r.implementation.String()), role, mech, r.enctype)
}

func (r *recording) path() string {
	return filepath.Join("testdata", "transcripts", r.name()+".txt")
}

// TestRecordTranscripts makes the transcripts of the peers that are installed:
//
//	go test ./gss/krb5 -run TestRecordTranscripts -update
func TestRecordTranscripts(t *testing.T) {
	if !*update {
		t.Skip("records only with -update")
	}
	for _, r := range recordings() {
		t.Run(r.name(), func(t *testing.T) {
			program := peers.Build(t, r.implementation)
			s := newSetup(t, r.enctype)
			var err error
			r.at = time.Now().UTC().Truncate(time.Second)
			r.keytab, err = s.realm.Keytab("host/localhost")
			must(t, err)
			r.cache, err = s.realm.CCache("alice", "host/localhost")
			must(t, err)
			peer := program.Start(t, peers.Env(os.Environ(),
				writeFile(t, "krb5.conf", append([]byte(peerConf), s.realm.Krb5Conf()...)),
				writeFile(t, "ccache", r.cache), writeFile(t, "keytab", r.keytab), t.TempDir()))
			transcript := peer.Record()
			r.converse(t, peer)
			if t.Failed() {
				return
			}
			r.transcript = *transcript
			r.comment = fmt.Sprintf("%s with a context of enctype %d.\nMade by: go test ./gss/krb5 -run TestRecordTranscripts -update\n", program.Version, r.enctype)
			must(t, r.write())
		})
	}
}

// TestTranscripts says again what was said to peers, to the octet, and
// understands what they answered.
func TestTranscripts(t *testing.T) {
	for _, r := range recordings() {
		t.Run(r.name(), func(t *testing.T) {
			must(t, r.read())
			r.converse(t, peers.Replay(t, &r.transcript))
		})
	}
}

// transcriptConf is all the configuration that this library's end needs.
const transcriptConf = `[libdefaults]
	default_realm = TEST.EXAMPLE
	dns_lookup_kdc = false
	dns_canonicalize_hostname = false
[domain_realm]
	localhost = TEST.EXAMPLE
`

// ends are initiator and acceptor, one of them this library's with the
// recording's keys, a clock that stands, and random octets that are the same
// each time.
func (r *recording) ends(t *testing.T, peer *peers.Peer, at time.Time) (gss.Initiator, gss.Acceptor) {
	t.Helper()
	clock := func() time.Time { return at }
	var random io.Reader = rand.NewChaCha8([32]byte([]byte("octets alike in every recording.")))
	profile, err := krb5.ReadProfile(writeFile(t, "krb5.conf", []byte(transcriptConf)))
	must(t, err)
	if r.initiates {
		keytab, err := krb5.ParseKeytab(r.keytab)
		must(t, err)
		cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: keytab, Profile: profile})
		must(t, err)
		forgetful, err := krb5.OpenReplayCache("none:", profile)
		must(t, err)
		a, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred, ReplayCache: forgetful, Time: clock, Rand: random})
		must(t, err)
		return peer.Initiator(r.mech), negotiating(t, r.mech, a)
	}
	cache, err := krb5.OpenCache(writeFile(t, "ccache", r.cache))
	must(t, err)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: cache, Profile: profile})
	must(t, err)
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred, Time: clock, Rand: random})
	must(t, err)
	return negotiated(t, r.mech, i), peer.Acceptor(r.mech, service)
}

// converse is what is recorded: contexts of each kind, bound to a channel,
// messages of each kind both ways, and a try with clocks an hour apart.
func (r *recording) converse(t *testing.T, peer *peers.Peer) {
	i, a := r.ends(t, peer, r.at)
	s := &stage{program: &peers.Program{Implementation: r.implementation}}
	kinds := []gss.Flags{gss.DefaultFlags, gss.Confidentiality | gss.Integrity}
	if s.isC() {
		kinds = append(kinds, gss.DefaultFlags|gss.DCEStyle)
	}
	for _, flags := range kinds {
		ic, ac := pair(t, i, a, gss.Request{Target: gss.HostService(service), Flags: flags, Bindings: s.channel("tls-exporter:bound")})
		s.checkInfo(t, ic, flags)
		s.checkInfo(t, ac, flags)
		if r.initiates && ac.Inquire().Flags&gss.ChannelBound == 0 {
			t.Error("not bound to the channel")
		}
		exchangeShort(t, ic, ac)
		exchangeShort(t, ac, ic)
		ik, err := ic.SessionKey()
		must(t, err)
		ak, err := ac.SessionKey()
		if err != nil || !bytes.Equal(ik, ak) {
			t.Errorf("the session keys differ: %v", err)
		}
		s.acceptorSubkey(t, ic, ac, flags)
	}
	i, a = r.ends(t, peer, r.at.Add(time.Hour))
	tried := attemptContext(t, i, a)
	switch {
	case r.initiates && !errors.Is(tried.acceptorErr, kmsg.APErrSkew):
		t.Errorf("the peer's clock, an hour behind: %v", tried.acceptorErr)
	case !r.initiates && s.isC() && !(isRemote(tried.initiatorErr) && errors.Is(tried.initiatorErr, kmsg.APErrSkew)):
		t.Errorf("the peer's error token: %v", tried.initiatorErr)
	}
}

// exchangeShort sends short messages each way that they can be sent.
func exchangeShort(t *testing.T, from, to gss.Context) {
	t.Helper()
	for _, msg := range []string{"", "a message", "a message of more than two blocks of AES"} {
		for _, seal := range []bool{true, false} {
			token, err := from.Wrap(nil, []byte(msg), seal)
			must(t, err)
			got, sealed, err := to.Unwrap(nil, token)
			if err != nil || sealed != seal || string(got) != msg {
				t.Errorf("%q, sealed %t: %q, %t, %v", msg, seal, got, sealed, err)
			}
		}
		mic, err := from.MIC(nil, []byte(msg))
		must(t, err)
		must(t, to.VerifyMIC([]byte(msg), mic))
	}
}

// The parts of a transcript's file.
const (
	partTime       = "time"
	partKeytab     = "keytab"
	partCache      = "ccache"
	partTranscript = "transcript"
)

func (r *recording) write() error {
	said, err := r.transcript.MarshalText()
	if err != nil {
		return err
	}
	archive := &txtar.Archive{
		Comment: []byte(r.comment),
		Files: []txtar.File{
			{Name: partTime, Data: []byte(r.at.Format(time.RFC3339) + "\n")},
			{Name: partKeytab, Data: []byte(hex.EncodeToString(r.keytab) + "\n")},
			{Name: partCache, Data: []byte(hex.EncodeToString(r.cache) + "\n")},
			{Name: partTranscript, Data: said},
		},
	}
	return os.WriteFile(r.path(), txtar.Format(archive), 0o644)
}

func (r *recording) read() error {
	archive, err := txtar.ParseFile(r.path())
	if err != nil {
		return err
	}
	for _, f := range archive.Files {
		text := strings.TrimSpace(string(f.Data))
		switch f.Name {
		case partTime:
			r.at, err = time.Parse(time.RFC3339, text)
		case partKeytab:
			r.keytab, err = hex.DecodeString(text)
		case partCache:
			r.cache, err = hex.DecodeString(text)
		case partTranscript:
			err = r.transcript.UnmarshalText(f.Data)
		default:
			err = fmt.Errorf("unknown part %s", f.Name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.path(), err)
		}
	}
	return nil
}

package krb5

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/keytab"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// fixture is a service, a client with a ticket for it, and a clock, all with
// fixed keys and names, so that a corpus stays good from run to run.
type fixture struct {
	acceptor  *Acceptor
	initiator *Initiator
	ticket    *ccache.Credential
}

var fixtureTime = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fixedRandom gives the same octet for ever: no use but here.
type fixedRandom struct{}

func (fixedRandom) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0x5a
	}
	return len(p), nil
}

func newFixture(t testing.TB, id etype.ID) *fixture {
	t.Helper()
	profile, err := etype.Lookup(id)
	ok(t, err)
	serviceKey := bytes.Repeat([]byte{1}, profile.KeySize())
	sessionKey := bytes.Repeat([]byte{2}, profile.KeySize())
	part := kmsg.EncTicketPart{
		Key:      kmsg.EncryptionKey{Type: int32(id), Value: sessionKey},
		CRealm:   "R",
		CName:    kmsg.PrincipalName{Type: kmsg.NTPrincipal, Components: []string{"alice"}},
		AuthTime: fixtureTime,
		EndTime:  fixtureTime.Add(time.Hour),
	}
	plain, err := part.Append(nil)
	ok(t, err)
	cipher, err := profile.NewCipher(serviceKey, usageTicket)
	ok(t, err)
	sealed, err := cipher.Seal(nil, plain, fixedRandom{})
	ok(t, err)
	service := kmsg.PrincipalName{Type: kmsg.NTSrvHst, Components: []string{"host", "h"}}
	ticket := kmsg.Ticket{Realm: "R", SName: service, EncPart: kmsg.EncryptedData{Etype: int32(id), Kvno: 1, HasKvno: true, Cipher: sealed}}
	der, err := ticket.Append(nil)
	ok(t, err)
	kt := &keytab.Keytab{Entries: []keytab.Entry{{Realm: "R", Components: service.Components, Kvno: 1, Etype: int32(id), Key: serviceKey}}}
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	ok(t, os.WriteFile(conf, []byte("[libdefaults]\ndefault_realm = R\ndns_canonicalize_hostname = false\n"), 0o600))
	krb5Profile, err := ReadProfile(conf)
	ok(t, err)
	clock := func() time.Time { return fixtureTime }
	cred, err := AcquireCredential(t.Context(), CredentialConfig{Usage: gss.AcceptOnly, Keytab: &Keytab{name: "fixture", mem: kt}, Profile: krb5Profile})
	ok(t, err)
	acceptor, err := NewAcceptor(AcceptorConfig{Credential: cred, Time: clock, Rand: fixedRandom{}, ReplayCache: openNone(t, krb5Profile)})
	ok(t, err)
	f := &fixture{acceptor: acceptor}
	f.ticket = &ccache.Credential{
		Client:  ccache.Principal{Realm: "R", Components: []string{"alice"}, NameType: kmsg.NTPrincipal},
		Server:  ccache.Principal{Realm: "R", Components: service.Components, NameType: kmsg.NTSrvHst},
		KeyType: int32(id),
		Key:     sessionKey,
		EndTime: fixtureTime.Add(time.Hour),
		Ticket:  der,
	}
	icred, err := newPrivateCredential(krb5Profile, &ccache.Cache{Default: f.ticket.Client, Credentials: []ccache.Credential{*f.ticket}})
	ok(t, err)
	f.initiator, err = NewInitiator(InitiatorConfig{Credential: icred, Time: clock, Rand: fixedRandom{}})
	ok(t, err)
	return f
}

func openNone(t testing.TB, profile *Profile) *ReplayCache {
	t.Helper()
	r, err := OpenReplayCache("none:", profile)
	ok(t, err)
	return r
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var fixtureTarget = gss.MechanismName(gss.MechKrb5, gss.NTKrb5Principal, "host/h@R")

// apReq is a fixture's first token.
func (f *fixture) apReq(t testing.TB, flags gss.Flags) (gss.Context, []byte) {
	t.Helper()
	sec, err := f.initiator.Initiate(t.Context(), gss.Request{Target: fixtureTarget, Flags: flags})
	ok(t, err)
	token, err := sec.Step(nil)
	ok(t, err)
	return sec, token
}

// FuzzAccept gives the acceptor anything as its first token: either a context
// stands, with alice, or there is an error and an error token.
func FuzzAccept(f *testing.F) {
	var acceptors []*Acceptor
	for _, id := range enctypes {
		fix := newFixture(f, id)
		acceptors = append(acceptors, fix.acceptor)
		for _, flags := range []gss.Flags{gss.DefaultFlags, gss.Integrity, gss.DefaultFlags | gss.DCEStyle} {
			_, token := fix.apReq(f, flags)
			f.Add(token)
		}
	}
	f.Add([]byte("GET / HTTP/1.0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, token []byte) {
		for _, a := range acceptors {
			sec, err := a.Accept(nil)
			ok(t, err)
			reply, err := sec.Step(token)
			info := sec.Inquire()
			switch {
			case err == nil && info.Initiator.String() != "alice@R":
				t.Errorf("accepted as %q", info.Initiator)
			case err != nil && len(reply) == 0:
				t.Errorf("no error token with %v", err)
			case err != nil && sec.Established():
				t.Errorf("established in spite of %v", err)
			}
		}
	})
}

// FuzzInitiatorReply gives the initiator anything as the acceptor's answer:
// only the acceptor's own establishes the context.
func FuzzInitiatorReply(f *testing.F) {
	fixtures := []*fixture{newFixture(f, 18), newFixture(f, 20)}
	for _, fix := range fixtures {
		for _, flags := range []gss.Flags{gss.DefaultFlags, gss.DefaultFlags | gss.DCEStyle} {
			_, token := fix.apReq(f, flags)
			ac, err := fix.acceptor.Accept(nil)
			ok(f, err)
			reply, err := ac.Step(token)
			ok(f, err)
			f.Add(reply)
			ac, err = fix.acceptor.Accept(nil)
			ok(f, err)
			reply, err = ac.Step(token[:len(token)-1])
			if err == nil {
				f.Fatal("a cut token is accepted")
			}
			f.Add(reply)
		}
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		for _, fix := range fixtures {
			for _, flags := range []gss.Flags{gss.DefaultFlags, gss.DefaultFlags | gss.DCEStyle} {
				sec, _ := fix.apReq(t, flags)
				if _, err := sec.Step(reply); (err == nil) != sec.Established() {
					t.Errorf("established: %t, %v", sec.Established(), err)
				}
			}
		}
	})
}

// FuzzPerMessage gives the per-message calls anything as a token. A token is
// good only if the peer made it, and then gives back the peer's message.
func FuzzPerMessage(f *testing.F) {
	const message = "a message"
	pairs := func(t testing.TB) (initiators, acceptors []*protection) {
		for _, id := range enctypes {
			profile, err := etype.Lookup(id)
			ok(t, err)
			cfg := protectionConfig{initiator: true, profile: profile, key: bytes.Repeat([]byte{3}, profile.KeySize()), acceptorSubkey: true}
			initiators = append(initiators, newProtection(cfg))
			cfg.initiator = false
			acceptors = append(acceptors, newProtection(cfg))
		}
		return initiators, acceptors
	}
	initiators, acceptors := pairs(f)
	for _, p := range initiators {
		for _, seal := range []bool{true, false} {
			token, err := p.wrap(nil, []byte(message), seal, fixedRandom{})
			ok(f, err)
			f.Add(token)
		}
		mic, err := p.mic(nil, []byte(message))
		ok(f, err)
		f.Add(mic)
	}
	f.Fuzz(func(t *testing.T, token []byte) {
		for _, p := range acceptors {
			dst := make([]byte, 2, 2+len(token))
			msg, _, err := p.unwrap(dst, token)
			if err == nil && string(msg[2:]) != message {
				t.Errorf("a token that nobody made gives %s", hex.EncodeToString(msg[2:]))
			}
			if err != nil && (msg != nil || !errors.Is(err, gss.ErrBadMIC) && !errors.Is(err, gss.ErrDefectiveToken)) {
				t.Errorf("%d octets and %v", len(msg), err)
			}
			if err := p.verifyMIC([]byte("another message"), token); err == nil {
				t.Error("a MIC of another message is accepted")
			}
		}
	})
}

// FuzzImport gives ImportContext anything, with the digest that belongs to it:
// what it takes it exports again to the same octets.
func FuzzImport(f *testing.F) {
	fix := newFixture(f, 18)
	sec, token := fix.apReq(f, gss.DefaultFlags)
	ac, err := fix.acceptor.Accept(nil)
	ok(f, err)
	reply, err := ac.Step(token)
	ok(f, err)
	_, err = sec.Step(reply)
	ok(f, err)
	for _, c := range []gss.Context{sec, ac} {
		exported, err := c.Export()
		ok(f, err)
		f.Add(exported[:len(exported)-sha256.Size])
	}
	f.Fuzz(func(t *testing.T, signed []byte) {
		digest := sha256.Sum256(signed)
		token := slices.Concat(signed, digest[:])
		c, err := ImportContext(token, ImportConfig{Time: func() time.Time { return fixtureTime }})
		if err != nil {
			return
		}
		again, err := c.Export()
		if err == nil && !bytes.Equal(again, token) {
			t.Errorf("exported again: %x", again)
		}
	})
}

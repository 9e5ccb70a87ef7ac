package krb5

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// TestAPRepOfAnotherAPReq: an AP-REP proves the acceptor only if it repeats the
// time of this very AP-REQ.
func TestAPRepOfAnotherAPReq(t *testing.T) {
	for _, id := range enctypes {
		f := newFixture(t, id)
		profile, err := etype.Lookup(id)
		ok(t, err)
		var key etype.BaseKey
		ok(t, key.Set(profile, f.ticket.Key))
		now := fixtureTime
		for _, tt := range []struct {
			name  string
			ctime time.Time
			cusec int
			good  bool
		}{
			{"right", now, 0, true},
			{"another second", now.Add(time.Second), 0, false},
			{"another microsecond", now, 1, false},
		} {
			der, err := sealAPRep(takeSecretRoom(apRepRoom), &kmsg.EncAPRepPart{CTime: tt.ctime, CUsec: tt.cusec}, &key, id, fixedRandom{})
			ok(t, err)
			sec, _ := f.apReq(t, gss.DefaultFlags)
			_, err = sec.Step(frameToken(gss.MechKrb5, tokAPRep, der))
			if tt.good && err != nil || !tt.good && !errors.Is(err, kmsg.APErrMutFail) || sec.Established() != tt.good {
				t.Errorf("%s, %s: established: %t, %v", id, tt.name, sec.Established(), err)
			}
		}
	}
}

// TestClientWithoutName: a ticket that names nobody authenticates nobody.
func TestClientWithoutName(t *testing.T) {
	f := newFixture(t, 18)
	profile, err := etype.Lookup(18)
	ok(t, err)
	seal := func(key []byte, usage uint32, append func([]byte) ([]byte, error)) []byte {
		plain, err := append(nil)
		ok(t, err)
		cipher, err := profile.NewCipher(key, usage)
		ok(t, err)
		sealed, err := cipher.Seal(nil, plain, fixedRandom{})
		ok(t, err)
		return sealed
	}
	part := kmsg.EncTicketPart{
		Key: kmsg.EncryptionKey{Type: 18, Value: f.ticket.Key}, CRealm: "R", AuthTime: fixtureTime, EndTime: fixtureTime.Add(time.Hour),
	}
	ticket, err := kmsg.ParseTicket(f.ticket.Ticket)
	ok(t, err)
	ticket.EncPart.Cipher = seal(bytes.Repeat([]byte{1}, profile.KeySize()), usageTicket, part.Append)
	sum := gssChecksum{flags: gss.Integrity}
	auth := kmsg.Authenticator{CRealm: "R", CTime: fixtureTime, Checksum: &kmsg.Checksum{Type: checksumTypeGSS, Value: sum.marshal()}}
	req := kmsg.APReq{Authenticator: kmsg.EncryptedData{Etype: 18, Cipher: seal(f.ticket.Key, usageAuthenticator, auth.Append)}}
	req.RawTicket, err = ticket.Append(nil)
	ok(t, err)
	der, err := req.Append(nil)
	ok(t, err)
	sec, err := f.acceptor.Accept(nil)
	ok(t, err)
	if _, err := sec.Step(frameToken(gss.MechKrb5, tokAPReq, der)); !errors.Is(err, gss.ErrDefectiveToken) || !strings.Contains(err.Error(), "names no client") {
		t.Errorf("established: %t, %v", sec.Established(), err)
	}
}

// TestKeysWiped: what a context held of keys is zero once it ended, whichever
// way it ended.
func TestKeysWiped(t *testing.T) {
	f := newFixture(t, 18)
	isc, token := f.apReq(t, gss.DefaultFlags)
	ac, err := f.acceptor.Accept(nil)
	ok(t, err)
	ah := ac.(*secContext).hs.(*acceptHandshake)
	reply, err := ac.Step(token)
	ok(t, err)
	_, err = isc.Step(reply)
	ok(t, err)
	held := map[string][]byte{
		"acceptor's session key":      ah.ticket.Key.Value,
		"initiator's subkey":          ah.auth.SubKey.Value,
		"acceptor's base key":         ac.(*secContext).prot.base,
		"initiator's base key":        isc.(*secContext).prot.base,
		"initiator's key before that": isc.(*secContext).prot.partial.Value,
	}
	for _, what := range []string{"acceptor's base key", "initiator's base key"} {
		if zero(held[what]) {
			t.Fatalf("%s: there is none", what)
		}
	}
	isc.Delete()
	ac.Delete()

	abandoned, _ := f.apReq(t, gss.DefaultFlags)
	held["subkey of an abandoned handshake"] = abandoned.(*secContext).hs.(*initiateHandshake).subkey
	abandoned.Delete()

	dce, token := f.apReq(t, gss.DefaultFlags|gss.DCEStyle)
	third, err := f.acceptor.Accept(nil)
	ok(t, err)
	_, err = third.Step(token)
	ok(t, err)
	held["base key that awaits the third leg"] = third.(*secContext).hs.(*acceptHandshake).awaiting.base
	third.Delete()
	dce.Delete()
	for what, key := range held {
		if len(key) != 32 || !zero(key) {
			t.Errorf("%s: %d octets, not all zero", what, len(key))
		}
	}
	if zero(f.ticket.Key) {
		t.Error("the cache's session key is wiped, too")
	}
}

func zero(key []byte) bool { return !slices.ContainsFunc(key, func(b byte) bool { return b != 0 }) }

// TestLongClaimedNames: names that nobody vouches for fill neither logs nor
// error tokens.
func TestLongClaimedNames(t *testing.T) {
	f := newFixture(t, 18)
	_, token := f.apReq(t, gss.DefaultFlags)
	_, message, err := unframeToken(gss.MechKrb5, token)
	ok(t, err)
	for _, etypeNumber := range []int32{18, 17} { // no key fits by name, or by enctype
		req, err := kmsg.ParseAPReq(message)
		ok(t, err)
		req.Ticket.SName.Components = []string{strings.Repeat("s\x01", 50_000), "h"}
		req.Ticket.Realm = strings.Repeat("R", 100_000)
		req.Ticket.EncPart.Etype = etypeNumber
		req.Ticket.EncPart.Cipher = slices.Repeat([]byte{1}, 100)
		req.RawTicket, err = req.Ticket.Append(nil)
		ok(t, err)
		der, err := req.Append(nil)
		ok(t, err)
		sec, err := f.acceptor.Accept(nil)
		ok(t, err)
		reply, err := sec.Step(frameToken(gss.MechKrb5, tokAPReq, der))
		if err == nil || len(err.Error()) > 1000 || len(reply) > 200 {
			t.Errorf("an error of %d octets and an error token of %d: %.300v", len(err.Error()), len(reply), err)
		}
	}
}

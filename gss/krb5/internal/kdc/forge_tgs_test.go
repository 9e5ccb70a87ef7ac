package kdc

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

func TestTGSReplyChecks(t *testing.T) {
	tgt := Ticket{
		Client: forgeClient, Server: TGS("R", "R"), Key: forgeSession, Ticket: []byte{0x61, 0x03, 0x30, 0x01, 0x00},
		EndTime: time.Now().Add(time.Hour).UTC().Truncate(time.Second),
	}
	good, err := (&messages.Ticket{TktVNO: 5, Realm: "R", SName: principalName(tgt.Server), EncPart: types.EncryptedData{EType: 18, Cipher: []byte("opaque")}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	tgt.Ticket = good
	host := Principal{Type: NTSrvHst, Components: []string{"host", "h.example"}, Realm: "R"}
	ask := func(service Principal, opts TGSOptions, change func(*forged)) (Ticket, int, error) {
		requests := 0
		c := forger(t, func(request []byte) []byte {
			requests++
			var m messages.TGSReq
			if err := m.Unmarshal(request); err != nil {
				t.Error(err)
			}
			var ap messages.APReq
			if err := ap.Unmarshal(m.PAData[0].PADataValue); err != nil {
				t.Error(err)
			}
			// The session key is the same throughout, so every hop can be read.
			if err := ap.DecryptAuthenticator(gokrb5Key(forgeSession)); err != nil {
				t.Error(err)
			}
			subkey := Key{Etype: ap.Authenticator.SubKey.KeyType, Value: ap.Authenticator.SubKey.KeyValue}
			f := newForged(m.ReqBody, forgeClient, subkey, usageTGSRepSubkey)
			change(f)
			return f.encode(t, false)
		})
		got, err := c.TGS(t.Context(), tgt, service, opts)
		return got, requests, err
	}
	refer := func(realm string) func(*forged) {
		return func(f *forged) {
			f.part.SName.NameString = []string{"krbtgt", realm}
			f.rep.Ticket.SName = f.part.SName
		}
	}

	got, _, err := ask(host, TGSOptions{}, func(*forged) {})
	if err != nil || !got.Server.Equal(host) {
		t.Fatalf("unchanged reply: %v, %v", got.Server, err)
	}
	// A KDC that uses the session key instead of the subkey is understood.
	if _, _, err = ask(host, TGSOptions{}, func(f *forged) { f.key, f.usage = forgeSession, usageTGSRepSession }); err != nil {
		t.Errorf("reply under the session key: %v", err)
	}
	for want, change := range map[string]func(*forged){
		"nonce":         func(f *forged) { f.part.Nonce++ },
		"is for client": func(f *forged) { f.rep.CRealm = "EVIL" },
		"is for host/other": func(f *forged) {
			f.part.SName.NameString = []string{"host", "other"}
			f.rep.Ticket.SName = f.part.SName
		},
		"is for host/h.example@S":     func(f *forged) { f.part.SRealm, f.rep.Ticket.Realm = "S", "S" },
		"lives longer":                func(f *forged) { f.part.EndTime = f.part.EndTime.Add(time.Hour) },
		"referral from R to krbtgt/R": refer("R"),
		"integrity":                   func(f *forged) { f.usage = usageASRep },
	} {
		_, _, err := ask(host, TGSOptions{}, change)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
		wantError(t, err, "KDC reply did not match expectations: ", -1765328237)
	}
	if _, _, err := ask(host, TGSOptions{NoReferral: true}, refer("S")); err == nil {
		t.Error("a referral was taken although refused")
	}
	// Each realm refers to the other: R, S, and R again.
	other := map[string]string{"R": "S", "S": "R"}
	_, requests, err := ask(host, TGSOptions{}, func(f *forged) { refer(other[f.part.SRealm])(f) })
	if !errors.Is(err, errReferral) || requests != 2 {
		t.Errorf("loop of two realms: %d requests, %v", requests, err)
	}
	// Two referrals lead to the service.
	next := map[string]string{"R": "S", "S": "T.S"}
	got, requests, err = ask(host, TGSOptions{}, func(f *forged) {
		if to := next[f.part.SRealm]; to != "" {
			refer(to)(f)
		}
	})
	if err != nil || got.Server.Realm != "T.S" || requests != 3 {
		t.Errorf("two referrals: %v after %d requests, %v", got.Server, requests, err)
	}
}

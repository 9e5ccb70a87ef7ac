package gsstest

import (
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

func TestASHints(t *testing.T) {
	r := testRealm(t, Config{Enctypes: []int32{20, 17}})
	body := aliceBody(r)
	body.EType = []int32{23, 18, 17, 20, 17}
	var refused messages.KRBError
	if err := refused.Unmarshal(overUDP(t, r, asRequest(t, r, body, nil, time.Time{}))); err != nil {
		t.Fatal(err)
	}
	if refused.ErrorCode != errorcode.KDC_ERR_PREAUTH_REQUIRED || refused.EText != "NEEDED_PREAUTH" {
		t.Errorf("refused with %d %q", refused.ErrorCode, refused.EText)
	}
	var methods types.PADataSequence
	if err := methods.Unmarshal(refused.EData); err != nil {
		t.Fatal(err)
	}
	if !methods.Contains(2) {
		t.Error("PA-ENC-TIMESTAMP is not offered")
	}
	for _, method := range methods {
		if method.PADataType == 136 || method.PADataType == 16 {
			t.Errorf("pre-authentication type %d is offered", method.PADataType)
		}
	}
	info, err := methods[0].GetETypeInfo2()
	if err != nil {
		t.Fatal(err)
	}
	if len(info) != 2 || info[0].EType != 17 || info[1].EType != 20 || info[0].Salt != "EXAMPLE.TESTalice" || info[0].S2KParams != nil {
		t.Errorf("PA-ETYPE-INFO2 is %+v", info)
	}
}

func TestASRefusals(t *testing.T) {
	r := testRealm(t, Config{})
	key := aliceKey(t, r, 18)
	now := time.Now()
	wrong, err := NewKey(18)
	if err != nil {
		t.Fatal(err)
	}
	short := aliceBody(r)
	short.Till = now.Add(-time.Hour).UTC().Truncate(time.Second)
	for _, test := range []struct {
		name   string
		change func(*messages.KDCReqBody)
		key    *Key
		at     time.Time
		want   int32
	}{
		{"good", nil, key, now, 0},
		{"almost too late", nil, key, now.Add(-clockSkew + 10*time.Second), 0},
		{"too late", nil, key, now.Add(-clockSkew - 10*time.Second), errorcode.KRB_AP_ERR_SKEW},
		{"too early", nil, key, now.Add(clockSkew + 10*time.Second), errorcode.KRB_AP_ERR_SKEW},
		{"wrong password", nil, &wrong, now, errorcode.KDC_ERR_PREAUTH_FAILED},
		{"unknown client", func(b *messages.KDCReqBody) { b.CName = principalName("bob") }, key, now, errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN},
		{"no client", func(b *messages.KDCReqBody) { b.CName = types.PrincipalName{} }, key, now, errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN},
		{"another realm", func(b *messages.KDCReqBody) { b.Realm = "OTHER" }, key, now, errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN},
		{"unknown service", func(b *messages.KDCReqBody) { b.SName = principalName("host", "x") }, key, now, errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN},
		{"no service", func(b *messages.KDCReqBody) { b.SName = types.PrincipalName{} }, key, now, errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN},
		{"RC4, DES3 and DES only", func(b *messages.KDCReqBody) { b.EType = []int32{23, 16, 3, 1} }, key, now, errorcode.KDC_ERR_ETYPE_NOSUPP},
		{"end in the past", func(b *messages.KDCReqBody) { b.Till = short.Till }, key, now, errorcode.KDC_ERR_NEVER_VALID},
		{"postdated", func(b *messages.KDCReqBody) { b.From = now.Add(time.Hour).UTC().Truncate(time.Second) }, key, now, errorcode.KDC_ERR_CANNOT_POSTDATE},
		{"forwarded", func(b *messages.KDCReqBody) { b.KDCOptions = options(flags.Forwarded) }, key, now, errorcode.KDC_ERR_BADOPTION},
		{"canonicalize is ignored", func(b *messages.KDCReqBody) { b.KDCOptions = options(flags.Canonicalize) }, key, now, 0},
		{"name too long", func(b *messages.KDCReqBody) { b.CName = principalName(strings.Repeat("x", 2000)) }, key, now, errorcode.KRB_ERR_FIELD_TOOLONG},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := aliceBody(r)
			if test.change != nil {
				test.change(&body)
			}
			if got := errorCode(t, r, asRequest(t, r, body, test.key, test.at)); got != test.want {
				t.Errorf("answered with %d, want %d", got, test.want)
			}
		})
	}
}

func TestASTicket(t *testing.T) {
	r := testRealm(t, Config{MaxLifetime: 8 * time.Hour, MaxRenewable: 48 * time.Hour})
	body := aliceBody(r, flags.Forwardable, flags.Renewable, flags.Proxiable)
	body.RTime = time.Unix(0, 0).UTC()
	body.EType = []int32{19, 18}
	reply := r.answer(asRequest(t, r, body, aliceKey(t, r, 19), time.Now()), "tcp", testPeer)
	var rep messages.ASRep
	if err := rep.Unmarshal(reply); err != nil {
		t.Fatal(err)
	}
	if rep.EncPart.EType != 19 || rep.EncPart.KVNO != 1 {
		t.Errorf("reply in enctype %d, kvno %d: want the client's first, and 1", rep.EncPart.EType, rep.EncPart.KVNO)
	}
	if rep.Ticket.EncPart.EType != 18 {
		t.Errorf("ticket in enctype %d: want the service's first", rep.Ticket.EncPart.EType)
	}
	if _, err := rep.DecryptEncPart(credentials.New("alice", r.Name()).WithPassword("secret")); err != nil {
		t.Fatal(err)
	}
	part := rep.DecryptedEncPart
	if part.Nonce != body.Nonce || part.Key.KeyType != 19 {
		t.Errorf("nonce %d, session key of type %d", part.Nonce, part.Key.KeyType)
	}
	if got, want := flagsOf(part.Flags), Forwardable|Renewable|Proxiable|Initial|PreAuthent; got != want {
		t.Errorf("flags are %#x, want %#x", got, want)
	}
	if got := part.EndTime.Sub(part.StartTime); got != 8*time.Hour {
		t.Errorf("lifetime is %v, want the realm's bound", got)
	}
	if got := part.RenewTill.Sub(part.StartTime); got != 48*time.Hour {
		t.Errorf("renewable for %v, want the realm's bound", got)
	}

	r.SetFaults(Faults{MaxLifetime: time.Minute})
	reply = r.answer(asRequest(t, r, body, aliceKey(t, r, 19), time.Now()), "tcp", testPeer)
	if err := rep.Unmarshal(reply); err != nil {
		t.Fatal(err)
	}
	if _, err := rep.DecryptEncPart(credentials.New("alice", r.Name()).WithPassword("secret")); err != nil {
		t.Fatal(err)
	}
	if got := rep.DecryptedEncPart.EndTime.Sub(rep.DecryptedEncPart.StartTime); got != time.Minute {
		t.Errorf("lifetime is %v, want the minute that was ordered", got)
	}
}

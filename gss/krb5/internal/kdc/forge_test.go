package kdc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

var (
	forgeKey     = Key{Etype: 18, Value: []byte("0123456789abcdef0123456789abcdef")}
	forgeSession = Key{Etype: 17, Value: []byte("fedcba9876543210")}
	forgeClient  = Principal{Type: NTPrincipal, Components: []string{"alice"}, Realm: "R"}
)

func gokrb5Key(k Key) types.EncryptionKey {
	return types.EncryptionKey{KeyType: k.Etype, KeyValue: k.Value}
}

// forged is a reply before it is encoded, for a test to change. It is right
// for the request that it answers.
type forged struct {
	rep    messages.KDCRepFields
	part   messages.EncKDCRepPart
	key    Key // that encrypts the part
	usage  uint32
	cipher func([]byte) []byte // changes the ciphertext
}

func newForged(req messages.KDCReqBody, client Principal, key Key, usage uint32) *forged {
	now := time.Now().UTC().Truncate(time.Second)
	return &forged{
		rep: messages.KDCRepFields{
			PVNO: pvno, CRealm: client.Realm, CName: principalName(client),
			Ticket: messages.Ticket{TktVNO: 5, Realm: req.Realm, SName: req.SName, EncPart: types.EncryptedData{EType: 18, KVNO: 1, Cipher: []byte("opaque")}},
		},
		part: messages.EncKDCRepPart{
			Key:      gokrb5Key(forgeSession),
			LastReqs: []messages.LastReq{{LRType: 0, LRValue: now}},
			Nonce:    req.Nonce,
			Flags:    asn1.BitString{Bytes: []byte{0x40, 0, 0, 0}, BitLength: 32},
			AuthTime: now, StartTime: now, EndTime: req.Till,
			SRealm: req.Realm, SName: req.SName,
		},
		key: key, usage: usage,
	}
}

func (f *forged) encode(t *testing.T, as bool) []byte {
	t.Helper()
	plain, err := f.part.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	enc, err := crypto.GetEncryptedData(plain, gokrb5Key(f.key), f.usage, 1)
	if err != nil {
		t.Fatal(err)
	}
	if f.cipher != nil {
		enc.Cipher = f.cipher(enc.Cipher)
	}
	f.rep.EncPart = enc
	var b []byte
	if as {
		f.rep.MsgType = 11
		b, err = (&messages.ASRep{KDCRepFields: f.rep}).Marshal()
	} else {
		f.rep.MsgType = 13
		b, err = (&messages.TGSRep{KDCRepFields: f.rep}).Marshal()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func krbError(t *testing.T, code int32, data []byte) []byte {
	t.Helper()
	e := messages.NewKRBError(types.PrincipalName{NameType: 2, NameString: []string{"krbtgt", "R"}}, "R", code, "forged")
	e.EData = data
	b, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// forger is a client whose KDC is f.
func forger(t *testing.T, f func(request []byte) []byte) *Client {
	t.Helper()
	return &Client{
		Profile: parseProfile(t, "[libdefaults]\nudp_preference_limit = 1\n[realms]\nR = {\nkdc = 192.0.2.1\n}\nS = {\nkdc = 192.0.2.1\n}\nT.S = {\nkdc = 192.0.2.1\n}\n"),
		Dial: func(_ context.Context, nw, _ string) (net.Conn, error) {
			if nw != "tcp" {
				return nil, errors.New("refused")
			}
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				var n [4]byte
				if _, err := io.ReadFull(theirs, n[:]); err != nil {
					return
				}
				request := make([]byte, binary.BigEndian.Uint32(n[:]))
				if _, err := io.ReadFull(theirs, request); err != nil {
					return
				}
				reply := f(request)
				theirs.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...))
			}()
			return ours, nil
		},
	}
}

func asBody(t *testing.T, request []byte) messages.KDCReqBody {
	t.Helper()
	var m messages.ASReq
	if err := m.Unmarshal(request); err != nil {
		t.Error(err)
	}
	return m.ReqBody
}

func TestASReplyChecks(t *testing.T) {
	forge := func(change func(*forged)) (Ticket, error) {
		c := forger(t, func(request []byte) []byte {
			f := newForged(asBody(t, request), forgeClient, forgeKey, usageASRep)
			change(f)
			return f.encode(t, true)
		})
		return c.AS(t.Context(), forgeClient, Keys(forgeKey), ASOptions{})
	}
	ticket, err := forge(func(*forged) {})
	if err != nil || string(ticket.Key.Value) != string(forgeSession.Value) || ticket.Flags != FlagForwardable {
		t.Fatalf("unchanged reply: %v, %v", ticket.Flags, err)
	}
	for name, change := range map[string]func(*forged){
		"nonce is another":      func(f *forged) { f.part.Nonce++ },
		"is for client bob@R":   func(f *forged) { f.rep.CName.NameString = []string{"bob"} },
		"is for client alice@S": func(f *forged) { f.rep.CRealm = "S" },
		"is for client @R":      func(f *forged) { f.rep.CName.NameString = []string{} },
		"is for krbtgt/S@R": func(f *forged) {
			f.part.SName.NameString = []string{"krbtgt", "S"}
			f.rep.Ticket.SName = f.part.SName
		},
		"is for krbtgt/R@S": func(f *forged) { f.part.SRealm, f.rep.Ticket.Realm = "S", "S" },
		"another server":    func(f *forged) { f.rep.Ticket.SName.NameString = []string{"host", "h"} },
		"type 23":           func(f *forged) { f.part.Key = types.EncryptionKey{KeyType: 23, KeyValue: make([]byte, 16)} },
		"3 bytes":           func(f *forged) { f.part.Key.KeyValue = []byte("key") },
		"lives longer":      func(f *forged) { f.part.EndTime = f.part.EndTime.Add(time.Hour) },
		"shorter than":      func(f *forged) { f.cipher = func(b []byte) []byte { return b[:11] } },
		"shorter than its":  func(f *forged) { f.cipher = func([]byte) []byte { return nil } },
		"integrity check":   func(f *forged) { f.cipher = func(b []byte) []byte { b[20] ^= 1; return b } },
		"integrity":         func(f *forged) { f.usage = usageTGSRepSession },
		"was asked for":     func(f *forged) { f.key = Key{Etype: 23, Value: make([]byte, 16)} },
	} {
		_, err := forge(change)
		var r *ReplyError
		if !errors.As(err, &r) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
		wantError(t, err, "KDC reply did not match expectations: ", -1765328237)
	}
}

// TestASReplyPrefixes cuts a good reply everywhere; the outer length is put right so
// that the inner checks are reached.
func TestASReplyPrefixes(t *testing.T) {
	req := &body{client: forgeClient, service: TGS("R", "R"), nonce: 7, etypes: defaultEnctypes, till: time.Now().Add(time.Hour)}
	good := newForged(messages.KDCReqBody{Realm: "R", SName: principalName(req.service), Nonce: 7, Till: time.Now().UTC().Add(time.Hour)}, forgeClient, forgeKey, usageASRep).encode(t, true)
	read := func(b []byte) error {
		rep, ticket, err := parseReply(b, true)
		if err != nil {
			return err
		}
		plain, err := decrypt(forgeKey, usageASRep, rep.EncPart)
		if err != nil {
			return err
		}
		_, err = req.check(rep, ticket, plain, req.service.Equal)
		return err
	}
	if err := read(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		if err := read(good[:i]); err == nil {
			t.Errorf("the first %d of %d bytes were read", i, len(good))
		}
		if i > 4 {
			n := i - 4
			cut := append([]byte{good[0], 0x82, byte(n >> 8), byte(n)}, good[4:i]...)
			if err := read(cut); err == nil {
				t.Errorf("the first %d of %d bytes with a fitting length were read", i, len(good))
			}
		}
	}
}

func TestPreauthenticationHints(t *testing.T) {
	info := func(entries ...types.ETypeInfo2Entry) types.PAData {
		b, err := asn1.Marshal(types.ETypeInfo2(entries))
		if err != nil {
			t.Fatal(err)
		}
		return types.PAData{PADataType: paEtypeInfo2, PADataValue: b}
	}
	for want, pa := range map[string]types.PAData{
		"count of 4294967296":         info(types.ETypeInfo2Entry{EType: 18, S2KParams: []byte{0, 0, 0, 0}}),
		"count of 2147483648":         info(types.ETypeInfo2Entry{EType: 18, S2KParams: []byte{0x80, 0, 0, 0}}),
		"at most 16777216":            info(types.ETypeInfo2Entry{EType: 18, S2KParams: []byte{1, 0, 0, 1}}),
		"3 bytes of s2kparams":        info(types.ETypeInfo2Entry{EType: 18, S2KParams: []byte{0, 0x10, 0}}),
		"count of 1, at least 4096":   info(types.ETypeInfo2Entry{EType: 18, S2KParams: []byte{0, 0, 0, 1}}),
		"count of 4095, at least":     info(types.ETypeInfo2Entry{EType: 17, S2KParams: []byte{0, 0, 0x0f, 0xff}}),
		"at least 32768 is accepted":  info(types.ETypeInfo2Entry{EType: 20, S2KParams: []byte{0, 0, 0x7f, 0xff}}),
		"none of the encryption type": info(types.ETypeInfo2Entry{EType: 23}),
		"none of the":                 info(),
		"ETYPE-INFO2":                 {PADataType: paEtypeInfo2, PADataValue: []byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}},
	} {
		methods, err := asn1.Marshal(types.PADataSequence{{PADataType: paEncTimestamp}, pa})
		if err != nil {
			t.Fatal(err)
		}
		c := forger(t, func([]byte) []byte { return krbError(t, errPreauthNeeded, methods) })
		begin := time.Now()
		_, err = c.AS(t.Context(), forgeClient, Password("pw"), ASOptions{})
		if err == nil || !strings.Contains(err.Error(), want) || time.Since(begin) > 5*time.Second {
			t.Errorf("%s: error %v after %v", want, err, time.Since(begin))
		}
	}
	// A KDC that asks for the same again and again is not humoured.
	methods, _ := asn1.Marshal(types.PADataSequence{{PADataType: paEncTimestamp}})
	asked := 0
	c := forger(t, func([]byte) []byte { asked++; return krbError(t, errPreauthNeeded, methods) })
	if _, err := c.AS(t.Context(), forgeClient, Password("pw"), ASOptions{}); err == nil || asked != 2 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	for _, data := range [][]byte{nil, []byte("garbage"), {0x30, 0x80}, {0x30, 3, 0x30, 1, 0xa1}} {
		c := forger(t, func([]byte) []byte { return krbError(t, errPreauthNeeded, data) })
		if _, err := c.AS(t.Context(), forgeClient, Password("pw"), ASOptions{}); err == nil {
			t.Errorf("METHOD-DATA %x: no error", data)
		}
	}
}

func TestASReferral(t *testing.T) {
	// The first realm refers the client to S, which refers back: a loop.
	referral := func(to string) []byte {
		e := messages.NewKRBError(types.PrincipalName{NameType: 2, NameString: []string{"krbtgt", "R"}}, "R", errWrongRealm, "")
		e.CRealm = to
		b, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	loop := forger(t, func(request []byte) []byte {
		if asBody(t, request).Realm == "R" {
			return referral("S")
		}
		return referral("R")
	})
	user := Principal{Type: NTEnterprise, Components: []string{"alice@corp.example"}, Realm: "R"}
	_, err := loop.AS(t.Context(), user, Keys(forgeKey), ASOptions{})
	wantError(t, err, "Realm not local to KDC", -1765328316)

	once := forger(t, func(request []byte) []byte {
		req := asBody(t, request)
		if req.Realm == "R" {
			return referral("S")
		}
		f := newForged(req, Principal{Type: NTPrincipal, Components: []string{"alice"}, Realm: "S"}, forgeKey, usageASRep)
		return f.encode(t, true)
	})
	got, err := once.AS(t.Context(), user, Keys(forgeKey), ASOptions{})
	if err != nil || got.Client.String() != "alice@S" || got.Server.String() != "krbtgt/S@S" {
		t.Errorf("ticket for %v to %v, %v", got.Client, got.Server, err)
	}
	if _, err := once.AS(t.Context(), forgeClient, Keys(forgeKey), ASOptions{}); err == nil {
		t.Error("a referral that was not asked for was followed")
	}
}

func TestPrimaryKDC(t *testing.T) {
	for _, x := range []struct {
		primary, asked string
		knows          bool // the primary knows the key, which nobody else does
	}{
		{"192.0.2.2", "192.0.2.1:88 192.0.2.2:88", true},
		{"192.0.2.2", "192.0.2.1:88 192.0.2.2:88", false},
		{"192.0.2.1", "192.0.2.1:88", false}, // asked once, though it is both
	} {
		var asked []string
		answer := forger(t, func(request []byte) []byte {
			if x.knows && asked[len(asked)-1] == x.primary+":88" {
				return newForged(asBody(t, request), forgeClient, forgeKey, usageASRep).encode(t, true)
			}
			return krbError(t, errPreauthFailed, nil)
		})
		c := &Client{
			Profile: parseProfile(t, "[libdefaults]\nudp_preference_limit = 1\n[realms]\nR = {\nkdc = 192.0.2.1\nkdc = 192.0.2.2\nprimary_kdc = "+x.primary+"\n}\n"),
			Dial: func(ctx context.Context, nw, addr string) (net.Conn, error) {
				asked = append(asked, addr)
				return answer.Dial(ctx, nw, addr)
			},
		}
		_, err := c.AS(t.Context(), forgeClient, Keys(forgeKey), ASOptions{})
		if got := strings.Join(asked, " "); got != x.asked {
			t.Errorf("with primary %s asked %s, want %s", x.primary, got, x.asked)
		}
		if x.knows != (err == nil) {
			t.Errorf("with primary %s: %v", x.primary, err)
		}
	}
}

func TestHierarchy(t *testing.T) {
	for pair, want := range map[[2]string]string{
		{"A.EX.COM", "EX.COM"}:     "EX.COM",
		{"A.EX.COM", "B.EX.COM"}:   "EX.COM B.EX.COM",
		{"EX.COM", "C.B.EX.COM"}:   "B.EX.COM C.B.EX.COM",
		{"C.A.EX.COM", "D.EX.COM"}: "A.EX.COM EX.COM D.EX.COM",
		{"EX.COM", "OTHER.COM"}:    "OTHER.COM",
		{"R", "S"}:                 "S",
	} {
		if got := strings.Join(hierarchy(pair[0], pair[1]), " "); got != want {
			t.Errorf("from %s to %s by %s, want %s", pair[0], pair[1], got, want)
		}
	}
}

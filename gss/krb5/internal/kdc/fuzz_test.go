package kdc

import (
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

func FuzzReply(f *testing.F) {
	req := &body{client: forgeClient, service: TGS("R", "R"), nonce: 7, etypes: defaultEnctypes, till: time.Unix(2e9, 0)}
	t := &testing.T{}
	for _, as := range []bool{true, false} {
		f.Add(newForged(messages.KDCReqBody{Realm: "R", SName: principalName(req.service), Nonce: 7, Till: time.Unix(2e9, 0).UTC()}, forgeClient, forgeKey, usageASRep).encode(t, as))
	}
	f.Add(krbError(t, errPreauthNeeded, []byte{0x30, 0}))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if err := checkOuter(msg); err != nil {
			return
		}
		if isKRBError(msg) {
			e, err := parseError(msg, forgeClient, req.service)
			if err == nil && !isError(msg, int64(e.Code)) {
				t.Errorf("code %d is read differently from outside", e.Code)
			}
			return
		}
		for _, as := range []bool{true, false} {
			rep, ticket, err := parseReply(msg, as)
			if err != nil {
				continue
			}
			if len(ticket) == 0 || len(ticket) > len(msg) || ticket[0] != 0x61 {
				t.Errorf("ticket of %d bytes in a message of %d", len(ticket), len(msg))
			}
			plain, err := decrypt(forgeKey, usageASRep, rep.EncPart)
			if err != nil {
				continue
			}
			if got, err := req.check(rep, ticket, plain, req.service.Equal); err == nil && (!got.Server.Equal(req.service) || checkKey(got.Key) != nil) {
				t.Errorf("ticket for %v with %v", got.Server, got.Key)
			}
		}
	})
}

func FuzzHints(f *testing.F) {
	for _, e := range [][]types.ETypeInfo2Entry{nil, {{EType: 23}}, {{EType: 17, Salt: "RALICE"}, {EType: 18, Salt: "Ralice", S2KParams: []byte{0, 0, 0x10, 0}}}} {
		info, _ := asn1.Marshal(types.ETypeInfo2(e))
		b, _ := asn1.Marshal(types.PADataSequence{{PADataType: paEncTimestamp}, {PADataType: paPWSalt, PADataValue: []byte("salt")}, {PADataType: paEtypeInfo2, PADataValue: info}})
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x := &asExchange{client: forgeClient, secret: Keys(forgeKey, Key{Etype: 17, Value: make([]byte, 16)}).s, etypes: defaultEnctypes, keyed: []int32{18, 17}}
		if err := x.preauthenticate(&Error{Code: errPreauthNeeded, data: data}); err != nil {
			if x.key.Value != nil {
				t.Errorf("%v together with an error: %v", x.key, err)
			}
		} else if checkKey(x.key) != nil || x.key.Etype != 18 && x.key.Etype != 17 {
			t.Errorf("chose %v", x.key)
		}
	})
}

func FuzzEncPart(f *testing.F) {
	req := &body{client: forgeClient, service: TGS("R", "R"), nonce: 7, etypes: defaultEnctypes, till: time.Unix(2e9, 0)}
	good := newForged(messages.KDCReqBody{Realm: "R", SName: principalName(req.service), Nonce: 7, Till: req.till.UTC()}, forgeClient, forgeKey, usageASRep)
	plain, err := good.part.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(plain[:len(plain)-1])
	f.Fuzz(func(t *testing.T, plain []byte) {
		got, err := req.check(good.rep, []byte("ticket"), plain, req.service.Equal)
		if err == nil && (!got.Server.Equal(req.service) || checkKey(got.Key) != nil || got.EndTime.After(req.till.Add(time.Second))) {
			t.Errorf("accepted a ticket for %v with %v until %v", got.Server, got.Key, got.EndTime)
		}
	})
}

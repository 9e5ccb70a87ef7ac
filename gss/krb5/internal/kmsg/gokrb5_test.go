package kmsg

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// gokrb5's encoder and decoder are independent of ours. For each message, with
// and without optional fields: ours reads what gokrb5 writes and writes the same
// bytes; gokrb5 reads what ours writes and has the same values.
func TestAgainstGokrb5(t *testing.T) {
	byName := map[string]kind{}
	for _, k := range kinds() {
		byName[k.name] = k
	}
	cases, decoded := gokrb5Cases()
	for _, c := range cases {
		der, err := asn1.Marshal(c.value)
		if err != nil {
			t.Errorf("%s: gokrb5's encoder: %v", c.kind, err)
			continue
		}
		if c.tag != 0 {
			der = asn1tools.AddASNAppTag(der, c.tag)
		}
		k := byName[c.kind]
		m, err := k.parse(der)
		if err != nil {
			t.Errorf("%s: %v\n%x", c.kind, err, der)
			continue
		}
		if !reflect.DeepEqual(m, c.ours) {
			t.Errorf("%s: read %+v\nwant %+v", c.kind, m, c.ours)
		}
		ours, err := k.append(c.ours, nil)
		if err != nil || !bytes.Equal(ours, der) {
			t.Errorf("%s: wrote (%v)\n%x\nwant\n%x", c.kind, err, ours, der)
		}
		want, ok := decoded[c.kind]
		if !ok {
			want = c.value
		}
		if back, err := c.read(ours); err != nil || !reflect.DeepEqual(back, want) {
			t.Errorf("%s: gokrb5 read (%v)\n%+v\nwant\n%+v", c.kind, err, back, want)
		}
	}
}

type gokrb5Case struct {
	kind  string
	tag   int // the application tag that asn1.Marshal does not write
	value any // gokrb5's
	ours  any
	read  func([]byte) (any, error) // gokrb5's decoder
}

func reader[T any, P interface {
	*T
	Unmarshal([]byte) error
}]() func([]byte) (any, error) {
	return func(der []byte) (any, error) {
		var v T
		err := P(&v).Unmarshal(der)
		return v, err
	}
}

// gokrb5Cases gives the cases, and for the messages that gokrb5 reads into
// another type than the one that writes the whole of them, that type's value.
func gokrb5Cases() (cases []gokrb5Case, decoded map[string]any) {
	var (
		theirAlice  = types.PrincipalName{NameType: 1, NameString: []string{"alice"}}
		theirHost   = types.PrincipalName{NameType: 3, NameString: []string{"host", "server.example"}}
		theirCipher = types.EncryptedData{EType: 18, KVNO: 2, Cipher: cipher.Cipher}
		theirKey    = types.EncryptionKey{KeyType: 18, KeyValue: aKey.Value}
		theirAddr   = types.HostAddress{AddrType: 2, Address: address.Address}
		theirTicket = messages.Ticket{TktVNO: 5, Realm: "EXAMPLE", SName: theirHost, EncPart: theirCipher}
		flags       = asn1.BitString{Bytes: []byte{0x40, 0x20, 0, 1}, BitLength: 32}
		later       = noon.Add(time.Hour)
		authData    = AuthorizationData{{1, []byte("if relevant")}, {128, bytes.Repeat([]byte{7}, 200)}}
		theirData   = types.AuthorizationData{{ADType: 1, ADData: authData[0].Data}, {ADType: 128, ADData: authData[1].Data}}
	)
	ticketDER, err := theirTicket.Marshal()
	if err != nil {
		panic(err)
	}
	rawTicket := asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Tag: 3, Bytes: ticketDER}
	tickets, err := messages.MarshalTicketSequence([]messages.Ticket{theirTicket, theirTicket})
	if err != nil {
		panic(err)
	}
	decoded = map[string]any{
		"AP-REQ":   messages.APReq{PVNO: 5, MsgType: 14, APOptions: flags, Ticket: theirTicket, EncryptedAuthenticator: theirCipher},
		"KRB-CRED": messages.KRBCred{PVNO: 5, MsgType: 22, Tickets: []messages.Ticket{theirTicket, theirTicket}, EncPart: theirCipher},
	}
	return []gokrb5Case{
		{"Ticket", 1, theirTicket, smallTicket, reader[messages.Ticket]()},
		{"EncTicketPart", 3,
			messages.EncTicketPart{
				Flags: flags, Key: theirKey, CRealm: "EXAMPLE", CName: theirAlice,
				Transited: messages.TransitedEncoding{TRType: 1, Contents: []byte("X")}, AuthTime: noon, StartTime: noon, EndTime: later, RenewTill: later,
				CAddr: types.HostAddresses{theirAddr, theirAddr}, AuthorizationData: theirData,
			},
			EncTicketPart{
				Flags: 0x40200001, Key: aKey, CRealm: "EXAMPLE", CName: alice, Transited: TransitedEncoding{1, []byte("X")},
				AuthTime: noon, StartTime: noon, EndTime: later, RenewTill: later, CAddr: []HostAddress{address, address}, AuthorizationData: authData,
			},
			reader[messages.EncTicketPart]()},
		{"EncTicketPart", 3,
			messages.EncTicketPart{
				Flags: flags, Key: theirKey, CRealm: "EXAMPLE", CName: theirAlice,
				Transited: messages.TransitedEncoding{Contents: []byte{}}, AuthTime: noon, EndTime: later,
			},
			EncTicketPart{
				Flags: 0x40200001, Key: aKey, CRealm: "EXAMPLE", CName: alice, Transited: TransitedEncoding{0, []byte{}}, AuthTime: noon, EndTime: later,
			},
			reader[messages.EncTicketPart]()},
		{"AP-REQ", 14,
			struct {
				PVNO    int                 `asn1:"explicit,tag:0"`
				MsgType int                 `asn1:"explicit,tag:1"`
				Options asn1.BitString      `asn1:"explicit,tag:2"`
				Ticket  asn1.RawValue       `asn1:"explicit,tag:3"`
				Auth    types.EncryptedData `asn1:"explicit,tag:4"`
			}{5, 14, flags, rawTicket, theirCipher},
			APReq{0x40200001, smallTicket, ticketDER, cipher},
			reader[messages.APReq]()},
		{"Authenticator", 2,
			types.Authenticator{
				AVNO: 5, CRealm: "EXAMPLE", CName: theirAlice, Cksum: types.Checksum{CksumType: 0x8003, Checksum: make([]byte, 24)},
				Cusec: 999999, CTime: noon, SubKey: theirKey, SeqNumber: 1<<32 - 1, AuthorizationData: theirData,
			},
			Authenticator{
				CRealm: "EXAMPLE", CName: alice, Checksum: &Checksum{0x8003, make([]byte, 24)},
				CUsec: 999999, CTime: noon, SubKey: &aKey, SeqNumber: 1<<32 - 1, HasSeqNumber: true, AuthorizationData: authData,
			},
			reader[types.Authenticator]()},
		{"Authenticator", 2,
			types.Authenticator{AVNO: 5, CRealm: "EXAMPLE", CName: theirAlice, Cusec: 1, CTime: noon},
			Authenticator{CRealm: "EXAMPLE", CName: alice, CUsec: 1, CTime: noon},
			reader[types.Authenticator]()},
		{"AP-REP", 15, messages.APRep{PVNO: 5, MsgType: 15, EncPart: theirCipher}, APRep{cipher}, reader[messages.APRep]()},
		{"EncAPRepPart", 27,
			messages.EncAPRepPart{CTime: noon, Cusec: 5, Subkey: theirKey, SequenceNumber: 1 << 31},
			EncAPRepPart{noon, 5, &aKey, 1 << 31, true}, reader[messages.EncAPRepPart]()},
		{"EncAPRepPart", 27, messages.EncAPRepPart{CTime: noon}, EncAPRepPart{CTime: noon}, reader[messages.EncAPRepPart]()},
		{"KRB-ERROR", 30,
			messages.KRBError{
				PVNO: 5, MsgType: 30, CTime: noon, Cusec: 1, STime: later, Susec: 2, ErrorCode: 37, CRealm: "EXAMPLE", CName: theirAlice,
				Realm: "EXAMPLE", SName: theirHost, EText: "clock", EData: []byte{1},
			},
			KRBError{noon, 1, later, 2, APErrSkew, "EXAMPLE", &alice, "EXAMPLE", host, "clock", []byte{1}},
			reader[messages.KRBError]()},
		{"KRB-ERROR", 30,
			messages.KRBError{PVNO: 5, MsgType: 30, STime: later, ErrorCode: -1, Realm: "EXAMPLE", SName: theirHost},
			KRBError{STime: later, ErrorCode: -1, Realm: "EXAMPLE", SName: host},
			reader[messages.KRBError]()},
		{"KRB-CRED", 22,
			struct {
				PVNO    int                 `asn1:"explicit,tag:0"`
				MsgType int                 `asn1:"explicit,tag:1"`
				Tickets asn1.RawValue       `asn1:"explicit,tag:2"`
				EncPart types.EncryptedData `asn1:"explicit,tag:3"`
			}{5, 22, asn1.RawValue{Class: 2, Tag: 2, IsCompound: true, Bytes: tickets.Bytes}, theirCipher},
			KRBCred{[][]byte{ticketDER, ticketDER}, cipher},
			reader[messages.KRBCred]()},
		{"AuthorizationData", 0, theirData, authData, reader[types.AuthorizationData]()},
		{"EncKrbCredPart", 29,
			messages.EncKrbCredPart{ // without srealm, which gokrb5 writes as an IA5String
				TicketInfo: []messages.KrbCredInfo{
					{
						Key: theirKey, PRealm: "EXAMPLE", PName: theirAlice, Flags: flags, AuthTime: noon, StartTime: noon, EndTime: later, RenewTill: later,
						SName: theirHost, CAddr: types.HostAddresses{theirAddr},
					},
					{Key: theirKey},
				},
				Nouce: 9, Timestamp: noon, Usec: 8, SAddress: theirAddr, RAddress: theirAddr,
			},
			EncKRBCredPart{
				[]KRBCredInfo{
					{aKey, "EXAMPLE", &alice, 0x40200001, noon, noon, later, later, "", &host, []HostAddress{address}},
					{Key: aKey},
				}, 9, true, noon, 8, &address, &address,
			},
			reader[messages.EncKrbCredPart]()},
	}, decoded
}

package gsstest

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// testRealm has the user alice (password "secret") and the service
// host/localhost.
func testRealm(t testing.TB, config Config) *Realm {
	t.Helper()
	if config.Name == "" {
		config.Name = "EXAMPLE.TEST"
	}
	realm, err := NewRealm(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(realm.Close)
	if err := realm.AddUser("alice", "secret"); err != nil {
		t.Fatal(err)
	}
	if err := realm.AddService("host/localhost"); err != nil {
		t.Fatal(err)
	}
	return realm
}

func principalName(components ...string) types.PrincipalName {
	return types.PrincipalName{NameType: 1, NameString: components}
}

func options(set ...int) asn1.BitString {
	bits := types.NewKrbFlags()
	types.SetFlags(&bits, set)
	return bits
}

// requestBody asks for ten hours and all four encryption types.
func requestBody(r *Realm, sname types.PrincipalName, opts ...int) messages.KDCReqBody {
	return messages.KDCReqBody{
		KDCOptions: options(opts...),
		Realm:      r.Name(),
		SName:      sname,
		Till:       r.now().Add(10 * time.Hour).Truncate(time.Second),
		Nonce:      4711,
		EType:      []int32{18, 17, 20, 19},
	}
}

// asRequest is an AS-REQ of alice for a ticket-granting ticket. With a key it is
// pre-authenticated by the time at.
func asRequest(t testing.TB, r *Realm, body messages.KDCReqBody, key *Key, at time.Time) []byte {
	t.Helper()
	req := messages.ASReq{KDCReqFields: messages.KDCReqFields{PVNO: 5, MsgType: 10, ReqBody: body}}
	if key != nil {
		stamp, err := asn1.Marshal(types.PAEncTSEnc{PATimestamp: at.UTC().Truncate(time.Second), PAUSec: 1})
		if err != nil {
			t.Fatal(err)
		}
		req.PAData = types.PADataSequence{{PADataType: 2, PADataValue: encrypted(t, stamp, *key, keyusage.AS_REQ_PA_ENC_TIMESTAMP, 1)}}
	}
	b, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func encrypted(t testing.TB, plain []byte, key Key, usage uint32, kvno int) []byte {
	t.Helper()
	enc, err := crypto.GetEncryptedData(plain, key.wire(), usage, kvno)
	if err != nil {
		t.Fatal(err)
	}
	b, err := enc.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tgsRequest is an honest TGS-REQ but for what change does to it. The checksum
// is computed before; whatever change does to the body afterwards breaks it.
func tgsRequest(t testing.TB, tgt *Ticket, body messages.KDCReqBody, change func(*types.Authenticator, *messages.KDCReqBody)) []byte {
	t.Helper()
	et, err := crypto.GetEtype(tgt.SessionKey.Enctype)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := body.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	sum, err := et.GetChecksumHash(tgt.SessionKey.Value, signed, keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR_CHKSUM)
	if err != nil {
		t.Fatal(err)
	}
	auth, err := types.NewAuthenticator(tgt.crealm, tgt.client)
	if err != nil {
		t.Fatal(err)
	}
	auth.Cksum = types.Checksum{CksumType: et.GetHashID(), Checksum: sum}
	if change != nil {
		change(&auth, &body)
	}
	plain, err := auth.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return tgsRequestWith(t, tgt.DER, tgt.SessionKey, plain, body)
}

// tgsRequestWith puts a TGS-REQ together from a ticket and an authenticator's
// plaintext.
func tgsRequestWith(t testing.TB, ticket []byte, session Key, authenticator []byte, body messages.KDCReqBody) []byte {
	t.Helper()
	ap := messages.APReq{PVNO: 5, MsgType: 14, APOptions: options()}
	if err := ap.Ticket.Unmarshal(ticket); err != nil {
		t.Fatal(err)
	}
	var err error
	ap.EncryptedAuthenticator, err = crypto.GetEncryptedData(authenticator, session.wire(), keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR, 0)
	if err != nil {
		t.Fatal(err)
	}
	pa, err := ap.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	req := messages.TGSReq{KDCReqFields: messages.KDCReqFields{
		PVNO: 5, MsgType: 12, ReqBody: body,
		PAData: types.PADataSequence{{PADataType: 1, PADataValue: pa}},
	}}
	b, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mint(t testing.TB, r *Realm, o TicketOptions) *Ticket {
	t.Helper()
	ticket, err := r.MintTicket(o)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

// mintTGT mints a ticket-granting ticket of alice.
func mintTGT(t testing.TB, r *Realm, o TicketOptions) *Ticket {
	t.Helper()
	if o.Client == "" {
		o.Client = "alice"
	}
	o.Service = "krbtgt/" + r.Name()
	return mint(t, r, o)
}

var testPeer = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}

// errorCode asks the KDC and returns the code of its KRB-ERROR, 0 for a ticket.
func errorCode(t testing.TB, r *Realm, request []byte) int32 {
	t.Helper()
	reply := r.answer(request, "tcp", testPeer)
	var krbError messages.KRBError
	if err := krbError.Unmarshal(reply); err == nil {
		return krbError.ErrorCode
	}
	var as messages.ASRep
	var tgs messages.TGSRep
	if as.Unmarshal(reply) != nil && tgs.Unmarshal(reply) != nil {
		t.Fatalf("the reply is no message of the KDC: %x", reply)
	}
	return errorcode.KDC_ERR_NONE
}

// grant asks with a ticket-granting ticket and opens the reply.
func grant(t testing.TB, r *Realm, tgt *Ticket, body messages.KDCReqBody) (messages.TGSRep, messages.EncTicketPart) {
	t.Helper()
	reply := r.answer(tgsRequest(t, tgt, body, nil), "tcp", testPeer)
	var rep messages.TGSRep
	if err := rep.Unmarshal(reply); err != nil {
		t.Fatal(err)
	}
	if err := rep.DecryptEncPart(tgt.SessionKey.wire()); err != nil {
		t.Fatal(err)
	}
	server := r.lookup(rep.Ticket.SName, rep.Ticket.Realm, Faults{})
	key, ok := server.version(rep.Ticket.EncPart.EType, rep.Ticket.EncPart.KVNO)
	if !ok {
		t.Fatal("ticket in a key that the service does not have")
	}
	ticket := rep.Ticket
	if err := ticket.Decrypt(key.wire()); err != nil {
		t.Fatal(err)
	}
	return rep, ticket.DecryptedEncPart
}

// asTicket makes a granted ticket usable for another request.
func asTicket(t testing.TB, rep messages.TGSRep) *Ticket {
	t.Helper()
	der, err := rep.Ticket.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	part := rep.DecryptedEncPart
	return &Ticket{DER: der, SessionKey: Key{part.Key.KeyType, part.Key.KeyValue}, client: rep.CName, crealm: rep.CRealm, Flags: flagsOf(part.Flags)}
}

// overUDP asks over the network and returns the reply.
func overUDP(t testing.TB, r *Realm, request []byte) []byte {
	t.Helper()
	conn, err := net.Dial("udp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func dialTCP(t testing.TB, r *Realm) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// overTCP asks over an open connection and returns the reply.
func overTCP(t testing.TB, conn net.Conn, request []byte) []byte {
	t.Helper()
	if err := writeRecord(conn, request); err != nil {
		t.Fatal(err)
	}
	var length [4]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		t.Fatal(err)
	}
	return reply
}

// aliceKey is the key that alice's password gives.
func aliceKey(t testing.TB, r *Realm, enctype int32) *Key {
	t.Helper()
	p, err := r.find("alice")
	if err != nil {
		t.Fatal(err)
	}
	key, _ := p.key(enctype)
	return &key.Key
}

func aliceBody(r *Realm, opts ...int) messages.KDCReqBody {
	body := requestBody(r, r.tgsName(), opts...)
	body.CName = principalName("alice")
	return body
}

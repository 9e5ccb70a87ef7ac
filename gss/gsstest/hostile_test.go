package gsstest

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// TestPrefixes cuts good requests short: none of the rests may pass for one.
func TestPrefixes(t *testing.T) {
	r := testRealm(t, Config{})
	for name, request := range map[string][]byte{
		"AS":  asRequest(t, r, aliceBody(r), aliceKey(t, r, 18), time.Now()),
		"TGS": tgsRequest(t, mintTGT(t, r, TicketOptions{}), requestBody(r, hostName), nil),
	} {
		if got := errorCode(t, r, request); got != 0 {
			t.Fatalf("%s: whole request is answered with %d", name, got)
		}
		for n := range request {
			if reply := r.answer(request[:n], "udp", testPeer); reply != nil {
				t.Fatalf("%s: the first %d of %d bytes are answered", name, n, len(request))
			}
		}
		if reply := r.answer(append(bytes.Clone(request), 0), "udp", testPeer); reply != nil {
			t.Errorf("%s: answered with a trailing byte", name)
		}
	}
	if s := r.Stats(); s.Panics != 0 || s.Malformed == 0 {
		t.Errorf("counters are %+v", s)
	}
}

// TestShapes holds what gokrb5 panics on when it gets it unseen.
func TestShapes(t *testing.T) {
	r := testRealm(t, Config{})
	tgt := mintTGT(t, r, TicketOptions{})
	good := tgsRequest(t, tgt, requestBody(r, hostName), nil)

	noName := *tgt
	var ticket messages.Ticket
	if err := ticket.Unmarshal(tgt.DER); err != nil {
		t.Fatal(err)
	}
	ticket.SName.NameString = nil
	noName.DER = must(ticket.Marshal())

	var req messages.TGSReq
	if err := req.Unmarshal(good); err != nil {
		t.Fatal(err)
	}
	var ap messages.APReq
	if err := ap.Unmarshal(req.PAData[0].PADataValue); err != nil {
		t.Fatal(err)
	}
	withAP := func(change func(*messages.APReq)) []byte {
		changed := ap
		change(&changed)
		rest := req
		rest.PAData = types.PADataSequence{{PADataType: 1, PADataValue: must(changed.Marshal())}}
		return must(rest.Marshal())
	}
	tooShort := types.EncryptedData{EType: 18, Cipher: make([]byte, 27)}
	stamped := aliceBody(r)
	as := messages.ASReq{KDCReqFields: messages.KDCReqFields{PVNO: 5, MsgType: 10, ReqBody: stamped}}
	as.PAData = types.PADataSequence{{PADataType: 2, PADataValue: must(tooShort.Marshal())}}

	for _, test := range []struct {
		name    string
		request []byte
		want    int32
	}{
		{"ticket without a service name", tgsRequestWith(t, noName.DER, tgt.SessionKey, nil, requestBody(r, hostName)), errorcode.KRB_AP_ERR_NOT_US},
		{"ticket shorter than its MAC", withAP(func(a *messages.APReq) { a.Ticket.EncPart = types.EncryptedData{EType: 18, KVNO: 1, Cipher: []byte{1}} }), errorcode.KRB_AP_ERR_BAD_INTEGRITY},
		{"authenticator shorter than its MAC", withAP(func(a *messages.APReq) { a.EncryptedAuthenticator = tooShort }), errorcode.KRB_AP_ERR_BAD_INTEGRITY},
		{"authenticator of another type", withAP(func(a *messages.APReq) { a.EncryptedAuthenticator.EType = 17 }), errorcode.KRB_AP_ERR_BAD_INTEGRITY},
		{"timestamp shorter than its MAC", must(as.Marshal()), errorcode.KDC_ERR_PREAUTH_FAILED},
		{"authenticator is not one", tgsRequestWith(t, tgt.DER, tgt.SessionKey, []byte("nonsense"), requestBody(r, hostName)), errorcode.KRB_AP_ERR_MODIFIED},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := errorCode(t, r, test.request); got != test.want {
				t.Errorf("answered with %d, want %d", got, test.want)
			}
		})
	}

	if n := r.Stats().Panics; n != 0 {
		t.Errorf("gokrb5 panicked %d times", n)
	}
}

// TestAdditionalTickets sends what gokrb5 indexes into without looking.
func TestAdditionalTickets(t *testing.T) {
	r := testRealm(t, Config{})
	body := aliceBody(r)
	fields := cryptobyte.String(must(body.Marshal()))
	if !fields.ReadASN1(&fields, asn1.SEQUENCE) {
		t.Fatal("the body is not a sequence")
	}
	for _, test := range []struct {
		tag     int
		tickets string
		ok      bool
	}{
		{11, "\x30\x00", true}, {11, "", false}, {11, "\x30", false}, {11, "\x30\x85", false},
		{11, "\x30\x01\x00", false}, {11, "\x04\x00", false}, {12, "\x30", false}, {3, "\x30", false},
	} {
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(applicationTag(tagASReq), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) { b.AddASN1Int64(5) })
				b.AddASN1(contextTag(2), func(b *cryptobyte.Builder) { b.AddASN1Int64(tagASReq) })
				b.AddASN1(contextTag(4), func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddBytes(fields)
						b.AddASN1(contextTag(test.tag), func(b *cryptobyte.Builder) { b.AddBytes([]byte(test.tickets)) })
					})
				})
			})
		})
		reply := r.answer(must(b.Bytes()), "udp", testPeer)
		if (reply != nil) != test.ok {
			t.Errorf("[%d] %x: reply %x", test.tag, test.tickets, reply)
		}
	}
	if n := r.Stats().Panics; n != 0 {
		t.Errorf("gokrb5 panicked %d times", n)
	}
}

// TestFence has the one thing panic that no check can look at beforehand.
func TestFence(t *testing.T) {
	var broken atomic.Bool
	var seen sync.Map
	r := testRealm(t, Config{
		Time: func() time.Time {
			if broken.Load() {
				panic("out of order")
			}
			return time.Now()
		},
		OnEvent: func(e Event) {
			if e.Err != nil {
				seen.Store(e.Err.Error(), e)
			}
		},
	})
	good := asRequest(t, r, aliceBody(r), nil, time.Time{})
	conn := dialTCP(t, r)
	broken.Store(true)
	if err := writeRecord(conn, good); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, conn); n != 0 || err != nil {
		t.Errorf("%d bytes and %v, want a closed connection", n, err)
	}
	broken.Store(false)
	if overUDP(t, r, good) == nil {
		t.Error("no reply after the panic")
	}
	if n := r.Stats().Panics; n != 1 {
		t.Errorf("%d panics counted, want 1", n)
	}
	if _, ok := seen.Load("panic while answering: out of order"); !ok {
		t.Error("the panic was not reported")
	}
}

// TestNetworkGarbage leaves honest clients undisturbed.
func TestNetworkGarbage(t *testing.T) {
	events := make(chan Event, 64)
	r := testRealm(t, Config{OnEvent: func(e Event) { events <- e }})
	good := asRequest(t, r, aliceBody(r), nil, time.Time{})
	bystander := dialTCP(t, r)
	overTCP(t, bystander, good)

	garbage, err := net.Dial("udp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer garbage.Close()
	for _, datagram := range []string{"", "\x00", "GET / HTTP/1.1\r\n\r\n", strings.Repeat("\x30", 9000), strings.Repeat("\xff", 60000)} {
		if _, err := garbage.Write([]byte(datagram)); err != nil {
			t.Fatal(err)
		}
	}
	overUDP(t, r, good)

	huge := dialTCP(t, r)
	if _, err := huge.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(huge)
	if err != nil {
		t.Fatal(err)
	}
	var refused messages.KRBError
	if err := refused.Unmarshal(reply[4:]); err != nil || refused.ErrorCode != errorcode.KRB_ERR_FIELD_TOOLONG {
		t.Errorf("a record of 4 GiB is answered with %d, %v", refused.ErrorCode, err)
	}

	truncated := dialTCP(t, r)
	if _, err := truncated.Write([]byte{0, 0, 1, 0, 0x6a}); err != nil {
		t.Fatal(err)
	}
	truncated.(*net.TCPConn).CloseWrite()
	if n, err := io.Copy(io.Discard, truncated); n != 0 || err != nil {
		t.Errorf("a truncated record: %d bytes and %v, want a closed connection", n, err)
	}

	overTCP(t, bystander, good)
	if s := r.Stats(); s.Malformed < 6 || s.Panics != 0 || s.AS != 3 {
		t.Errorf("counters are %+v", s)
	}
	var malformed int
	for len(events) > 0 {
		if e := <-events; e.Exchange == "" && e.Err != nil && e.Peer != nil {
			malformed++
		}
	}
	if malformed < 6 {
		t.Errorf("%d malformed requests reported, want at least 6", malformed)
	}
}

// TestManyConnections refuses those above the bound and serves the others.
func TestManyConnections(t *testing.T) {
	r := testRealm(t, Config{})
	good := asRequest(t, r, aliceBody(r), nil, time.Time{})
	conns := make([]net.Conn, maxConns)
	for i := range conns {
		conns[i] = dialTCP(t, r)
		overTCP(t, conns[i], good)
	}
	extra := dialTCP(t, r)
	if n, err := io.Copy(io.Discard, extra); n != 0 || err != nil {
		t.Errorf("one too many: %d bytes and %v, want a closed connection", n, err)
	}
	overTCP(t, conns[0], good)
}

// FuzzAnswer throws whole requests at the KDC. The shape checks keep from gokrb5
// what is known to upset it; what they miss ends at the fence, without an answer.
func FuzzAnswer(f *testing.F) {
	var told Event
	r := testRealm(f, Config{OnEvent: func(e Event) { told = e }})
	f.Add([]byte{})
	f.Add(asRequest(f, r, aliceBody(r), nil, time.Time{}))
	f.Add(asRequest(f, r, aliceBody(r), aliceKey(f, r, 18), time.Now()))
	f.Add(tgsRequest(f, mintTGT(f, r, TicketOptions{}), requestBody(r, hostName), nil))
	f.Fuzz(func(t *testing.T, request []byte) {
		before := r.Stats().Panics
		reply := r.answer(request, "udp", testPeer)
		if r.Stats().Panics != before && reply != nil {
			t.Fatalf("an answer of %d bytes in spite of %v", len(reply), told.Err)
		}
		if len(reply) > maxDatagram {
			t.Fatalf("reply of %d bytes", len(reply))
		}
		if reply != nil {
			errorCode(t, r, request)
		}
	})
}

// FuzzSealed does so with what only a holder of the keys can make: the inside
// of a ticket and of an authenticator.
func FuzzSealed(f *testing.F) {
	r := testRealm(f, Config{})
	tgs, err := r.find("krbtgt/EXAMPLE.TEST")
	if err != nil {
		f.Fatal(err)
	}
	key, _ := tgs.key(18)
	tgt := mintTGT(f, r, TicketOptions{})
	var ticket messages.Ticket
	if err := ticket.Unmarshal(tgt.DER); err != nil {
		f.Fatal(err)
	}
	inside := must(crypto.DecryptEncPart(ticket.EncPart, key.wire(), 2))
	auth, err := types.NewAuthenticator(r.Name(), tgt.client)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(inside, must(auth.Marshal()), []byte{})
	f.Add([]byte{}, []byte{}, []byte{1})
	f.Fuzz(func(t *testing.T, inside, authenticator, authData []byte) {
		sealed := ticket
		var err error
		if sealed.EncPart, err = crypto.GetEncryptedData(inside, key.wire(), 2, 1); err != nil {
			t.Skip(err)
		}
		var part messages.EncTicketPart
		session := tgt.SessionKey
		if part.Unmarshal(inside) == nil && checkKey(part.Key) == nil {
			session = Key{part.Key.KeyType, part.Key.KeyValue}
		}
		body := requestBody(r, hostName)
		if len(authData) > 0 {
			if body.EncAuthData, err = crypto.GetEncryptedData(authData, session.wire(), 4, 0); err != nil {
				t.Skip(err)
			}
		}
		request := tgsRequestWith(t, must(sealed.Marshal()), session, authenticator, body)
		before := r.Stats().Panics
		reply := r.answer(request, "tcp", testPeer)
		if fenced := r.Stats().Panics != before; fenced != (reply == nil) {
			t.Fatalf("a reply of %d bytes; stopped by the fence: %t", len(reply), fenced)
		}
	})
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

package krb5_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// forgery is an AP-REQ made to order. The zero forgery is a good one.
type forgery struct {
	ticket gsstest.TicketOptions // alice and host/localhost unless set
	auth   func(*kmsg.Authenticator)
	req    func(*kmsg.APReq)
	token  func([]byte) []byte
}

// token makes the context token.
func (f forgery) make(t testing.TB, realm *gsstest.Realm) []byte {
	t.Helper()
	if f.ticket.Client == "" {
		f.ticket.Client = "alice"
	}
	if f.ticket.Service == "" {
		f.ticket.Service = "host/localhost"
	}
	ticket, err := realm.MintTicket(f.ticket)
	must(t, err)
	name, clientRealm, err := kmsg.ParsePrincipal(ticket.Client)
	must(t, err)
	now := time.Now().UTC()
	auth := kmsg.Authenticator{
		CRealm:       clientRealm,
		CName:        name,
		CTime:        now.Truncate(time.Second),
		CUsec:        now.Nanosecond() / 1000,
		Checksum:     &kmsg.Checksum{Type: 0x8003, Value: gssChecksum(gss.Mutual | gss.ReplayDetection)},
		SeqNumber:    7,
		HasSeqNumber: true,
	}
	if f.auth != nil {
		f.auth(&auth)
	}
	plain, err := auth.Append(nil)
	must(t, err)
	req := kmsg.APReq{
		Options:       kmsg.APMutualRequired,
		RawTicket:     ticket.DER,
		Authenticator: kmsg.EncryptedData{Etype: ticket.SessionKey.Enctype},
	}
	if profile, err := etype.Lookup(etype.ID(ticket.SessionKey.Enctype)); err == nil {
		cipher, err := profile.NewCipher(ticket.SessionKey.Value, 11)
		must(t, err)
		req.Authenticator.Cipher, err = cipher.Seal(nil, plain, rand.Reader)
		must(t, err)
	} else {
		req.Authenticator.Cipher = bytes.Repeat([]byte{1}, 100)
	}
	if f.req != nil {
		f.req(&req)
	}
	der, err := req.Append(nil)
	must(t, err)
	token := frame("\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00" + string(der))
	if f.token != nil {
		token = f.token(token)
	}
	return token
}

// frame puts the [APPLICATION 0] header before an OID with what follows.
func frame(inner string) []byte {
	var b cryptobyte.Builder
	b.AddASN1(0x60, func(b *cryptobyte.Builder) { b.AddBytes([]byte(inner)) })
	return b.BytesOrPanic()
}

func gssChecksum(flags gss.Flags) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 16)
	b = append(b, make([]byte, 16)...)
	return binary.LittleEndian.AppendUint32(b, uint32(flags))
}

// alterTicket decodes the ticket inside the request, lets f change it and puts
// it back: what somebody on the path can do.
func alterTicket(t testing.TB, req *kmsg.APReq, f func(*kmsg.Ticket)) {
	t.Helper()
	ticket, err := kmsg.ParseTicket(req.RawTicket)
	must(t, err)
	f(&ticket)
	req.RawTicket, err = ticket.Append(nil)
	must(t, err)
}

func TestHostileAPReq(t *testing.T) {
	s := newSetup(t)
	must(t, s.realm.AddService("http/localhost"))
	otherKey, err := gsstest.NewKey(18)
	must(t, err)
	rc4, err := gsstest.NewKey(23)
	must(t, err)
	now := time.Now()
	tests := []struct {
		name  string
		f     forgery
		major gss.Major
		code  kmsg.ErrorCode // of the cause and of the error token
		text  string         // in the error
	}{
		{"garbage", forgery{token: func([]byte) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }},
			gss.ErrDefectiveToken, kmsg.ErrGeneric, "does not begin with a GSS-API header"},
		{"empty", forgery{token: func([]byte) []byte { return nil }},
			gss.ErrDefectiveToken, kmsg.ErrGeneric, "empty token"},
		{"another mechanism", forgery{token: func([]byte) []byte { return frame("\x06\x06\x2b\x06\x01\x05\x05\x02\x01\x00xx") }},
			gss.ErrBadMech, kmsg.ErrGeneric, "of mechanism spnego"},
		{"octet behind the token", forgery{token: func(b []byte) []byte { return append(b, 0) }},
			gss.ErrDefectiveToken, kmsg.ErrGeneric, "GSS-API header"},
		{"an AP-REP", forgery{token: func(b []byte) []byte { b[15] = 2; return b }},
			gss.ErrDefectiveToken, kmsg.ErrGeneric, "token identifier 0200"},
		{"user-to-user", forgery{req: func(r *kmsg.APReq) { r.Options |= kmsg.APUseSessionKey }},
			gss.ErrUnavailable, kmsg.ErrGeneric, "user-to-user"},
		{"no checksum", forgery{auth: func(a *kmsg.Authenticator) { a.Checksum = nil }},
			gss.ErrDefectiveToken, kmsg.APErrInappCksum, "no checksum"},
		{"another checksum type", forgery{auth: func(a *kmsg.Authenticator) { a.Checksum.Type = 16 }},
			gss.ErrDefectiveToken, kmsg.APErrInappCksum, "of type 16"},
		{"short checksum", forgery{auth: func(a *kmsg.Authenticator) { a.Checksum.Value = a.Checksum.Value[:23] }},
			gss.ErrDefectiveToken, kmsg.APErrInappCksum, "Invalid field length"},
		{"checksum with another length of bindings", forgery{auth: func(a *kmsg.Authenticator) { a.Checksum.Value[0] = 17 }},
			gss.ErrDefectiveToken, kmsg.APErrInappCksum, "Invalid field length"},
		{"authenticator with another name", forgery{auth: func(a *kmsg.Authenticator) { a.CName.Components = []string{"root"} }},
			gss.ErrFailure, kmsg.APErrBadMatch, `"root@TEST.EXAMPLE"`},
		{"authenticator with another realm", forgery{auth: func(a *kmsg.Authenticator) { a.CRealm = "EVIL.EXAMPLE" }},
			gss.ErrFailure, kmsg.APErrBadMatch, `"alice@EVIL.EXAMPLE"`},
		{"ticket of another realm's client, authenticator of ours", forgery{
			ticket: gsstest.TicketOptions{Client: "alice@EVIL.EXAMPLE"},
			auth:   func(a *kmsg.Authenticator) { a.CRealm = "TEST.EXAMPLE" }},
			gss.ErrFailure, kmsg.APErrBadMatch, `"alice@EVIL.EXAMPLE"`},
		{"ticket for another service", forgery{ticket: gsstest.TicketOptions{Service: "http/localhost"}},
			gss.ErrFailure, kmsg.APErrNotUs, "http/localhost@TEST.EXAMPLE"},
		{"ticket for another service under our name", forgery{
			ticket: gsstest.TicketOptions{Service: "http/localhost"},
			req: func(r *kmsg.APReq) {
				alterTicket(t, r, func(tk *kmsg.Ticket) { tk.SName.Components = []string{"host", "localhost"} })
			}},
			gss.ErrFailure, kmsg.APErrBadIntegrity, "bring"},
		{"service without a name", forgery{req: func(r *kmsg.APReq) {
			alterTicket(t, r, func(tk *kmsg.Ticket) { tk.SName.Components = nil })
		}}, gss.ErrDefectiveToken, kmsg.ErrGeneric, "names no service"},
		{"expired ticket", forgery{ticket: gsstest.TicketOptions{AuthTime: now.Add(-3 * time.Hour), EndTime: now.Add(-time.Hour)}},
			gss.ErrCredentialsExpired, kmsg.APErrTktExpired, "it ended at"},
		{"ticket not yet valid", forgery{ticket: gsstest.TicketOptions{AuthTime: now, StartTime: now.Add(time.Hour)}},
			gss.ErrFailure, kmsg.APErrTktNYV, "it starts at"},
		{"ticket marked invalid", forgery{ticket: gsstest.TicketOptions{Flags: gsstest.Invalid}},
			gss.ErrFailure, kmsg.APErrTktNYV, "invalid"},
		{"client's clock ten minutes ahead", forgery{auth: func(a *kmsg.Authenticator) { a.CTime = a.CTime.Add(10 * time.Minute) }},
			gss.ErrFailure, kmsg.APErrSkew, "differs by 10m"},
		{"client's clock ten minutes behind", forgery{auth: func(a *kmsg.Authenticator) { a.CTime = a.CTime.Add(-10 * time.Minute) }},
			gss.ErrFailure, kmsg.APErrSkew, "differs by -10m"},
		{"unknown kvno", forgery{ticket: gsstest.TicketOptions{KVNO: 9}},
			gss.ErrFailure, kmsg.APErrBadKeyVer, "kvno 9"},
		{"another key under our kvno", forgery{ticket: gsstest.TicketOptions{Key: otherKey}},
			gss.ErrFailure, kmsg.APErrBadIntegrity, "cannot decrypt the ticket"},
		{"RC4 ticket", forgery{ticket: gsstest.TicketOptions{Key: rc4}},
			gss.ErrFailure, kmsg.KDCErrEtypeNoSupp, "arcfour-hmac"},
		{"RC4 session key", forgery{ticket: gsstest.TicketOptions{SessionKey: rc4}},
			gss.ErrFailure, kmsg.KDCErrEtypeNoSupp, "arcfour-hmac"},
		{"RC4 subkey", forgery{auth: func(a *kmsg.Authenticator) { a.SubKey = &kmsg.EncryptionKey{Type: 23, Value: make([]byte, 16)} }},
			gss.ErrFailure, kmsg.KDCErrEtypeNoSupp, "arcfour-hmac"},
		{"subkey of the wrong length", forgery{auth: func(a *kmsg.Authenticator) {
			a.SubKey = &kmsg.EncryptionKey{Type: 18, Value: make([]byte, 3)}
			a.Checksum.Value = gssChecksum(0)
		}}, gss.ErrDefectiveToken, kmsg.ErrGeneric, "wrong length"},
		{"ticket's ciphertext shorter than its MAC", forgery{req: func(r *kmsg.APReq) {
			alterTicket(t, r, func(tk *kmsg.Ticket) { tk.EncPart.Cipher = tk.EncPart.Cipher[:5] })
		}}, gss.ErrFailure, kmsg.APErrBadIntegrity, "cannot decrypt"},
		{"empty ciphertext", forgery{req: func(r *kmsg.APReq) {
			alterTicket(t, r, func(tk *kmsg.Ticket) { tk.EncPart.Cipher = nil })
		}}, gss.ErrFailure, kmsg.APErrBadIntegrity, "cannot decrypt"},
		{"authenticator shorter than its MAC", forgery{req: func(r *kmsg.APReq) { r.Authenticator.Cipher = r.Authenticator.Cipher[:5] }},
			gss.ErrFailure, kmsg.APErrBadIntegrity, "not sealed by the ticket's session key"},
		{"authenticator altered", forgery{req: func(r *kmsg.APReq) { r.Authenticator.Cipher[20] ^= 1 }},
			gss.ErrFailure, kmsg.APErrBadIntegrity, "not sealed by the ticket's session key"},
		{"authenticator of another enctype", forgery{req: func(r *kmsg.APReq) { r.Authenticator.Etype = 17 }},
			gss.ErrDefectiveToken, kmsg.ErrGeneric, "the session key of"},
		{"realms that the KDC did not check", forgery{ticket: gsstest.TicketOptions{Transited: []string{"MIDDLE.EXAMPLE"}}},
			gss.ErrFailure, kmsg.APErrIllCrTkt, "though the client is of ours"},
		{"a realm that is not on the path", forgery{ticket: gsstest.TicketOptions{Client: "alice@A.SUB.TEST.EXAMPLE", Transited: []string{"SUB.TEST.EXAMPLE", "EVIL.EXAMPLE"}}},
			gss.ErrFailure, kmsg.APErrIllCrTkt, `realm "EVIL.EXAMPLE", which is not on the path`},
	}
	a := s.acceptor(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sec, err := a.Accept(nil)
			must(t, err)
			reply, err := sec.Step(tt.f.make(t, s.realm))
			checkRefusal(t, err, tt.major, tt.code, tt.text)
			checkErrorToken(t, reply, tt.code)
			if sec.Established() || !sec.Inquire().Initiator.IsZero() && tt.code == kmsg.APErrBadMatch {
				t.Error("the context stands, or shows a client")
			}
			if _, again := sec.Step(nil); !errors.Is(again, tt.major) {
				t.Errorf("the failure does not stick: %v", again)
			}
		})
	}
	// The acceptor is none the worse for it.
	sec, err := a.Accept(nil)
	must(t, err)
	if _, err := sec.Step(forgery{}.make(t, s.realm)); err != nil || !sec.Established() {
		t.Errorf("a good AP-REQ afterwards: %v", err)
	}
}

func checkRefusal(t *testing.T, err error, major gss.Major, code kmsg.ErrorCode, text string) {
	t.Helper()
	if !errors.Is(err, major) {
		t.Errorf("error %v, want major status %q", err, major)
		return
	}
	if code != kmsg.ErrGeneric && !errors.Is(err, code) {
		t.Errorf("error %v, want %s", err, code.Name())
	}
	if e, _ := errors.AsType[*gss.Error](err); !strings.Contains(err.Error()+e.Hint, text) {
		t.Errorf("error %v (hint: %s) does not say %q", err, e.Hint, text)
	}
}

func checkErrorToken(t *testing.T, token []byte, code kmsg.ErrorCode) {
	t.Helper()
	i := bytes.Index(token, []byte("\x01\x02\x02\x03\x00"))
	if i < 0 {
		t.Errorf("error token %x", token)
		return
	}
	ke, err := kmsg.ParseKRBError(token[i+5:])
	must(t, err)
	if ke.ErrorCode != code {
		t.Errorf("error token says %s, want %s", ke.ErrorCode.Name(), code.Name())
	}
	if d := time.Since(ke.STime); d < -2*time.Second || d > time.Minute {
		t.Errorf("error token says that it is %s", ke.STime)
	}
}

// TestAPReqPrefixes cuts a good token short at every length, as a token and
// inside a header with the right length.
func TestAPReqPrefixes(t *testing.T) {
	s := newSetup(t)
	a := s.acceptor(t)
	good := forgery{}.make(t, s.realm)
	for n := range len(good) {
		tokens := [][]byte{good[:n]}
		if n > 4 {
			tokens = append(tokens, frame(string(good[4:n])))
		}
		for _, token := range tokens {
			sec, err := a.Accept(nil)
			must(t, err)
			if _, err := sec.Step(token); err == nil || sec.Established() {
				t.Fatalf("the first %d of %d octets are accepted: %v", n, len(good), err)
			}
		}
	}
}

func TestReplayedAPReq(t *testing.T) {
	s := newSetup(t)
	must(t, s.realm.AddService("host/other"))
	kt, err := s.realm.Keytab("host/localhost", "host/other")
	must(t, err)
	s.keytab, err = krb5.ParseKeytab(kt)
	must(t, err)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: s.keytab, Profile: s.profile})
	must(t, err)
	a, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred, ReplayCache: krb5.NewMemoryReplayCache(s.profile)})
	must(t, err)

	var altered []byte
	token := forgery{}.make(t, s.realm)
	_ = forgery{req: func(r *kmsg.APReq) {
		// The same AP-REQ with another service name in the ticket's clear part.
		good, err := kmsg.ParseAPReq(token[17:])
		must(t, err)
		alterTicket(t, &good, func(tk *kmsg.Ticket) { tk.SName.Components = []string{"host", "other"} })
		der, err := good.Append(nil)
		must(t, err)
		altered = frame("\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00" + string(der))
	}}.make(t, s.realm)

	accept := func(token []byte) error {
		sec, err := a.Accept(nil)
		must(t, err)
		_, err = sec.Step(token)
		return err
	}
	if err := accept(token); err != nil {
		t.Fatal(err)
	}
	checkRefusal(t, accept(token), gss.ErrDuplicateToken, kmsg.APErrRepeat, "Request is a replay")
	checkRefusal(t, accept(altered), gss.ErrDuplicateToken, kmsg.APErrRepeat, "Request is a replay")
	if err := accept(forgery{}.make(t, s.realm)); err != nil {
		t.Error("another AP-REQ of the same ticket:", err)
	}
}

func TestTicketAddress(t *testing.T) {
	s := newSetup(t)
	a := s.acceptor(t)
	bound := gsstest.TicketOptions{Addresses: []net.IP{net.IPv4(192, 0, 2, 1)}}
	for _, tt := range []struct {
		from []byte
		ok   bool
	}{{[]byte{192, 0, 2, 1}, true}, {[]byte{192, 0, 2, 2}, false}, {[]byte{1}, false}, {nil, true}} {
		var cb *gss.ChannelBindings
		if tt.from != nil {
			cb = &gss.ChannelBindings{InitiatorAddressType: 2, InitiatorAddress: tt.from}
		}
		sec, err := a.Accept(cb)
		must(t, err)
		_, err = sec.Step(forgery{ticket: bound}.make(t, s.realm))
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, kmsg.APErrBadAddr) {
			t.Errorf("from %v: %v", tt.from, err)
		}
	}
}

// TestPermittedEnctypes: what krb5.conf does not permit is refused although it
// is spoken, in ticket, session key and subkey alike.
func TestPermittedEnctypes(t *testing.T) {
	s := newSetup(t)
	strict, err := krb5.ReadProfile(writeFile(t, "krb5.conf", append([]byte("[libdefaults]\npermitted_enctypes = aes256-sha2\n"), s.realm.Krb5Conf()...)))
	must(t, err)
	s.profile = strict
	a := s.acceptor(t)
	key := func(enctype int32) gsstest.Key {
		k, err := gsstest.NewKey(enctype)
		must(t, err)
		return k
	}
	for _, tt := range []struct {
		name string
		f    forgery
		ok   bool
	}{
		{"permitted", forgery{ticket: gsstest.TicketOptions{Enctype: 20, SessionKey: key(20)}}, true},
		{"ticket", forgery{ticket: gsstest.TicketOptions{Enctype: 18, SessionKey: key(20)}}, false},
		{"session key", forgery{ticket: gsstest.TicketOptions{Enctype: 20, SessionKey: key(18)}}, false},
		{"subkey", forgery{
			ticket: gsstest.TicketOptions{Enctype: 20, SessionKey: key(20)},
			auth:   func(a *kmsg.Authenticator) { a.SubKey = &kmsg.EncryptionKey{Type: 18, Value: make([]byte, 32)} },
		}, false},
	} {
		sec, err := a.Accept(nil)
		must(t, err)
		_, err = sec.Step(tt.f.make(t, s.realm))
		if tt.ok && err != nil || !tt.ok && (!errors.Is(err, kmsg.KDCErrEtypeNoSupp) || !strings.Contains(err.Error(), "not permitted")) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

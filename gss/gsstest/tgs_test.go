package gsstest

import (
	"net"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

var hostName = principalName("host", "localhost")

func TestTGSRefusals(t *testing.T) {
	r := testRealm(t, Config{})
	now := time.Now()
	wrong, err := NewKey(18)
	if err != nil {
		t.Fatal(err)
	}
	type (
		auth = *types.Authenticator
		body = *messages.KDCReqBody
	)
	for _, test := range []struct {
		name   string
		tgt    TicketOptions
		sname  types.PrincipalName
		opts   []int
		etypes []int32
		change func(auth, body)
		want   int32
	}{
		{name: "good"},
		{name: "good with subkey", change: func(a auth, _ body) { a.SubKey = wrong.wire() }},
		{name: "unknown service", sname: principalName("host", "x"), want: errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN},
		{name: "body changed", change: func(_ auth, b body) { b.Nonce++ }, want: errorcode.KRB_AP_ERR_MODIFIED},
		{name: "no checksum", change: func(a auth, _ body) { a.Cksum = types.Checksum{} }, want: errorcode.KRB_AP_ERR_INAPP_CKSUM},
		{name: "unkeyed checksum", change: func(a auth, _ body) { a.Cksum.CksumType = 14 }, want: errorcode.KRB_AP_ERR_INAPP_CKSUM},
		{name: "empty checksum", change: func(a auth, _ body) { a.Cksum.Checksum = nil }, want: errorcode.KRB_AP_ERR_MODIFIED},
		{name: "another client", change: func(a auth, _ body) { a.CName = principalName("bob") }, want: errorcode.KRB_AP_ERR_BADMATCH},
		{name: "another realm", change: func(a auth, _ body) { a.CRealm = "EVIL" }, want: errorcode.KRB_AP_ERR_BADMATCH},
		{name: "old authenticator", change: func(a auth, _ body) { a.CTime = a.CTime.Add(-time.Hour) }, want: errorcode.KRB_AP_ERR_SKEW},
		{name: "short subkey", change: func(a auth, _ body) { a.SubKey = types.EncryptionKey{KeyType: 18, KeyValue: []byte{1}} }, want: errorcode.KDC_ERR_ETYPE_NOSUPP},
		{name: "RC4 subkey", change: func(a auth, _ body) { a.SubKey = types.EncryptionKey{KeyType: 23, KeyValue: make([]byte, 16)} }, want: errorcode.KDC_ERR_ETYPE_NOSUPP},
		{name: "expired", tgt: TicketOptions{AuthTime: now.Add(-11 * time.Hour)}, want: errorcode.KRB_AP_ERR_TKT_EXPIRED},
		{name: "just expired", tgt: TicketOptions{EndTime: now.Add(-time.Minute), AuthTime: now.Add(-time.Hour)}, want: errorcode.KRB_AP_ERR_TKT_EXPIRED},
		{name: "not yet valid", tgt: TicketOptions{StartTime: now.Add(time.Hour)}, want: errorcode.KRB_AP_ERR_TKT_NYV},
		{name: "invalid", tgt: TicketOptions{Flags: Invalid}, want: errorcode.KRB_AP_ERR_TKT_NYV},
		{name: "wrong key", tgt: TicketOptions{Key: wrong}, want: errorcode.KRB_AP_ERR_BAD_INTEGRITY},
		{name: "unknown kvno", tgt: TicketOptions{KVNO: 9}, want: errorcode.KRB_AP_ERR_BADKEYVER},
		{name: "RC4 session key", tgt: TicketOptions{SessionKey: Key{23, make([]byte, 16)}}, want: errorcode.KRB_AP_ERR_BAD_INTEGRITY},
		{name: "this address", tgt: TicketOptions{Addresses: []net.IP{net.IPv4(127, 0, 0, 1)}}},
		{name: "another address", tgt: TicketOptions{Addresses: []net.IP{net.IPv4(192, 0, 2, 1)}}, want: errorcode.KRB_AP_ERR_BADADDR},
		{name: "RC4 and DES3 only", etypes: []int32{23, 16}, want: errorcode.KDC_ERR_ETYPE_NOSUPP},
		{name: "forwardable from one that is not", tgt: TicketOptions{Flags: PreAuthent}, opts: []int{flags.Forwardable}, want: errorcode.KDC_ERR_BADOPTION},
		{name: "forwarded from one not forwardable", tgt: TicketOptions{Flags: PreAuthent}, opts: []int{flags.Forwarded}, want: errorcode.KDC_ERR_BADOPTION},
		{name: "proxy from one not proxiable", opts: []int{flags.Proxy}, want: errorcode.KDC_ERR_BADOPTION},
		{name: "renew one not renewable", opts: []int{flags.Renew}, want: errorcode.KDC_ERR_BADOPTION},
		{name: "user to user", opts: []int{flags.EncTktInSkey}, want: errorcode.KDC_ERR_BADOPTION},
		{name: "canonicalize is ignored", opts: []int{flags.Canonicalize}},
	} {
		t.Run(test.name, func(t *testing.T) {
			sname := hostName
			if test.sname.NameString != nil {
				sname = test.sname
			}
			b := requestBody(r, sname, test.opts...)
			if test.etypes != nil {
				b.EType = test.etypes
			}
			if got := errorCode(t, r, tgsRequest(t, mintTGT(t, r, test.tgt), b, test.change)); got != test.want {
				t.Errorf("answered with %d, want %d", got, test.want)
			}
		})
	}
	if n := r.Stats().Panics; n != 0 {
		t.Errorf("gokrb5 panicked %d times", n)
	}
}

// TestTGSServiceTicket is refused as a ticket-granting ticket.
func TestTGSServiceTicket(t *testing.T) {
	r := testRealm(t, Config{})
	ticket := mint(t, r, TicketOptions{Client: "alice", Service: "host/localhost"})
	if got := errorCode(t, r, tgsRequest(t, ticket, requestBody(r, hostName), nil)); got != errorcode.KRB_AP_ERR_NOT_US {
		t.Errorf("answered with %d, want %d", got, errorcode.KRB_AP_ERR_NOT_US)
	}
}

// TestTGSDerived checks what is carried over from the ticket-granting ticket.
func TestTGSDerived(t *testing.T) {
	r := testRealm(t, Config{})
	end := time.Now().Add(90 * time.Minute).UTC().Truncate(time.Second)
	authTime := time.Now().Add(-30 * time.Minute).UTC().Truncate(time.Second)
	tgt := mintTGT(t, r, TicketOptions{
		Client: "eve@EVIL", AuthTime: authTime, EndTime: end, Transited: []string{"MIDDLE"},
		AuthorizationData: []AuthorizationData{{Type: 128, Data: []byte("pac")}},
	})
	rep, part := grant(t, r, tgt, requestBody(r, hostName, flags.Forwardable))
	if rep.CRealm != "EVIL" || part.CRealm != "EVIL" || part.CName.PrincipalNameString() != "eve" {
		t.Errorf("client is %v@%s", part.CName, part.CRealm)
	}
	if string(part.Transited.Contents) != "MIDDLE" || part.Transited.TRType != 1 {
		t.Errorf("transited is %+v", part.Transited)
	}
	if !part.AuthTime.Equal(authTime) || !part.EndTime.Equal(end) {
		t.Errorf("authenticated %v, ends %v; want %v and, like the ticket-granting ticket, %v", part.AuthTime, part.EndTime, authTime, end)
	}
	if len(part.AuthorizationData) != 1 || string(part.AuthorizationData[0].ADData) != "pac" {
		t.Errorf("authorization data is %+v", part.AuthorizationData)
	}
	if got, want := flagsOf(part.Flags), Forwardable|PreAuthent|TransitedPolicyChecked; got != want {
		t.Errorf("flags are %#x, want %#x", got, want)
	}
	if rep.DecryptedEncPart.Nonce != 4711 || !rep.DecryptedEncPart.SName.Equal(hostName) {
		t.Errorf("nonce %d, service %v", rep.DecryptedEncPart.Nonce, rep.DecryptedEncPart.SName)
	}
}

func TestTGSForwardedAndRenewed(t *testing.T) {
	now := time.Now()
	clock := now
	r := testRealm(t, Config{Time: func() time.Time { return clock }})
	tgt := mintTGT(t, r, TicketOptions{
		Flags: Forwardable | Renewable | Initial | PreAuthent, EndTime: now.Add(time.Hour), RenewTill: now.Add(90 * time.Minute),
	})
	forward := requestBody(r, r.tgsName(), flags.Forwarded, flags.Forwardable)
	forward.Addresses = types.HostAddressesFromNetIPs([]net.IP{net.IPv4(127, 0, 0, 1)})
	rep, part := grant(t, r, tgt, forward)
	if got, want := flagsOf(part.Flags), Forwardable|Forwarded|PreAuthent|TransitedPolicyChecked; got != want {
		t.Errorf("forwarded: flags are %#x, want %#x", got, want)
	}
	if len(part.CAddr) != 1 {
		t.Errorf("forwarded: addresses are %v", part.CAddr)
	}
	if _, part := grant(t, r, asTicket(t, rep), requestBody(r, hostName)); flagsOf(part.Flags)&Forwarded == 0 {
		t.Error("a ticket from a forwarded one does not say so")
	}

	clock = now.Add(time.Minute) // within the skew of the authenticator's clock
	_, part = grant(t, r, tgt, requestBody(r, r.tgsName(), flags.Renew))
	if flagsOf(part.Flags)&Renewable == 0 || flagsOf(part.Flags)&Initial != 0 {
		t.Errorf("renewed: flags are %#x", flagsOf(part.Flags))
	}
	if got, want := part.EndTime, now.Add(61*time.Minute); got.Sub(want).Abs() > 2*time.Second {
		t.Errorf("renewed: ends %v, want %v", got, want)
	}
	if got := errorCode(t, r, tgsRequest(t, tgt, requestBody(r, hostName, flags.Renew), nil)); got != errorcode.KDC_ERR_SERVER_NOMATCH {
		t.Errorf("renewing into another service's ticket: %d", got)
	}
	late := mintTGT(t, r, TicketOptions{Flags: Renewable, RenewTill: now.Add(-time.Minute)})
	if got := errorCode(t, r, tgsRequest(t, late, requestBody(r, r.tgsName(), flags.Renew), nil)); got != errorcode.KRB_AP_ERR_TKT_EXPIRED {
		t.Errorf("renewing too late: %d", got)
	}
}

// TestTGSOldKey has the KDC take tickets in its key of yesterday.
func TestTGSOldKey(t *testing.T) {
	r := testRealm(t, Config{})
	tgt := mintTGT(t, r, TicketOptions{})
	if err := r.Rekey("krbtgt/EXAMPLE.TEST"); err != nil {
		t.Fatal(err)
	}
	if err := r.Rekey("host/localhost"); err != nil {
		t.Fatal(err)
	}
	if rep, _ := grant(t, r, tgt, requestBody(r, hostName)); rep.Ticket.EncPart.KVNO != 2 {
		t.Errorf("kvno %d, want 2", rep.Ticket.EncPart.KVNO)
	}
}

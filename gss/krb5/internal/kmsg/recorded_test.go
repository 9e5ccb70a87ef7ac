package kmsg

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Key usages of RFC 4120, section 7.5.1.
const (
	usageTicket        = 2
	usageAuthenticator = 11
	usageAPRep         = 12
	usageKRBCred       = 14
)

// recorded is one context of MIT's gss-client, with delegation, and MIT's
// gss-server: see TestRecord. gokrb5 decrypts.
type recorded struct {
	apReq, ticketPart, authenticator, krbCred, credPart, apRep, apRepPart, krbError []byte
}

func readRecorded(t testing.TB) (r recorded) {
	t.Helper()
	r.apReq, r.apRep, r.krbError = readFile(t, "ap-req.der"), readFile(t, "ap-rep.der"), readFile(t, "krb-error.der")
	kt := keytab.New()
	if err := kt.Unmarshal(readFile(t, "service.keytab")); err != nil {
		t.Fatal(err)
	}
	req, err := ParseAPReq(r.apReq)
	if err != nil {
		t.Fatal(err)
	}
	name := types.PrincipalName{NameType: req.Ticket.SName.Type, NameString: req.Ticket.SName.Components}
	key, _, err := kt.GetEncryptionKey(name, req.Ticket.Realm, int(req.Ticket.EncPart.Kvno), req.Ticket.EncPart.Etype)
	if err != nil {
		t.Fatal(err)
	}
	r.ticketPart = decrypt(t, key, req.Ticket.EncPart, usageTicket)
	ticket, err := ParseEncTicketPart(r.ticketPart)
	if err != nil {
		t.Fatal(err)
	}
	session := types.EncryptionKey{KeyType: ticket.Key.Type, KeyValue: ticket.Key.Value}
	r.authenticator = decrypt(t, session, req.Authenticator, usageAuthenticator)
	auth, err := ParseAuthenticator(r.authenticator)
	if err != nil {
		t.Fatal(err)
	}
	// RFC 4121, section 4.1.1: 24 bytes, the delegation option, the length.
	if c := auth.Checksum; c == nil || c.Type != 0x8003 || len(c.Value) < 28 || int(binary.LittleEndian.Uint16(c.Value[26:])) != len(c.Value)-28 {
		t.Fatalf("GSS checksum %+v", auth.Checksum)
	}
	r.krbCred = auth.Checksum.Value[28:]
	cred, err := ParseKRBCred(r.krbCred)
	if err != nil {
		t.Fatal(err)
	}
	r.credPart = decrypt(t, session, cred.EncPart, usageKRBCred)
	rep, err := ParseAPRep(r.apRep)
	if err != nil {
		t.Fatal(err)
	}
	r.apRepPart = decrypt(t, session, rep.EncPart, usageAPRep)
	return r
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "mit", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func decrypt(t testing.TB, key types.EncryptionKey, e EncryptedData, usage uint32) []byte {
	t.Helper()
	plain, err := crypto.DecryptMessage(e.Cipher, key, usage)
	if err != nil {
		t.Fatalf("usage %d: %v", usage, err)
	}
	return plain
}

func (r recorded) byKind() map[string][]byte {
	return map[string][]byte{
		"AP-REQ": r.apReq, "EncTicketPart": r.ticketPart, "Authenticator": r.authenticator, "KRB-CRED": r.krbCred,
		"EncKrbCredPart": r.credPart, "AP-REP": r.apRep, "EncAPRepPart": r.apRepPart, "KRB-ERROR": r.krbError,
	}
}

func TestRecordedMessagesAreWrittenAgainAsTheyCame(t *testing.T) {
	messages := readRecorded(t).byKind()
	for _, k := range kinds() {
		der, ok := messages[k.name]
		if !ok {
			continue
		}
		delete(messages, k.name)
		m, err := k.parse(der)
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
			continue
		}
		if again, err := k.append(m, nil); err != nil || !bytes.Equal(again, der) {
			t.Errorf("%s: wrote (%v)\n%x\nwant\n%x", k.name, err, again, der)
		}
		for n := range der {
			if _, err := k.parse(der[:n]); err == nil {
				t.Errorf("%s: the first %d of %d bytes are accepted", k.name, n, len(der))
			}
		}
	}
	if len(messages) > 0 {
		t.Errorf("not looked at: %v", messages)
	}
}

func TestRecordedContext(t *testing.T) {
	r := readRecorded(t)
	req, _ := ParseAPReq(r.apReq)
	ticket, _ := ParseEncTicketPart(r.ticketPart)
	auth, _ := ParseAuthenticator(r.authenticator)
	rep, err := ParseEncAPRepPart(r.apRepPart)
	if err != nil {
		t.Fatal(err)
	}
	if got := Unparse(req.Ticket.SName, req.Ticket.Realm); got != recordedService+"@"+recordedRealm {
		t.Errorf("service %s", got)
	}
	if req.Options != APMutualRequired || req.Ticket.EncPart.Etype != 18 {
		t.Errorf("options %#x, enctype %d", req.Options, req.Ticket.EncPart.Etype)
	}
	if got := Unparse(ticket.CName, ticket.CRealm); got != "alice@"+recordedRealm || Unparse(auth.CName, auth.CRealm) != got {
		t.Errorf("client %s in the ticket, %s in the authenticator", got, Unparse(auth.CName, auth.CRealm))
	}
	if ticket.Flags&TicketForwardable == 0 || ticket.Flags&TicketInitial != 0 || len(ticket.Key.Value) != 32 {
		t.Errorf("flags %#x, %d-byte key", ticket.Flags, len(ticket.Key.Value))
	}
	if d := ticket.EndTime.Sub(ticket.AuthTime); d != 24*time.Hour {
		t.Errorf("ticket is good for %v from %v", d, ticket.AuthTime)
	}
	if auth.SubKey == nil || !auth.HasSeqNumber || !auth.CTime.Equal(rep.CTime) || auth.CUsec != rep.CUsec {
		t.Errorf("the AP-REP's time is not the authenticator's: %+v, %+v", auth, rep)
	}
	cred, err := ParseEncKRBCredPart(r.credPart)
	if err != nil || len(cred.TicketInfo) != 1 {
		t.Fatalf("%+v, %v", cred, err)
	}
	info := cred.TicketInfo[0]
	if info.PName == nil || !info.PName.Equal(ticket.CName) || info.SName == nil ||
		Unparse(*info.SName, info.SRealm) != "krbtgt/RECORDED.EXAMPLE@RECORDED.EXAMPLE" || info.Flags&TicketForwarded == 0 {
		t.Errorf("delegated ticket: %+v", info)
	}
	refusal, err := ParseKRBError(r.krbError)
	if err != nil || refusal.ErrorCode != APErrBadIntegrity || refusal.Realm != recordedRealm {
		t.Errorf("%+v, %v", refusal, err)
	}
}

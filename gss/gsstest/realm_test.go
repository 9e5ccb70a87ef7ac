package gsstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

func TestConfigRefused(t *testing.T) {
	for name, config := range map[string]Config{
		"realm with a blank":    {Name: "A B"},
		"realm with a slash":    {Name: "A/B"},
		"RC4":                   {Enctypes: []int32{18, 23}},
		"the same type twice":   {Enctypes: []int32{18, 18}},
		"not loopback":          {Listen: "192.0.2.1:0"},
		"all addresses":         {Listen: ":0"},
		"no address":            {Listen: "nonsense"},
		"negative lifetime":     {MaxLifetime: -1},
		"negative renewability": {MaxRenewable: -1},
	} {
		if r, err := NewRealm(config); err == nil {
			r.Close()
			t.Errorf("%s: accepted", name)
		} else if !strings.HasPrefix(err.Error(), "gsstest: ") {
			t.Errorf("%s: error is %q", name, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	r := testRealm(t, Config{Name: "X"})
	if r.Name() != "X" {
		t.Errorf("name is %q", r.Name())
	}
	host, port, err := net.SplitHostPort(r.Addr())
	if err != nil || host != "127.0.0.1" || port == "0" {
		t.Errorf("address is %q, %v", r.Addr(), err)
	}
	if _, err := NewRealm(Config{Listen: r.Addr()}); err == nil {
		t.Error("a second realm has the same port")
	}
	overUDP(t, r, asRequest(t, r, aliceBody(r), nil, time.Time{}))
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left on disk: %v, %v", left, err)
	}
}

func TestPrincipalsRefused(t *testing.T) {
	r := testRealm(t, Config{})
	for _, name := range []string{"", "alice", "alice@EXAMPLE.TEST", "bob@OTHER", "a@b@c", "a//b", "/", "@", "a@", `a\`, "a\x00b", strings.Repeat("a/", 40) + "a"} {
		if err := r.AddUser(name, "x"); err == nil {
			t.Errorf("user %q: added", name)
		}
		if err := r.AddService(name); err == nil {
			t.Errorf("service %q: added", name)
		}
	}
	if err := r.AddService("host/rc4", 23); err == nil {
		t.Error("a service with an RC4 key: added")
	}
	if err := r.Rekey("bob"); err == nil {
		t.Error("an unknown principal: rekeyed")
	}
	if _, err := r.Keytab("bob"); err == nil || !strings.Contains(err.Error(), `"bob" is not in the database`) {
		t.Errorf("keytab of an unknown principal: %v", err)
	}
	if err := r.AddUser(`odd\/na\@me`, "x"); err != nil {
		t.Errorf("quoted name: %v", err)
	}
	body := aliceBody(r)
	body.CName = principalName("odd/na@me")
	if got := errorCode(t, r, asRequest(t, r, body, nil, time.Time{})); got != errorcode.KDC_ERR_PREAUTH_REQUIRED {
		t.Errorf("quoted name is answered with %d", got)
	}
}

func TestKeysArePrivate(t *testing.T) {
	r := testRealm(t, Config{})
	ticket := mint(t, r, TicketOptions{Client: "alice", Service: "host/localhost"})
	ticket.SessionKey = Key{18, []byte(strings.Repeat("K", 32))}
	asJSON, err := json.Marshal(ticket)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(ticket), fmt.Sprintf("%v %+v %#v %s %x %q", ticket.SessionKey, ticket.SessionKey, ticket.SessionKey, ticket.SessionKey, ticket.SessionKey, ticket.SessionKey),
		fmt.Sprintf("%+v", *ticket), fmt.Sprintf("%#v", *ticket), string(asJSON),
	} {
		for _, key := range []string{"KKKK", "75 75 75 75", "75, 75, 75", "4b4b4b4b", "0x4b, 0x4b", "S0tLS0tL"} {
			if !strings.Contains(text, key) {
				continue
			}
			t.Errorf("a key is printed: %s", text)
		}
		if strings.Contains(text, "97 130") || strings.Contains(text, "0x61, 0x82") {
			t.Errorf("a ticket is printed: %s", text)
		}
	}
}

// TestKeytab has gokrb5 read what is written here.
func TestKeytab(t *testing.T) {
	r := testRealm(t, Config{})
	before := must(r.Keytab("host/localhost"))
	if err := r.Rekey("host/localhost"); err != nil {
		t.Fatal(err)
	}
	var old, all keytab.Keytab
	if err := old.Unmarshal(before); err != nil {
		t.Fatal(err)
	}
	if err := all.Unmarshal(must(r.Keytab("host/localhost", "alice"))); err != nil {
		t.Fatal(err)
	}
	if len(old.Entries) != 4 || len(all.Entries) != 12 {
		t.Errorf("%d and %d entries, want 4 and 12", len(old.Entries), len(all.Entries))
	}
	for _, enctype := range []int32{17, 18, 19, 20} {
		if _, _, err := all.GetEncryptionKey(hostName, r.Name(), 2, enctype); err != nil {
			t.Error(err)
		}
		if _, _, err := old.GetEncryptionKey(hostName, r.Name(), 2, enctype); err == nil {
			t.Errorf("the old keytab has the new key of type %d", enctype)
		}
		derived, _, err := crypto.GetKeyFromPassword("secret", principalName("alice"), r.Name(), enctype, nil)
		if err != nil {
			t.Fatal(err)
		}
		stored, _, err := all.GetEncryptionKey(principalName("alice"), r.Name(), 1, enctype)
		if err != nil {
			t.Fatal(err)
		}
		if string(stored.KeyValue) != string(derived.KeyValue) {
			t.Errorf("alice's key of type %d is not that of the password", enctype)
		}
	}
}

// TestMintedTickets opens minted tickets with a keytab, as a service would.
func TestMintedTickets(t *testing.T) {
	r := testRealm(t, Config{})
	var kt keytab.Keytab
	if err := kt.Unmarshal(must(r.Keytab("host/localhost"))); err != nil {
		t.Fatal(err)
	}
	open := func(ticket *Ticket) (messages.Ticket, error) {
		var opened messages.Ticket
		if err := opened.Unmarshal(ticket.DER); err != nil {
			t.Fatal(err)
		}
		return opened, opened.DecryptEncPart(&kt, nil)
	}
	start := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	honest := TicketOptions{Client: "alice", Service: "host/localhost"}
	hostile := TicketOptions{
		Client: "alice@EVIL", Service: "host/localhost", Enctype: 19, StartTime: start, EndTime: start.Add(time.Minute),
		Flags: Invalid, Addresses: []net.IP{net.IPv4(192, 0, 2, 1), net.ParseIP("2001:db8::1")}, Transited: []string{"A", "B"},
		AuthorizationData: []AuthorizationData{{Type: 1, Data: []byte("x")}},
	}
	opened, err := open(mint(t, r, honest))
	if err != nil {
		t.Fatal(err)
	}
	part := opened.DecryptedEncPart
	if opened.EncPart.KVNO != 1 || opened.EncPart.EType != 18 || flagsOf(part.Flags) != Forwardable|PreAuthent || part.CRealm != r.Name() {
		t.Errorf("honest ticket: %+v", opened)
	}
	if part.EndTime.Sub(part.StartTime) != 10*time.Hour || !part.StartTime.Equal(part.AuthTime) || !part.RenewTill.IsZero() {
		t.Errorf("honest ticket runs from %v to %v", part.StartTime, part.EndTime)
	}

	ticket := mint(t, r, hostile)
	opened, err = open(ticket)
	if err != nil {
		t.Fatal(err)
	}
	part = opened.DecryptedEncPart
	if opened.EncPart.EType != 19 || part.CRealm != "EVIL" || !part.StartTime.Equal(start) || flagsOf(part.Flags) != Invalid ||
		len(part.CAddr) != 2 || string(part.Transited.Contents) != "A,B" || len(part.AuthorizationData) != 1 {
		t.Errorf("hostile ticket: %+v", opened)
	}
	if string(part.Key.KeyValue) != string(ticket.SessionKey.Value) || ticket.Client != "alice@EVIL" {
		t.Errorf("what the client knows is not what the ticket says: %v", ticket)
	}

	other, err := NewKey(18)
	if err != nil {
		t.Fatal(err)
	}
	forged := honest
	forged.Key = other
	if opened, err = open(mint(t, r, forged)); err == nil || opened.EncPart.KVNO != 1 {
		t.Errorf("ticket in another key, kvno %d: %v", opened.EncPart.KVNO, err)
	}
	renumbered := honest
	renumbered.KVNO = 7
	if opened, err = open(mint(t, r, renumbered)); err == nil || opened.EncPart.KVNO != 7 {
		t.Errorf("ticket of another kvno %d: %v", opened.EncPart.KVNO, err)
	}
	for name, o := range map[string]TicketOptions{
		"no client":       {Service: "host/localhost"},
		"no service":      {Client: "alice"},
		"unknown service": {Client: "alice", Service: "host/x"},
		"missing enctype": {Client: "alice", Service: "host/localhost", Enctype: 23},
		"short key":       {Client: "alice", Service: "host/x", Key: Key{18, make([]byte, 16)}},
	} {
		if _, err := r.MintTicket(o); err == nil {
			t.Errorf("%s: minted", name)
		}
	}
}

// TestCCache has gokrb5 read what is written here.
func TestCCache(t *testing.T) {
	r := testRealm(t, Config{})
	var cache credentials.CCache
	if err := cache.Unmarshal(must(r.CCache("alice", "host/localhost"))); err != nil {
		t.Fatal(err)
	}
	if cache.GetClientRealm() != r.Name() || cache.GetClientPrincipalName().PrincipalNameString() != "alice" || len(cache.Credentials) != 2 {
		t.Errorf("cache of %v@%s with %d credentials", cache.GetClientPrincipalName(), cache.GetClientRealm(), len(cache.Credentials))
	}
	ticket := mint(t, r, TicketOptions{Client: "alice", Service: "host/localhost", Addresses: []net.IP{net.IPv4(127, 0, 0, 1)}, RenewTill: time.Now()})
	cache = credentials.CCache{}
	if err := cache.Unmarshal(must(MarshalCCache(ticket))); err != nil {
		t.Fatal(err)
	}
	cred, ok := cache.GetEntry(hostName)
	if !ok {
		t.Fatal("no credential for the service")
	}
	if string(cred.Ticket) != string(ticket.DER) || string(cred.Key.KeyValue) != string(ticket.SessionKey.Value) || cred.Key.KeyType != 18 ||
		!cred.AuthTime.Equal(ticket.AuthTime) || !cred.StartTime.Equal(ticket.StartTime) || !cred.EndTime.Equal(ticket.EndTime) || !cred.RenewTill.Equal(ticket.RenewTill) ||
		flagsOf(cred.TicketFlags) != ticket.Flags || len(cred.Addresses) != 1 || len(cred.AuthData) != 0 || len(cred.SecondTicket) != 0 {
		t.Errorf("credential is %+v\nfor ticket %+v", cred, *ticket)
	}
	if _, err := MarshalCCache(); err == nil {
		t.Error("a cache without a ticket: written")
	}
	if _, err := r.CCache("alice", "host/x"); err == nil {
		t.Error("a cache for an unknown service: written")
	}
}

// TestGokrb5Client runs a whole client over both transports, and several at a
// time while faults come and go.
func TestGokrb5Client(t *testing.T) {
	r := testRealm(t, Config{})
	for _, limit := range []int{1, 1 << 15} {
		krb5conf, err := config.NewFromString(string(r.Krb5Conf()))
		if err != nil {
			t.Fatal(err)
		}
		krb5conf.LibDefaults.UDPPreferenceLimit = limit
		if limit == 1 && krb5conf.ResolveRealm("localhost") != r.Name() {
			t.Error("localhost is not mapped to the realm")
		}
		before := r.Stats()
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				c := client.NewWithPassword("alice", r.Name(), "secret", krb5conf, client.DisablePAFXFAST(true))
				defer c.Destroy()
				if _, _, err := c.GetServiceTicket("host/localhost"); err != nil {
					t.Error(err)
				}
			})
		}
		for range 10 {
			r.SetFaults(Faults{WrongKey: true, MaxLifetime: time.Hour})
			r.SetFaults(Faults{})
			if err := r.Rekey("host/localhost"); err != nil {
				t.Error(err)
			}
		}
		clients.Wait()
		after := r.Stats()
		if udp, tcp := after.UDP-before.UDP, after.TCP-before.TCP; (limit == 1) != (udp == 0) || (limit != 1) != (tcp == 0) {
			t.Errorf("udp_preference_limit %d: %d requests over UDP, %d over TCP", limit, udp, tcp)
		}
		if after.TGS-before.TGS != 4 || after.Malformed != 0 || after.Panics != 0 {
			t.Errorf("counters are %+v, before %+v", after, before)
		}
	}
}

func TestFaults(t *testing.T) {
	r := testRealm(t, Config{})
	tgt := mintTGT(t, r, TicketOptions{})
	ask := func() []byte { return tgsRequest(t, tgt, requestBody(r, hostName), nil) }

	r.SetFaults(Faults{ErrorCode: errorcode.KDC_ERR_POLICY})
	if got := errorCode(t, r, ask()); got != errorcode.KDC_ERR_POLICY {
		t.Errorf("ordered error: %d", got)
	}
	r.SetFaults(Faults{Unknown: []string{"host/localhost"}})
	if got := errorCode(t, r, ask()); got != errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN {
		t.Errorf("unknown service: %d", got)
	}
	r.SetFaults(Faults{ClockOffset: time.Hour})
	if got := errorCode(t, r, ask()); got != errorcode.KRB_AP_ERR_SKEW {
		t.Errorf("clock an hour ahead: %d", got)
	}
	r.SetFaults(Faults{TooBigForUDP: true})
	var refused messages.KRBError
	if err := refused.Unmarshal(overUDP(t, r, ask())); err != nil || refused.ErrorCode != errorcode.KRB_ERR_RESPONSE_TOO_BIG {
		t.Errorf("over UDP: %d, %v", refused.ErrorCode, err)
	}
	if got := errorCode(t, r, ask()); got != 0 {
		t.Errorf("over TCP: %d", got)
	}

	r.SetFaults(Faults{WrongKey: true})
	var rep messages.TGSRep
	if err := rep.Unmarshal(r.answer(ask(), "tcp", testPeer)); err != nil {
		t.Fatal(err)
	}
	host, err := r.find("host/localhost")
	if err != nil {
		t.Fatal(err)
	}
	key, _ := host.version(rep.Ticket.EncPart.EType, rep.Ticket.EncPart.KVNO)
	if err := rep.Ticket.Decrypt(key.wire()); err == nil {
		t.Error("the service can decrypt a ticket that was to be in another key")
	}
	if _, part := grant(t, r, tgt, requestBody(r, r.tgsName())); part.CName.NameString == nil {
		t.Error("a ticket-granting ticket is in another key")
	}

	r.SetFaults(Faults{Drop: true})
	if reply := r.answer(ask(), "udp", testPeer); reply != nil {
		t.Error("answered although requests are dropped")
	}
	conn := dialTCP(t, r)
	if err := writeRecord(conn, ask()); err != nil {
		t.Fatal(err)
	}
	r.SetFaults(Faults{})
	if got := errorCode(t, r, ask()); got != 0 {
		t.Errorf("healthy again: %d", got)
	}
}

// TestClose ends what is under way.
func TestClose(t *testing.T) {
	r := testRealm(t, Config{})
	r.SetFaults(Faults{Drop: true})
	silent, idle := dialTCP(t, r), dialTCP(t, r)
	if err := writeRecord(silent, asRequest(t, r, aliceBody(r), nil, time.Time{})); err != nil {
		t.Fatal(err)
	}
	var closing sync.WaitGroup
	for range 2 {
		closing.Go(r.Close)
	}
	closing.Wait()
	for _, conn := range []net.Conn{silent, idle} {
		// A reset is as good as an end: what counts is that it is over.
		if n, err := io.Copy(io.Discard, conn); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	if conn, err := net.Dial("tcp", r.Addr()); err == nil {
		conn.Close()
		t.Error("still listening")
	}
}

func TestEncAuthorizationData(t *testing.T) {
	r := testRealm(t, Config{})
	tgt := mintTGT(t, r, TicketOptions{})
	body := requestBody(r, hostName)
	plain := []byte{0x30, 0x0e, 0x30, 0x0c, 0xa0, 4, 2, 2, 1, 0x41, 0xa1, 4, 4, 2, 'h', 'i'}
	var err error
	if body.EncAuthData, err = crypto.GetEncryptedData(plain, tgt.SessionKey.wire(), 4, 0); err != nil {
		t.Fatal(err)
	}
	_, part := grant(t, r, tgt, body)
	if len(part.AuthorizationData) != 1 || part.AuthorizationData[0].ADType != 0x141 || string(part.AuthorizationData[0].ADData) != "hi" {
		t.Errorf("authorization data is %+v", part.AuthorizationData)
	}
	body.EncAuthData = types.EncryptedData{EType: 18, Cipher: []byte("short")}
	if got := errorCode(t, r, tgsRequest(t, tgt, body, nil)); got != errorcode.KRB_AP_ERR_BAD_INTEGRITY {
		t.Errorf("ciphertext too short: %d", got)
	}
}

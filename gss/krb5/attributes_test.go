package krb5_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/jcmturner/gokrb5/v8/test/testdata"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/keytab"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
	"github.com/countersign-go/countersign/gss/krb5/internal/pac"
)

// pacBuffer is a buffer of a PAC to be made.
type pacBuffer struct {
	typ  uint32
	data []byte
}

// clientInfo is a PAC_CLIENT_INFO.
func clientInfo(name string, authTime time.Time) pacBuffer {
	units := utf16.Encode([]rune(name))
	b := binary.LittleEndian.AppendUint64(nil, uint64(authTime.Unix()+11644473600)*10_000_000)
	b = binary.LittleEndian.AppendUint16(b, uint16(2*len(units)))
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return pacBuffer{pac.TypeClientInfo, b}
}

// signedPAC is a PAC of the buffers, signed with the service's key, in the
// authorization data of a ticket.
func signedPAC(t testing.TB, key gsstest.Key, buffers ...pacBuffer) []gsstest.AuthorizationData {
	t.Helper()
	profile, err := etype.Lookup(etype.ID(key.Enctype))
	must(t, err)
	server := binary.LittleEndian.AppendUint32(nil, uint32(profile.ChecksumType()))
	buffers = append(slices.Clone(buffers),
		pacBuffer{pac.TypeServerChecksum, append(server, make([]byte, profile.MACSize())...)},
		pacBuffer{pac.TypeKDCChecksum, append([]byte{16, 0, 0, 0}, make([]byte, 12)...)})
	data := binary.LittleEndian.AppendUint64(nil, uint64(len(buffers)))
	offset := len(data) + 16*len(buffers)
	var body []byte
	signature := 0
	for _, b := range buffers {
		data = binary.LittleEndian.AppendUint32(data, b.typ)
		data = binary.LittleEndian.AppendUint32(data, uint32(len(b.data)))
		data = binary.LittleEndian.AppendUint64(data, uint64(offset+len(body)))
		if b.typ == pac.TypeServerChecksum {
			signature = offset + len(body) + 4
		}
		body = append(body, b.data...)
		body = append(body, make([]byte, -len(body)&7)...)
	}
	data = append(data, body...)
	sum, err := profile.NewChecksum(key.Value, 17)
	must(t, err)
	copy(data[signature:], sum.Sum(nil, data, nil))
	return inIfRelevant(t, data)
}

func inIfRelevant(t testing.TB, data []byte) []gsstest.AuthorizationData {
	t.Helper()
	der, err := kmsg.AuthorizationData{{Type: 128, Data: data}}.Append(nil)
	must(t, err)
	return []gsstest.AuthorizationData{{Type: 1, Data: der}}
}

func logonInfo(t testing.TB) pacBuffer {
	t.Helper()
	b, err := hex.DecodeString(testdata.MarshaledPAC_Kerb_Validation_Info_Trust)
	must(t, err)
	return pacBuffer{pac.TypeLogonInfo, b}
}

// TestPAC presents tickets with PACs to our acceptor and to MIT's: both believe
// the same ones, and no PAC keeps a context from standing.
func TestPAC(t *testing.T) {
	mitrealm.Need(t, "gss-server", "gss-client")
	mit := mitrealm.New(t, mitrealm.Config{})
	kt, err := os.ReadFile(mit.KeytabFile)
	must(t, err)
	entries, err := keytab.Parse(kt)
	must(t, err)
	entry := entries.Entries[0]
	key := gsstest.Key{Enctype: int32(entry.Etype), Value: entry.Key}
	realm, err := gsstest.NewRealm(gsstest.Config{Name: mit.Name})
	must(t, err)
	defer realm.Close()
	profile, err := krb5.ReadProfile(mit.ConfigFile)
	must(t, err)
	ours, err := krb5.ParseKeytab(kt)
	must(t, err)
	s := &setup{profile: profile, keytab: ours}

	now := time.Now()
	bad := func(data []gsstest.AuthorizationData) []gsstest.AuthorizationData {
		data[0].Data[len(data[0].Data)-30] ^= 1
		return data
	}
	truncated := logonInfo(t)
	truncated.data = truncated.data[:200]
	tests := []struct {
		name     string
		data     []gsstest.AuthorizationData
		believed bool
		err      error // of PACOf
		refused  bool  // by MIT's acceptor: the octets are no PAC at all
	}{
		{"none", nil, false, krb5.ErrNoPAC, false},
		{"client only", signedPAC(t, key, clientInfo("alice", now)), true, nil, false},
		{"with groups", signedPAC(t, key, logonInfo(t), clientInfo("alice", now)), true, nil, false},
		{"with an unknown buffer", signedPAC(t, key, clientInfo("alice", now), pacBuffer{77, []byte("?")}), true, nil, false},
		{"logon information cut short", signedPAC(t, key, clientInfo("alice", now), truncated), true, nil, false},
		{"another client", signedPAC(t, key, clientInfo("bob", now)), false, pac.ErrClient, false},
		{"realm in the name", signedPAC(t, key, clientInfo("alice@"+mit.Name, now)), false, pac.ErrClient, false},
		{"another time", signedPAC(t, key, clientInfo("alice", now.Add(-time.Hour))), false, pac.ErrClient, false},
		{"no client", signedPAC(t, key, logonInfo(t)), false, pac.ErrNoBuffer, false},
		{"altered", bad(signedPAC(t, key, clientInfo("alice", now))), false, pac.ErrSignature, false},
		{"another key", signedPAC(t, gsstest.Key{Enctype: key.Enctype, Value: make([]byte, 32)}, clientInfo("alice", now)), false, pac.ErrSignature, false},
		{"two clients", signedPAC(t, key, clientInfo("alice", now), clientInfo("alice", now)), false, nil, false},
		{"garbage", inIfRelevant(t, []byte("garbage, and enough of it")), false, nil, true},
		{"empty", inIfRelevant(t, nil), false, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ticket, err := realm.MintTicket(gsstest.TicketOptions{
				Client: "alice", Service: "host/localhost", Key: key, KVNO: int(entry.Kvno), AuthTime: now, AuthorizationData: tt.data,
			})
			must(t, err)
			cc, err := gsstest.MarshalCCache(ticket)
			must(t, err)
			path := writeFile(t, "ccache", cc)
			cache, err := krb5.OpenCache(path)
			must(t, err)
			s := *s
			s.cache = cache
			_, ac := pair(t, s.initiator(t), s.acceptor(t), gss.Request{Target: gss.HostService(service)})
			p, err := krb5.PACOf(ac.Inquire())
			if decoded := tt.believed && !strings.Contains(tt.name, "cut short"); (err == nil) != decoded || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("PACOf: %v", err)
			}
			var want []string
			if info := ac.Inquire(); info.Attributes != nil {
				for _, a := range info.Attributes.All() {
					want = append(want, a.Name)
					if !a.Authenticated || !a.Complete || len(a.Value) == 0 {
						t.Errorf("%+v", a)
					}
				}
			}
			if tt.believed != (want != nil) {
				t.Errorf("attributes %q", want)
			}
			if p != nil && (p.Logon != nil) != (tt.name == "with groups") {
				t.Errorf("logon information %+v", p.Logon)
			} else if p != nil && p.Logon != nil {
				if got := p.Logon.UserSID; got != "S-1-5-21-2284869408-3503417140-1141177250-1106" || len(p.Logon.GroupSIDs) != 3 {
					t.Errorf("%+v", p.Logon)
				}
				if got := ac.Inquire().Attributes.All()[1].Display; !strings.HasPrefix(got, `USER\testuser1, SID S-1-5-21-2284869408-`) || !strings.HasSuffix(got, "-513, 6 groups") {
					t.Errorf("display %q", got)
				}
			}
			if p != nil && (p.Client.Name != "alice" || p.Client.AuthTime.Unix() != now.Unix()) {
				t.Errorf("%+v", p.Client)
			}

			server := mit.GSSServer("-once", "-verbose", service)
			client := mit.Command("gss-client", "-port", server.Port, server.Host, service, "hello")
			client.Env = append(client.Env, "KRB5CCNAME=FILE:"+path)
			if out, err := client.CombinedOutput(); (err != nil) != tt.refused {
				t.Fatalf("%v\n%s", err, out)
			}
			must(t, server.Wait())
			var theirs []string
			for line := range strings.Lines(server.Output()) {
				if f := strings.Fields(line); len(f) == 4 && f[0] == "Attribute" && f[2] == "Authenticated" && f[3] == "Complete" {
					theirs = append(theirs, f[1])
				}
			}
			if !slices.Equal(want, theirs) {
				t.Errorf("attributes %q, MIT's %q\n%s", want, theirs, server.Output())
			}
		})
	}
}

// TestPACOfMIT believes what MIT's KDC puts into its tickets.
func TestPACOfMIT(t *testing.T) {
	for _, enctype := range []string{"aes128-cts", "aes256-cts", "aes128-sha2", "aes256-sha2"} {
		t.Run(enctype, func(t *testing.T) {
			mit := mitrealm.New(t, mitrealm.Config{Enctypes: []string{enctype}})
			mit.Kinit("alice")
			s := &setup{}
			var err error
			s.profile, err = krb5.ReadProfile(mit.ConfigFile)
			must(t, err)
			s.keytab, err = krb5.OpenKeytab(mit.KeytabFile)
			must(t, err)
			s.cache, err = krb5.OpenCache(mit.CCacheFile)
			must(t, err)
			ic, ac := pair(t, s.initiator(t), s.acceptor(t), gss.Request{Target: gss.HostService(service)})
			if _, err := krb5.PACOf(ic.Inquire()); !errors.Is(err, krb5.ErrNoPAC) {
				t.Error("on the initiator's side:", err)
			}
			p, err := krb5.PACOf(ac.Inquire())
			if err != nil {
				t.Fatal(err)
			}
			if p.Client.Name != "alice" || time.Since(p.Client.AuthTime) > time.Minute || p.Logon != nil || p.UPN != nil {
				t.Errorf("%+v", p)
			}
			display := map[string]string{}
			for _, a := range ac.Inquire().Attributes.All() {
				display[a.Name] = a.Display
			}
			if got := display["urn:mspac:client-info"]; !strings.HasPrefix(got, "alice, authenticated 2") {
				t.Errorf("%q in %q", got, display)
			}
			if _, ok := display["urn:mspac:server-checksum"]; !ok {
				t.Errorf("%q", display)
			}
		})
	}
}

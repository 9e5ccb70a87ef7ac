package ccache

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/credentials"
)

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parsed(t testing.TB, name string) *Cache {
	t.Helper()
	c, err := Parse(recorded(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return c
}

func name(realm string, components ...string) Principal {
	return Principal{Realm: realm, Components: components, NameType: 1}
}

// littleEndian says whether this machine can read the recorded caches of versions 1 and 2, which have their writer's order.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Caches written by kinit and kvno in each of the four versions (testdata/record.sh).
func TestParseRecorded(t *testing.T) {
	for _, file := range []string{"v1.ccache", "v2.ccache", "v3.ccache", "v4.ccache"} {
		if file < "v3" && !littleEndian {
			t.Logf("left out: %s has another byte order", file)
			continue
		}
		c := parsed(t, file)
		if got := c.Default.String(); got != "alice@EXAMPLE.COM" {
			t.Errorf("%s: default principal %s", file, got)
		}
		var servers []string
		for _, cred := range c.Credentials {
			if cred.IsConfig() {
				continue
			}
			servers = append(servers, cred.Server.String())
			if cred.KeyType != 18 || len(cred.Key) != 32 || cred.EndTime.Sub(cred.AuthTime) != 24*time.Hour || cred.RenewTill.Sub(cred.AuthTime) != 48*time.Hour ||
				cred.Ticket[0] != 0x61 || cred.Flags&0x40800000 != 0x40800000 { // forwardable, renewable
				t.Errorf("%s: %v has flags %08x, renewable until %v", file, cred, cred.Flags, cred.RenewTill)
			}
		}
		if want := []string{"krbtgt/EXAMPLE.COM@EXAMPLE.COM", "host/a.example@EXAMPLE.COM", "HTTP/b.example@EXAMPLE.COM"}; !slices.Equal(servers, want) {
			t.Errorf("%s: tickets for %q", file, servers)
		}
		// What kinit notes about the KDC.
		if v, ok := c.Config("fast_avail", "krbtgt/EXAMPLE.COM@EXAMPLE.COM"); string(v) != "yes" || !ok {
			t.Errorf("%s: fast_avail is %q, %v", file, v, ok)
		}
	}
}

func TestParseRecordedExtras(t *testing.T) {
	c := parsed(t, "addresses.ccache")
	tgt := c.Credentials[slices.IndexFunc(c.Credentials, func(c Credential) bool { return !c.IsConfig() })]
	if len(tgt.Addresses) == 0 || tgt.Addresses[0].Type != 2 || len(tgt.Addresses[0].Data) != 4 {
		t.Errorf("addresses: %v", tgt.Addresses)
	}
	c = parsed(t, "u2u.ccache")
	last := c.Credentials[len(c.Credentials)-1]
	if !last.IsSKey || last.SecondTicket[0] != 0x61 || last.Server.String() != "alice@EXAMPLE.COM" {
		t.Errorf("user-to-user: %v, skey %v", last, last.IsSKey)
	}
	if c.Find(c.Default, last.Server, nil, last.AuthTime) != nil {
		t.Error("Find gave a user-to-user ticket")
	}
}

func TestParseAgreesWithGokrb5(t *testing.T) {
	for _, file := range []string{"v4.ccache", "u2u.ccache", "addresses.ccache"} {
		c := parsed(t, file)
		theirs := new(credentials.CCache)
		if err := theirs.Unmarshal(recorded(t, file)); err != nil {
			t.Fatal(err)
		}
		if len(theirs.Credentials) != len(c.Credentials) {
			t.Fatalf("%s: %d credentials, gokrb5 finds %d", file, len(c.Credentials), len(theirs.Credentials))
		}
		for i, cred := range c.Credentials {
			g := theirs.Credentials[i]
			if !slices.Equal(g.Server.PrincipalName.NameString, cred.Server.Components) || g.Server.Realm != cred.Server.Realm || !bytes.Equal(g.Key.KeyValue, cred.Key) ||
				g.Key.KeyType != cred.KeyType || g.AuthTime.Unix() != max(cred.AuthTime.Unix(), 0) || g.IsSKey != cred.IsSKey ||
				binary.BigEndian.Uint32(g.TicketFlags.Bytes) != cred.Flags || !bytes.Equal(g.Ticket, cred.Ticket) || !bytes.Equal(g.SecondTicket, cred.SecondTicket) {
				t.Errorf("%s, credential %d: %v differs", file, i, cred)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, file := range []string{"v4.ccache", "u2u.ccache", "addresses.ccache"} {
		out, err := parsed(t, file).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out, recorded(t, file)) {
			t.Errorf("%s: written differently\n%x", file, out)
		}
	}
}

func TestEveryPrefix(t *testing.T) {
	for _, file := range []string{"v3.ccache", "v4.ccache", "u2u.ccache", "addresses.ccache"} {
		data := recorded(t, file)
		_, _, spans, err := parse(data)
		if err != nil {
			t.Fatal(err)
		}
		// Where a credential ends a shorter cache ends as well.
		whole := map[int]int{spans[0].start: 0}
		for i, s := range spans {
			whole[s.end] = i + 1
		}
		for i := range data {
			c, err := Parse(data[:i])
			if n, ok := whole[i]; ok {
				if err != nil || len(c.Credentials) != n {
					t.Errorf("%s, %d bytes: %v, want %d credentials", file, i, err, n)
				}
			} else if !errors.Is(err, ErrFormat) {
				t.Errorf("%s, %d of %d bytes: error %v", file, i, len(data), err)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "cc")
	if err := os.WriteFile(path, recorded(t, "v4.ccache")[:700], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, path).Load(t.Context()); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), path) {
		t.Errorf("a truncated file: %v", err)
	}
}

func TestHeader(t *testing.T) {
	body := recorded(t, "v4.ccache")[16:]
	for _, test := range []struct {
		header string
		offset time.Duration
		ok     bool
	}{
		{"", 0, true},
		{"\x00\x01\x00\x08\xff\xff\xff\xfe\xff\xff\xff\xff", -2*time.Second - time.Microsecond, true},
		{"\x00\x09\x00\x01x\x00\x01\x00\x08\x00\x00\x00\x02\x00\x00\x00\x03", 2*time.Second + 3*time.Microsecond, true},
		{"\x00\x01\x00\x07\x00\x00\x00\x00\x00\x00\x00", 0, false},
		{"\x00\x09\x00\x02x", 0, false},
		{"\x00\x09\x00", 0, false},
		{"\x00\x09\x03\xfd" + strings.Repeat("x", 1021), 0, false},
	} {
		data := append(binary.BigEndian.AppendUint16([]byte{5, 4}, uint16(len(test.header))), test.header...)
		data = append(data, body...)
		c, err := Parse(data)
		if !test.ok {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("header %q: error %v", test.header, err)
			}
			continue
		}
		if err != nil || c.TimeOffset != test.offset {
			t.Errorf("header %q: offset %v, %v", test.header, c.TimeOffset, err)
			continue
		}
		if out, err := c.Marshal(); err != nil || !bytes.Equal(out, data) {
			t.Errorf("header %q is not written as it was (%v)", test.header, err)
		}
		c.TimeOffset = -90 * time.Second
		out, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Parse(out); err != nil || again.TimeOffset != -90*time.Second {
			t.Errorf("a new offset is read as %v, %v", again, err)
		}
	}
	if _, err := Parse([]byte{5, 5}); !errors.Is(err, ErrVersion) {
		t.Errorf("version 5: %v", err)
	}
	// Counts that the file cannot hold are refused before anything is allocated for them.
	if _, err := Parse([]byte("\x05\x04\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\x00\x00\x00\x00")); !errors.Is(err, ErrFormat) {
		t.Errorf("four thousand million components: %v", err)
	}
}

func credential(service string, etype int32, end int64) Credential {
	return Credential{
		Client: name("R", "alice"), Server: name("R", "host", service), KeyType: etype, Key: []byte("0123456789abcdef"),
		AuthTime: time.Unix(1_700_000_000, 0).UTC(), StartTime: time.Unix(1_700_000_000, 0).UTC(), EndTime: time.Unix(end, 0).UTC(),
		Flags: 0x40000000, Ticket: []byte("ticket for " + service),
	}
}

func TestFind(t *testing.T) {
	alice, host := name("R", "alice"), name("R", "host", "a")
	typed := host
	typed.NameType = 3
	other := credential("a", 20, 4000)
	other.Client = name("OTHER", "alice")
	skey := credential("a", 20, 4000)
	skey.IsSKey = true
	c := &Cache{Default: alice, Credentials: []Credential{
		credential("a", 17, 2000), credential("a", 18, 1500), credential("a", 18, 2500), credential("b", 18, 9000), other, skey,
	}}
	for _, test := range []struct {
		etypes []int32
		now    int64
		etype  int32
		end    int64 // 0: none
	}{
		{nil, 1000, 18, 2500},
		{[]int32{20, 17, 18}, 1000, 17, 2000},
		{[]int32{20, 17, 18}, 2000, 18, 2500}, // the end itself is past
		{[]int32{18}, 2500, 0, 0},
		{[]int32{20}, 1000, 0, 0},
	} {
		got := c.Find(alice, typed, test.etypes, time.Unix(test.now, 0))
		if (got != nil) != (test.end != 0) || got != nil && (got.KeyType != test.etype || got.EndTime.Unix() != test.end) {
			t.Errorf("etypes %d at %d: %v", test.etypes, test.now, got)
		}
	}
	// Searching costs nothing that lasts, however many configuration entries there are.
	for range 20 {
		c.Credentials = append(c.Credentials, ConfigEntry(alice, "pa_type", "krbtgt/R@R", []byte("2")))
	}
	etypes, now := []int32{18}, time.Unix(1000, 0)
	if n := testing.AllocsPerRun(100, func() { c.Find(alice, typed, etypes, now) }); n != 0 {
		t.Errorf("Find allocates %v times", n)
	}
}

func TestConfig(t *testing.T) {
	c := &Cache{Default: name("R", "alice")}
	c.Credentials = append(c.Credentials, ConfigEntry(c.Default, "start_realm", "", []byte("old")), ConfigEntry(c.Default, "start_realm", "", []byte("R2")), ConfigEntry(c.Default, "pa_type", "krbtgt/R@R", []byte("2")))
	if v, ok := c.Config("start_realm", ""); string(v) != "R2" || !ok {
		t.Errorf("start_realm %q, %v", v, ok)
	}
	if v, ok := c.Config("pa_type", "krbtgt/R@R"); string(v) != "2" || !ok {
		t.Errorf("pa_type %q, %v", v, ok)
	}
	if v, ok := c.Config("pa_type", ""); ok {
		t.Errorf("pa_type of the whole cache %q", v)
	}
}

func TestNoKeyIsPrinted(t *testing.T) {
	c := credential("a", 18, 2000)
	c.Key, c.Ticket = []byte("SECRET"), []byte("SECRET")
	js, err := json.Marshal(Cache{Credentials: []Credential{c}})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(js), fmt.Sprintf("%v %+v %#v %s %q %x %d", c, c, c, c, c, c, c), fmt.Sprintf("%+v %#v", &Cache{Credentials: []Credential{c}}, []*Credential{&c})} {
		for _, secret := range []string{"SECRET", fmt.Sprintf("%x", c.Key), fmt.Sprint(c.Key), "U0VDUkVU", "0x53, 0x45"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q shows the key", text)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"v1.ccache", "v2.ccache", "v3.ccache", "v4.ccache", "u2u.ccache", "addresses.ccache"} {
		f.Add(recorded(f, file))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrVersion) {
				t.Fatalf("error %v is neither", err)
			}
			return
		}
		out, err := c.Marshal()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if len(out) > 2*len(data)+16 {
			t.Fatalf("%d bytes became %d", len(data), len(out))
		}
		again, err := Parse(out)
		if err != nil || again.TimeOffset != c.TimeOffset || !reflect.DeepEqual(again.Default, c.Default) || !reflect.DeepEqual(again.Credentials, c.Credentials) {
			t.Fatalf("written and read again: %v\n%v\n%v", err, c, again)
		}
	})
}

func open(t testing.TB, name string) *Store {
	t.Helper()
	s, err := Resolver{}.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mit finds one of MIT's programs, without which the rest of the test is left out, but not in CI.
func mit(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s (krb5-user) is missing", program)
		}
		t.Skipf("left out: %s (krb5-user) is missing", program)
	}
	return path
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", program, args, err, out)
	}
	return string(out)
}

package pac

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/test/testdata"

	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// adPAC is a PAC that an Active Directory domain controller signed, and the
// service's key, from gokrb5's test data.
func adPAC(t testing.TB) (data, key []byte) {
	t.Helper()
	kt := keytab.New()
	if err := kt.Unmarshal(unhex(t, testdata.KEYTAB_SYSHTTP_TEST_GOKRB5)); err != nil {
		t.Fatal(err)
	}
	for _, e := range kt.Entries {
		if e.Key.KeyType == 18 && e.KVNO == 2 {
			return unhex(t, testdata.MarshaledPAC_AD_WIN2K_PAC), e.Key.KeyValue
		}
	}
	t.Fatal("no key")
	return nil, nil
}

func parsed(t testing.TB, data []byte) *PAC {
	t.Helper()
	p, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// logonOnly is a PAC of nothing but logon information.
func logonOnly(b []byte) *PAC { return &PAC{Buffers: []Buffer{{TypeLogonInfo, b}}} }

func TestSignature(t *testing.T) {
	data, key := adPAC(t)
	if err := parsed(t, data).Verify(key, etype.AES256CTSHMACSHA196); err != nil {
		t.Fatal("a domain controller's signature:", err)
	}
	// Whatever bit is turned, the PAC no longer parses or no longer verifies,
	// but for the KDC's own signature, over which the server's is not made.
	kdc, err := parsed(t, data).Buffer(TypeKDCChecksum)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		altered := slices.Clone(data)
		altered[i] ^= 0x40
		p, err := Parse(altered)
		if err == nil {
			err = p.Verify(key, etype.AES256CTSHMACSHA196)
		}
		own := strings.Index(string(data), string(kdc)) + signatureHeader
		if inKDC := i >= own && i < own+len(kdc)-signatureHeader; (err == nil) != inKDC {
			t.Errorf("octet %d altered: %v", i, err)
		}
	}
	for n := range data {
		p, err := Parse(data[:n])
		if err == nil {
			err = p.Verify(key, etype.AES256CTSHMACSHA196)
		}
		if err == nil {
			t.Errorf("the first %d of %d octets verify", n, len(data))
		}
	}
	other := slices.Clone(key)
	other[0] ^= 1
	if err := parsed(t, data).Verify(other, etype.AES256CTSHMACSHA196); !errors.Is(err, ErrSignature) {
		t.Error("another key:", err)
	}
	if err := parsed(t, data).Verify(key, etype.AES256CTSHMACSHA384192); !errors.Is(err, ErrSignature) {
		t.Error("a key of another type:", err)
	}
}

// resign makes the server signature of p anew, in place.
func resign(t testing.TB, p *PAC, key []byte, id etype.ID) {
	t.Helper()
	profile, err := etype.Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	server, err := p.Buffer(TypeServerChecksum)
	if err != nil {
		t.Fatal(err)
	}
	kdc, err := p.Buffer(TypeKDCChecksum)
	if err != nil {
		t.Fatal(err)
	}
	clear(server)
	binary.LittleEndian.PutUint32(server, uint32(profile.ChecksumType()))
	clear(kdc[signatureHeader:])
	sum, err := profile.NewChecksum(key, usageSignature)
	if err != nil {
		t.Fatal(err)
	}
	copy(server[signatureHeader:], sum.Sum(nil, p.Data, nil))
}

// TestReadOnlyController has the number of a read-only domain controller behind
// the signatures, and every checksum type.
func TestReadOnlyController(t *testing.T) {
	for id, size := range map[etype.ID]int{17: 12, 18: 12, 19: 16, 20: 24} {
		profile, err := etype.Lookup(id)
		if err != nil {
			t.Skip(err)
		}
		data := build([]Buffer{
			{TypeServerChecksum, make([]byte, 4+size+2)},
			{TypeKDCChecksum, make([]byte, 4+12+2)},
			{99, []byte("tolerated")},
		})
		key := make([]byte, profile.KeySize())
		p := parsed(t, data)
		resign(t, p, key, id)
		server, _ := p.Buffer(TypeServerChecksum)
		clear(server[4+size:]) // of the controller: zeroed with the signature
		if err := p.Verify(key, id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// build lays out buffers as a PAC.
func build(buffers []Buffer) []byte {
	data := binary.LittleEndian.AppendUint64(nil, uint64(len(buffers)))
	offset := headerSize + entrySize*len(buffers)
	var body []byte
	for _, b := range buffers {
		data = binary.LittleEndian.AppendUint32(data, b.Type)
		data = binary.LittleEndian.AppendUint32(data, uint32(len(b.Data)))
		data = binary.LittleEndian.AppendUint64(data, uint64(offset+len(body)))
		body = append(body, b.Data...)
		body = append(body, make([]byte, -len(body)&7)...)
	}
	return append(data, body...)
}

func TestHostileDirectory(t *testing.T) {
	entry := func(typ, size uint32, offset uint64) []byte {
		b := binary.LittleEndian.AppendUint32(nil, typ)
		b = binary.LittleEndian.AppendUint32(b, size)
		return binary.LittleEndian.AppendUint64(b, offset)
	}
	pac := func(count, version uint32, rest ...[]byte) []byte {
		b := binary.LittleEndian.AppendUint32(nil, count)
		b = binary.LittleEndian.AppendUint32(b, version)
		return append(b, slices.Concat(rest...)...)
	}
	body := make([]byte, 8)
	tests := map[string][]byte{
		"nothing":                    nil,
		"no buffers":                 pac(0, 0),
		"four thousand million":      pac(1<<32-1, 0, entry(1, 8, 24), body),
		"count times size is small":  pac(1<<28, 0, entry(1, 8, 24), body),
		"one entry, none there":      pac(1, 0),
		"too many":                   pac(65, 0, make([]byte, 65*entrySize)),
		"another version":            pac(1, 1, entry(1, 8, 24), body),
		"offset not aligned":         pac(1, 0, entry(1, 4, 28), body),
		"offset in the directory":    pac(1, 0, entry(1, 8, 16), body),
		"offset beyond the end":      pac(1, 0, entry(1, 0, 40), body),
		"offset of 64 bits":          pac(1, 0, entry(1, 8, 1<<64-8), body),
		"size beyond the end":        pac(1, 0, entry(1, 9, 24), body),
		"size and offset wrap round": pac(1, 0, entry(1, 1<<32-1, 24), body),
	}
	for name, data := range tests {
		if _, err := Parse(data); !errors.Is(err, errFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse(pac(1, 0, entry(1, 8, 24), body)); err != nil {
		t.Error("a good one:", err)
	}
	twice := parsed(t, pac(2, 0, entry(10, 8, 40), entry(10, 8, 40), body))
	if _, err := twice.ClientInfo(); !errors.Is(err, errDuplicate) {
		t.Error("two of a type:", err)
	}
	if _, err := twice.UPNInfo(); !errors.Is(err, ErrNoBuffer) {
		t.Error("none of a type:", err)
	}
}

func TestClientInfo(t *testing.T) {
	data, _ := adPAC(t)
	p := parsed(t, data)
	client, err := p.ClientInfo()
	if want := (ClientInfo{"testuser1", time.Date(2017, 5, 6, 15, 53, 11, 0, time.UTC)}); err != nil || client != want {
		t.Errorf("%+v, %v", client, err)
	}
	if err := p.CheckClient([]string{"testuser1"}, client.AuthTime); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"another name":       p.CheckClient([]string{"testuser2"}, client.AuthTime),
		"one component more": p.CheckClient([]string{"testuser1", ""}, client.AuthTime),
		"another time":       p.CheckClient([]string{"testuser1"}, client.AuthTime.Add(time.Second)),
	} {
		if !errors.Is(err, ErrClient) {
			t.Errorf("%s: %v", name, err)
		}
	}
	service := &PAC{Buffers: []Buffer{{TypeClientInfo, append(make([]byte, 8), "\x06\x00a\x00/\x00b\x00"...)}}}
	if err := service.CheckClient([]string{"a", "b"}, time.Time{}); err != nil {
		t.Error(err)
	}
}

func TestUPNInfo(t *testing.T) {
	data, _ := adPAC(t)
	upn, err := parsed(t, data).UPNInfo()
	if err != nil || upn != (UPNInfo{UPN: "testuser1@test.gokrb5", DNSDomain: "TEST.GOKRB5"}) {
		t.Errorf("%+v, %v", upn, err)
	}
	// As MS-PAC, section 2.10, has it since 2021: with account name and SID.
	b := make([]byte, 24)
	add := func(at int, value string) {
		binary.LittleEndian.PutUint16(b[at:], uint16(len(value)))
		binary.LittleEndian.PutUint16(b[at+2:], uint16(len(b)))
		b = append(b, value...)
	}
	add(0, "\x3d\xd8\x00\xde@\x00d\x00") // a smiling face, beyond 16 bits
	add(4, "D\x00")
	binary.LittleEndian.PutUint32(b[8:], upnExtended|upnImplicit)
	add(12, "m\x00e\x00")
	add(16, "\x01\x02\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\xff\xff\xff\xff")
	want := UPNInfo{UPN: "\U0001f600@d", DNSDomain: "D", UPNIsImplicit: true, SAMName: "me", SID: "S-1-5-21-4294967295"}
	got, err := (&PAC{Buffers: []Buffer{{TypeUPNInfo, b}}}).UPNInfo()
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range b {
		if _, err := (&PAC{Buffers: []Buffer{{TypeUPNInfo, b[:n:n]}}}).UPNInfo(); err == nil {
			t.Errorf("the first %d of %d octets are accepted", n, len(b))
		}
	}
}

// sids writes SIDs of one domain.
func sids(domain string, ids ...int) (list []string) {
	for _, id := range ids {
		list = append(list, domain+"-"+strconv.Itoa(id))
	}
	return list
}

// TestLogonInfo reads the logon information of three domain controllers: of
// Microsoft's own network, of a small domain, and of a domain that trusts the
// user's.
func TestLogonInfo(t *testing.T) {
	const (
		ntdev = "S-1-5-21-397955417-626881126-188441444"
		small = "S-1-5-21-3167651404-3865080224-2280184895"
		user  = "S-1-5-21-2284869408-3503417140-1141177250"
		trust = "S-1-5-21-3062750306-1230139592-1973306805"
	)
	tests := []struct {
		name, hex string
		want      LogonInfo
	}{
		{"large", testdata.MarshaledPAC_Kerb_Validation_Info_MS, LogonInfo{
			UserName: "lzhu", FullName: "Liqiang(Larry) Zhu", Domain: "NTDEV", Server: "NTDEV-DC-05",
			LogonTime: time.Date(2006, 4, 28, 1, 42, 50, 925640100, time.UTC),
			UserSID:   ntdev + "-2914711", PrimaryGroupSID: ntdev + "-513",
			GroupSIDs: sids(ntdev, 3392609, 2999049, 3322974, 513, 2931095, 3338539, 3354830, 3026599, 3338538, 2931096, 3392610, 3342740,
				3392630, 3014318, 2937394, 3278870, 3038018, 3322975, 3513546, 2966661, 3338434, 3271401, 3051245, 3271606, 3026603, 3018354),
			ExtraSIDs: append([]string{"S-1-5-21-773533881-1816936887-355810188-513"}, sids(ntdev, 3101812, 3291368, 3291341, 3322973,
				3479105, 3271400, 3283393, 3338537, 3038991, 3037999, 3248111, 3038983)...),
		}},
		{"small", testdata.MarshaledPAC_Kerb_Validation_Info, LogonInfo{
			UserName: "testuser1", FullName: "Test1 User1", Domain: "TEST", Server: "ADDC",
			LogonTime: time.Date(2017, 5, 6, 15, 53, 11, 825766900, time.UTC),
			UserSID:   small + "-1105", PrimaryGroupSID: small + "-513",
			GroupSIDs: sids(small, 513, 1108, 1109, 1115, 1116),
			ExtraSIDs: sids(small, 1114, 1111),
		}},
		{"trust", testdata.MarshaledPAC_Kerb_Validation_Info_Trust, LogonInfo{
			UserName: "testuser1", FullName: "Test1 User1", Domain: "USER", Server: "UDC",
			LogonTime: time.Date(2017, 10, 14, 12, 3, 41, 52409900, time.UTC),
			UserSID:   user + "-1106", PrimaryGroupSID: user + "-513",
			GroupSIDs:         sids(user, 1110, 513, 1109),
			ExtraSIDs:         []string{"S-1-18-1"},
			ResourceGroupSIDs: sids(trust, 1107, 1108),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.hex)
			got, err := logonOnly(b).LogonInfo()
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("%+v, %v\nwant %+v", got, err, tt.want)
			}
			for n := range b {
				info, err := logonOnly(b[:n:n]).LogonInfo()
				if err == nil && !reflect.DeepEqual(info, tt.want) {
					t.Errorf("the first %d of %d octets give %+v", n, len(b), info)
				}
				if err == nil && len(b)-n >= alignment {
					t.Errorf("the first %d of %d octets are accepted", n, len(b))
				}
			}
		})
	}
}

// TestLogonInfoCounts sets each word in turn to counts that would make a
// decoder allocate gigabytes or run off the end.
func TestLogonInfoCounts(t *testing.T) {
	good := unhex(t, testdata.MarshaledPAC_Kerb_Validation_Info_Trust)
	for at := 0; at+4 <= len(good); at += 2 {
		for _, value := range []uint32{0, 1, 16, 1 << 15, 1<<16 + 1, 1 << 28, 1<<31 - 1, 1<<32 - 1} {
			b := slices.Clone(good)
			binary.LittleEndian.PutUint32(b[at:], value)
			if allocated := testing.AllocsPerRun(1, func() { logonOnly(b).LogonInfo() }); allocated > 5000 {
				t.Errorf("%#x at %d: %v allocations", value, at, allocated)
			}
		}
	}
}

func TestDisabledGroups(t *testing.T) {
	b := unhex(t, testdata.MarshaledPAC_Kerb_Validation_Info_Trust)
	// The attributes of the group 1110, the first.
	i := strings.Index(string(b), "\x56\x04\x00\x00\x07\x00\x00\x00")
	b[i+4] = 3
	got, err := logonOnly(b).LogonInfo()
	if err != nil || len(got.GroupSIDs) != 2 || strings.HasSuffix(got.GroupSIDs[0], "-1110") {
		t.Errorf("%v, %v", got.GroupSIDs, err)
	}
}

func TestFind(t *testing.T) {
	inner := func(entries ...kmsg.AuthorizationDataEntry) []byte {
		b, err := kmsg.AuthorizationData(entries).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	pac := kmsg.AuthorizationDataEntry{Type: adWin2kPAC, Data: []byte("pac")}
	other := kmsg.AuthorizationDataEntry{Type: 512, Data: []byte("other")}
	ticket := kmsg.AuthorizationData{other, {Type: adIfRelevant, Data: inner(other)}, {Type: adIfRelevant, Data: inner(other, pac)}}
	if got, err := Find(Containers(ticket)); err != nil || string(got) != "pac" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Find(Containers(ticket[:2])); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if Containers(ticket[:1]) != nil {
		t.Error("a container where there is none")
	}
	if _, err := Find([][]byte{[]byte("\x30\x05")}); err == nil || errors.Is(err, ErrNone) {
		t.Error("malformed:", err)
	}
}

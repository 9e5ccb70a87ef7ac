package keytab

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gokeytab "github.com/jcmturner/gokrb5/v8/keytab"
)

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func summary(kt *Keytab) []string {
	var lines []string
	for _, k := range kt.Summary() {
		lines = append(lines, k.String())
	}
	return lines
}

const allEtypes = "aes256-cts-hmac-sha1-96, aes128-cts-hmac-sha1-96, aes256-cts-hmac-sha384-192, aes128-cts-hmac-sha256-128"

// Keytabs written by ktutil and kadmin (testdata/record.sh).
func TestParseRecorded(t *testing.T) {
	for _, test := range []struct {
		file string
		want []string
	}{
		{"ktutil.keytab", []string{
			"alice@EXAMPLE.COM: kvno 1 (aes256-cts-hmac-sha1-96, aes128-cts-hmac-sha1-96)",
			"host/a.example@EXAMPLE.COM: kvno 300 (aes256-cts-hmac-sha384-192)",
		}},
		{"ktadd.keytab", []string{
			"host/a.example@EXAMPLE.COM: kvno 2 (" + allEtypes + ")",
			"HTTP/a.example@EXAMPLE.COM: kvno 2 (" + allEtypes + ")",
		}},
		{"holes.keytab", []string{
			"x@EXAMPLE.COM: kvno 2 (aes128-cts-hmac-sha1-96)",
			"host/b.example@EXAMPLE.COM: kvno 2 (" + allEtypes + ")",
		}},
	} {
		kt, err := Parse(recorded(t, test.file))
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		if got := summary(kt); !slices.Equal(got, test.want) {
			t.Errorf("%s holds %q, want %q", test.file, got, test.want)
		}
	}
}

// An independent reader finds the same principals, versions and keys.
func TestParseAgreesWithGokrb5(t *testing.T) {
	for _, file := range []string{"ktutil.keytab", "ktadd.keytab"} {
		data := recorded(t, file)
		kt, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		theirs := gokeytab.New()
		if err := theirs.Unmarshal(data); err != nil {
			t.Fatal(err)
		}
		if len(kt.Entries) != len(theirs.Entries) {
			t.Fatalf("%s: %d entries, gokrb5 finds %d", file, len(kt.Entries), len(theirs.Entries))
		}
		for i, e := range kt.Entries {
			g := theirs.Entries[i]
			if e.Realm != g.Principal.Realm || !slices.Equal(e.Components, g.Principal.Components) || e.NameType != g.Principal.NameType ||
				e.Kvno != g.KVNO || e.Etype != g.Key.KeyType || !bytes.Equal(e.Key, g.Key.KeyValue) || !e.Timestamp.Equal(g.Timestamp) {
				t.Errorf("%s, entry %d: %v, gokrb5 reads %v", file, i, e, g.Principal)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, file := range []string{"ktutil.keytab", "ktadd.keytab"} {
		data := recorded(t, file)
		kt, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		prefix := []byte("before")
		out, err := kt.Append(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out, append(prefix, data...)) {
			t.Errorf("%s: written differently\ngot  %x\nwant %x", file, out, data)
		}
	}
}

func TestEveryPrefix(t *testing.T) {
	data := recorded(t, "ktadd.keytab")
	// Where a record ends a shorter keytab ends as well.
	ends := map[int]int{2: 0}
	for at, n := 2, 0; at < len(data); {
		at += 4 + int(binary.BigEndian.Uint32(data[at:]))
		n++
		ends[at] = n
	}
	for i := range data {
		kt, err := Parse(data[:i])
		if n, whole := ends[i]; whole {
			if err != nil || len(kt.Entries) != n {
				t.Errorf("%d bytes: %v, want %d entries", i, err, n)
			}
			continue
		}
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%d of %d bytes: error %v", i, len(data), err)
		}
	}
}

// record builds one record in the given byte order.
func record(order binary.AppendByteOrder, fields ...any) []byte {
	var b []byte
	for _, f := range fields {
		switch f := f.(type) {
		case uint8:
			b = append(b, f)
		case uint16:
			b = order.AppendUint16(b, f)
		case uint32:
			b = order.AppendUint32(b, f)
		case string:
			b = append(order.AppendUint16(b, uint16(len(f))), f...)
		}
	}
	return append(order.AppendUint32(nil, uint32(len(b))), b...)
}

func TestParseVersion1(t *testing.T) {
	data := append([]byte{5, 1}, record(binary.NativeEndian, uint16(3), "R", "host", "a", uint32(1000), uint8(7), uint16(17), "0123456789abcdef")...)
	kt, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{{Realm: "R", Components: []string{"host", "a"}, Timestamp: time.Unix(1000, 0).UTC(), Kvno: 7, Etype: 17, Key: []byte("0123456789abcdef")}}
	if !reflect.DeepEqual(kt.Entries, want) {
		t.Errorf("got %v, want %v", kt.Entries, want)
	}
}

func TestParseRecords(t *testing.T) {
	be := binary.BigEndian
	whole := func(kvno uint8, rest ...any) []byte {
		return record(be, append([]any{uint16(1), "R", "a", uint32(1), uint32(9), kvno, uint16(18), "k"}, rest...)...)
	}
	for _, test := range []struct {
		name string
		data []byte
		kvno []uint32 // nil: an error
	}{
		{"8-bit version", whole(7), []uint32{7}},
		{"32-bit version", whole(44, uint32(300)), []uint32{300}},
		{"zero fill is no version", whole(7, uint32(0)), []uint32{7}},
		{"three bytes are no version", whole(7, uint8(1), uint8(1), uint8(1)), []uint32{7}},
		{"flags after the version", whole(44, uint32(300), uint32(1)), []uint32{300}},
		{"hole", slices.Concat([]byte{0xff, 0xff, 0xff, 0xfd, 1, 2, 3}, whole(7)), []uint32{7}},
		{"hole past the end", slices.Concat(whole(7), []byte{0xff, 0xff, 0xff, 0xfd, 1, 2}), nil},
		{"hole of the lowest length", []byte{0x80, 0, 0, 0}, nil},
		{"length 0 ends the keytab", slices.Concat(whole(7), []byte{0, 0, 0, 0, 1}), []uint32{7}},
		{"record of 2 GiB", []byte{0x7f, 0xff, 0xff, 0xff}, nil},
		{"no components", record(be, uint16(0), "R", uint32(1), uint32(9), uint8(1), uint16(18), "k"), nil},
		{"more components than bytes", record(be, uint16(30000), "R", "a"), nil},
		{"negative number of components", record(be, uint16(0x8001), "R", "a"), nil},
		{"empty key", record(be, uint16(1), "R", "a", uint32(1), uint32(9), uint8(1), uint16(18), ""), nil},
	} {
		kt, err := Parse(append([]byte{5, 2}, test.data...))
		if test.kvno == nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%s: error %v", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var got []uint32
		for _, e := range kt.Entries {
			got = append(got, e.Kvno)
		}
		if !slices.Equal(got, test.kvno) {
			t.Errorf("%s: versions %d, want %d", test.name, got, test.kvno)
		}
	}
	if _, err := Parse([]byte{5, 3}); !errors.Is(err, ErrVersion) {
		t.Errorf("version 0x0503: error %v", err)
	}
}

func entry(name string, kvno uint32, etype int32, stamp int64) Entry {
	return Entry{Realm: "R", Components: strings.Split(name, "/"), Kvno: kvno, Etype: etype, Timestamp: time.Unix(stamp, 0), Key: fmt.Appendf(nil, "%s%d%d", name, kvno, etype)}
}

func keys(entries []Entry) []string {
	var got []string
	for _, e := range entries {
		got = append(got, string(e.Key))
	}
	return got
}

func TestClient(t *testing.T) {
	for _, test := range []struct {
		name    string
		entries []Entry
		want    []string
	}{
		{"newest, in order of preference", []Entry{entry("a", 1, 18, 0), entry("a", 2, 17, 0), entry("a", 2, 18, 0), entry("b", 9, 18, 0)}, []string{"a218", "a217"}},
		{"newest lacks the enctype", []Entry{entry("a", 1, 18, 0), entry("a", 2, 23, 0)}, nil},
		{"wrapped", []Entry{entry("a", 255, 18, 5), entry("a", 1, 18, 6)}, []string{"a118"}},
		{"wrapped, the other way round", []Entry{entry("a", 1, 18, 6), entry("a", 255, 18, 5)}, []string{"a118"}},
		{"not wrapped: the large one is later", []Entry{entry("a", 255, 18, 6), entry("a", 1, 18, 5)}, []string{"a25518"}},
		{"not near the wrap", []Entry{entry("a", 200, 18, 5), entry("a", 1, 18, 6)}, []string{"a20018"}},
		{"nobody", nil, nil},
	} {
		kt := &Keytab{Entries: test.entries}
		if got := keys(kt.Client("R", []string{"a"}, []int32{18, 17})); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if got := (&Keytab{Entries: []Entry{entry("a", 1, 18, 0)}}).Client("OTHER", []string{"a"}, []int32{18}); got != nil {
		t.Errorf("another realm: %q", got)
	}
}

func TestNoKeyIsPrinted(t *testing.T) {
	e := Entry{Realm: "R", Components: []string{"a/b"}, Kvno: 3, Etype: 18, Key: []byte("SECRET")}
	js, err := json.Marshal(Keytab{Entries: []Entry{e}})
	if err != nil {
		t.Fatal(err)
	}
	hex, dec, b64 := fmt.Sprintf("%x", e.Key), fmt.Sprint(e.Key), "U0VDUkVU"
	for _, text := range []string{string(js), fmt.Sprint(e), fmt.Sprintf("%+v %#v %s %q %x %d", e, e, e, e, e, e), fmt.Sprintf("%+v %#v", Keytab{[]Entry{e}}, []*Entry{&e})} {
		for _, secret := range []string{"SECRET", hex, dec, b64, "0x53, 0x45"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q shows the key", text)
			}
		}
	}
	if got, want := e.String(), `a\/b@R kvno 3 aes256-cts-hmac-sha1-96`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"ktutil.keytab", "ktadd.keytab", "holes.keytab"} {
		f.Add(recorded(f, file))
	}
	f.Add(append([]byte{5, 1}, record(binary.NativeEndian, uint16(3), "R", "host", "a", uint32(1000), uint8(7), uint16(17), "k")...))
	f.Fuzz(func(t *testing.T, data []byte) {
		kt, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrVersion) {
				t.Fatalf("error %v is neither", err)
			}
			return
		}
		out, err := kt.Append(nil)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if len(out) > 3*len(data)+2 {
			t.Fatalf("%d bytes became %d", len(data), len(out))
		}
		again, err := Parse(out)
		if err != nil || !reflect.DeepEqual(again.Entries, kt.Entries) {
			t.Fatalf("written and read again: %v\n%v\n%v", err, kt.Entries, again)
		}
	})
}

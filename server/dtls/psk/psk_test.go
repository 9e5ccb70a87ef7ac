package psk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const strong = "000102030405060708090a0b0c0d0e0f"

func TestParse(t *testing.T) {
	table, err := Parse(strings.NewReader("# keys\n\n alice \t "+strong+"\nbob:"+strings.ToUpper(strong)+"\r\nurn:dev:1 "+strong+"ff\nlast one "+strong), false)
	if err != nil {
		t.Fatal(err)
	}
	if table.Len() != 4 {
		t.Errorf("%d identities, want 4", table.Len())
	}
	for identity, want := range map[string]int{"alice": 16, "bob": 16, "urn:dev:1": 17, "last one": 16} {
		key, ok := table.Key(identity)
		if !ok || len(key) != want || key[0] != 0 || key[15] != 15 {
			t.Errorf("key of %q: %d bytes, %v; want %d", identity, len(key), ok, want)
		}
	}
	if _, ok := table.Key("carol"); ok {
		t.Error("there is a key of nobody")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"no key", "alice", "line 1: not an identity and a key"},
		{"empty key", "alice:", "line 1: no key"},
		{"no identity", "\n:" + strong, "line 2: no identity"},
		{"not hexadecimal", "alice zz" + strong, "line 1: the key is not in hexadecimal"},
		{"odd", "alice " + strong + "0", "line 1: the key is not in hexadecimal"},
		{"short", "alice " + strong[2:], "line 1: weak key: 15 bytes, fewer than 16"},
		{"long key", "alice " + strings.Repeat("00", 65), "line 1: a key of 65 bytes, more than 64"},
		{"long identity", strings.Repeat("a", 129) + " " + strong, "line 1: an identity of 129 bytes, more than 128"},
		{"twice", "alice " + strong + "\nalice " + strong, `line 2: identity "alice" is there twice`},
		{"endless line", "#\n" + strings.Repeat("a", 1<<17), "line 2: the line is too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(strings.NewReader(tt.file), false)
			if _, ok := errors.AsType[*SyntaxError](err); !ok || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestWeakKeys(t *testing.T) {
	const file = "alice 1a2b3c4d5e6f"
	if _, err := Parse(strings.NewReader(file), false); !errors.Is(err, ErrWeakKey) {
		t.Errorf("got %v, want ErrWeakKey", err)
	}
	table, err := Parse(strings.NewReader(file), true)
	if err != nil {
		t.Fatal(err)
	}
	if key, _ := table.Key("alice"); len(key) != 6 {
		t.Errorf("%d bytes, want 6", len(key))
	}
}

func TestLoadWarnsOfMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	path := filepath.Join(t.TempDir(), "keys")
	for mode, want := range map[fs.FileMode]string{0o600: "", 0o400: "", 0o640: path + ": mode 0640 lets others at the keys: chmod 600"} {
		if err := os.WriteFile(path, []byte("alice "+strong), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		table, warning, err := Load(path, false)
		if err != nil || table.Len() != 1 || warning != want {
			t.Errorf("mode %o: %d keys, warning %q, error %v; want warning %q", mode, table.Len(), warning, err, want)
		}
		os.Remove(path)
	}
	if _, _, err := Load(path, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that there is no file", err)
	}
}

func TestPrintsNoKey(t *testing.T) {
	table, err := Parse(strings.NewReader("alice "+strong), false)
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintf("%v %+v %#v %s %x %q %d", table, table, table, table, table, table, table)
	for _, bad := range []string{strong, "\x01\x02", "1 2 3", "0x1, 0x2"} {
		if strings.Contains(out, bad) {
			t.Errorf("%q prints the key: %s", bad, out)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("alice " + strong + "\n#\nbob:" + strong)
	f.Add("a: \t00")
	f.Add(":\n")
	f.Fuzz(func(t *testing.T, file string) {
		table, err := Parse(strings.NewReader(file), false)
		if err != nil {
			return
		}
		// What was read can be written and read again.
		var again strings.Builder
		for identity, key := range table.keys {
			if len(key) < MinKey || len(key) > maxKey || identity == "" {
				t.Fatalf("%q has a key of %d bytes", identity, len(key))
			}
			fmt.Fprintf(&again, "%s %x\n", identity, key)
		}
		table2, err := Parse(strings.NewReader(again.String()), false)
		if err != nil || table2.Len() != table.Len() {
			t.Fatalf("written and read again: %v", err)
		}
	})
}

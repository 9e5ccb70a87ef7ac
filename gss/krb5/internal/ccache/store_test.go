package ccache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func servers(t *testing.T, s *Store) []string {
	t.Helper()
	c, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, cred := range c.Credentials {
		got = append(got, cred.Server.String())
	}
	return got
}

func TestStores(t *testing.T) {
	dir := t.TempDir()
	for _, cacheName := range []string{"FILE:" + filepath.Join(dir, "cc"), "DIR:" + filepath.Join(dir, "dir"), "DIR::" + filepath.Join(dir, "dir2", "tktx"), "MEMORY:" + t.Name()} {
		testStore(t, Resolver{}, cacheName)
	}
}

// testStore shows what every kind of store promises. A daemon and a keyring keep no order.
func testStore(t *testing.T, r Resolver, cacheName string) {
	t.Helper()
	open := func(t *testing.T, name string) *Store {
		t.Helper()
		s, err := r.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	servers := func(t *testing.T, s *Store) []string {
		t.Helper()
		return slices.Sorted(slices.Values(servers(t, s)))
	}
	s := open(t, cacheName)
	cred := credential("a", 18, 2_000_000_000)
	_, loadErr := s.Load(t.Context())
	_, removeErr := s.Remove(t.Context(), func(*Credential) bool { return true })
	for _, err := range []error{loadErr, s.Append(t.Context(), cred), removeErr, s.Destroy(t.Context())} {
		var e *Error
		if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &e) || !strings.HasPrefix(err.Error(), "No credentials cache found (") && !strings.HasSuffix(err.Error(), "' not found") || !strings.Contains(err.Error(), strings.TrimPrefix(e.Name, "KEYRING:")) {
			t.Errorf("%s does not exist: %v", cacheName, err)
		}
	}
	if err := s.Replace(t.Context(), &Cache{Default: cred.Client}); err != nil {
		t.Fatal(err)
	}
	conf := ConfigEntry(cred.Client, "start_realm", "", []byte("R"))
	for _, c := range []Credential{cred, conf, credential("b", 17, 2_000_000_000)} {
		if err := s.Append(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	// Another handle by the same name sees it all, and by the full name.
	c, err := open(t, s.Name()).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Find(cred.Client, cred.Server, []int32{18}, cred.AuthTime); got == nil || !reflect.DeepEqual(*got, cred) {
		t.Errorf("%s: stored %v, got %v", cacheName, cred, got)
	}
	if n, err := open(t, cacheName).Remove(t.Context(), func(c *Credential) bool { return c.Server.Equal(cred.Server) || c.IsConfig() }); n != 2 || err != nil {
		t.Errorf("%s: removed %d, %v", cacheName, n, err)
	}
	if got := servers(t, s); !slices.Equal(got, []string{"host/b@R"}) {
		t.Errorf("%s: after removal %q", cacheName, got)
	}
	if err := s.Append(t.Context(), cred); err != nil {
		t.Fatal(err)
	}
	if got := servers(t, s); !slices.Equal(got, []string{"host/a@R", "host/b@R"}) {
		t.Errorf("%s: after removal and another %q", cacheName, got)
	}
	// What one reader has does not change under it.
	before, err := s.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"old", "new"} {
		if err := s.SetConfig(t.Context(), cred.Client, "refresh_time", []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	} else if v, _ := c.Config("refresh_time", ""); string(v) != "new" {
		t.Errorf("%s: refresh_time is %q", cacheName, v)
	}
	if _, there := before.Config("refresh_time", ""); there || len(before.Credentials) != 2 {
		t.Errorf("%s: what was read earlier has changed", cacheName)
	}
	if err := s.Replace(t.Context(), &Cache{Default: cred.Client, TimeOffset: -7 * time.Second, Credentials: []Credential{cred}}); err != nil {
		t.Fatal(err)
	}
	legacy := strings.HasPrefix(cacheName, "KEYRING:legacy") // old programs would take the offset for a credential
	if c, err := s.Load(t.Context()); err != nil || c.TimeOffset != -7*time.Second && !legacy {
		t.Errorf("%s: offset %v, %v", cacheName, c.TimeOffset, err)
	}
	if got := servers(t, s); !slices.Equal(got, []string{"host/a@R"}) {
		t.Errorf("%s: after replacement %q", cacheName, got)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: after its end %v", cacheName, err)
	}
}

func TestOpenNames(t *testing.T) {
	for bad, want := range map[string]string{
		"API:x":      "credential cache type API is not supported (API:x)",
		"NONSENSE:x": `Unknown credential cache type "NONSENSE"`,
	} {
		if _, err := (Resolver{}).Open(t.Context(), bad); !errors.Is(err, ErrType) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "DIR:", "DIR::tkt", "DIR::/tmp/cc", "KEYRING:session:a:", "KEYRING:nowhere:a"} {
		if s, err := (Resolver{}).Open(t.Context(), bad); err == nil {
			t.Errorf("%q opened as %s", bad, s.Name())
		}
	}
	if got := open(t, "/p").Name(); got != "FILE:/p" {
		t.Errorf("/p is %s", got)
	}
	a, b := NewMemory(), NewMemory()
	if err := a.Replace(t.Context(), &Cache{Default: name("R", "alice")}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Load(t.Context()); a.Name() == b.Name() || err == nil {
		t.Error("two nameless caches are one")
	}
}

func TestDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cc")
	s := open(t, "DIR:"+dir)
	if s.Name() != "DIR::"+filepath.Join(dir, "tkt") {
		t.Errorf("the primary cache of an empty directory is %s", s.Name())
	}
	if err := s.Replace(t.Context(), &Cache{Default: name("R", "alice")}); err != nil {
		t.Fatal(err)
	}
	primary := filepath.Join(dir, "primary")
	if line, err := os.ReadFile(primary); string(line) != "tkt\n" || err != nil {
		t.Errorf("primary: %q, %v", line, err)
	}
	for line, want := range map[string]string{"tktB\n": "DIR::" + filepath.Join(dir, "tktB"), "tktB": "", "other\n": "", "tkt/../x\n": "", "tkt" + strings.Repeat("x", 70) + "\n": "", "": ""} {
		if err := os.WriteFile(primary, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Resolver{}.Open(t.Context(), "DIR:"+dir)
		if want == "" {
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), primary) {
				t.Errorf("primary %q: %v", line, err)
			}
		} else if err != nil || s.Name() != want {
			t.Errorf("primary %q: %v, %v", line, s, err)
		}
	}
}

func TestReplaceReplacesLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("left out: no symbolic links and modes here")
	}
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "cc")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Replace(t.Context(), &Cache{Default: name("R", "alice")}); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(victim); string(data) != "precious" || err != nil {
		t.Errorf("the link's target holds %q, %v", data, err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(path + ".*"); len(left) != 0 || err != nil {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if _, err := open(t, dir).Load(t.Context()); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: %v", err)
	}
}

// Credentials are added to and removed from a file of any version.
func TestAppendToOldVersions(t *testing.T) {
	for _, file := range []string{"v1.ccache", "v2.ccache", "v3.ccache", "v4.ccache"} {
		if file < "v3" && !littleEndian {
			continue
		}
		path := filepath.Join(t.TempDir(), file)
		before := recorded(t, file)
		if err := os.WriteFile(path, before, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path)
		cred := credential("new", 18, 2_000_000_000)
		cred.Addresses = []TypedData{{2, []byte{127, 0, 0, 1}}}
		cred.AuthData = []TypedData{{-1, []byte("x")}}
		if err := s.Append(t.Context(), cred); err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(after)
		if err != nil || !bytes.HasPrefix(after, before) {
			t.Fatalf("%s: %v, or the start was changed", file, err)
		}
		got := c.Credentials[len(c.Credentials)-1]
		if file == "v1.ccache" {
			got.Client.NameType, got.Server.NameType = 1, 1 // which that version cannot say
		}
		if !reflect.DeepEqual(got, cred) {
			t.Errorf("%s: stored %v, read %v", file, cred, got)
		}
		if n, err := s.Remove(t.Context(), func(c *Credential) bool { return c.Server.String() == "host/a.example@EXAMPLE.COM" }); n != 1 || err != nil {
			t.Errorf("%s: removed %d, %v", file, n, err)
		}
		if got := servers(t, s); slices.Contains(got, "host/a.example@EXAMPLE.COM") || !slices.Contains(got, "host/new@R") {
			t.Errorf("%s: after removal %q", file, got)
		}
		if klist, err := exec.LookPath("klist"); err == nil { // its absence is told by TestKlistReads
			out := run(t, klist, path)
			if !strings.Contains(out, "host/new@R") || !strings.Contains(out, "HTTP/b.example@") || strings.Contains(out, "host/a.example@") {
				t.Errorf("%s: klist prints\n%s", file, out)
			}
		}
	}
}

// MIT's klist reads what is written here, and passes over what was removed here.
func TestKlistReads(t *testing.T) {
	klist := mit(t, "klist")
	path := filepath.Join(t.TempDir(), "cc")
	s := open(t, path)
	if err := s.Replace(t.Context(), &Cache{Default: name("R", "alice"), TimeOffset: -3e9, Credentials: []Credential{credential("a", 18, 2_000_000_000)}}); err != nil {
		t.Fatal(err)
	}
	for _, cred := range []Credential{credential("b", 17, 2_000_000_000), credential("c", 20, 2_000_000_000), ConfigEntry(name("R", "alice"), "start_realm", "", []byte("R"))} {
		if err := s.Append(t.Context(), cred); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Remove(t.Context(), func(c *Credential) bool { return c.Server.Components[1] == "b" }); err != nil {
		t.Fatal(err)
	}
	out := run(t, klist, "-C", "-f", path)
	for _, want := range []string{"Default principal: alice@R", "host/a@R", "host/c@R", "config: start_realm = R", "Flags: F"} {
		if !strings.Contains(out, want) {
			t.Errorf("klist prints no %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "host/b@R") {
		t.Errorf("klist prints what was removed:\n%s", out)
	}
	if _, err := s.Remove(t.Context(), (*Credential).IsConfig); err != nil {
		t.Fatal(err)
	}
	if out := run(t, klist, "-C", path); strings.Contains(out, "start_realm") {
		t.Errorf("klist prints the configuration that was removed:\n%s", out)
	}
}

// MIT's klist finds the primary cache of a directory made here, and another beside it.
func TestKlistReadsDirectory(t *testing.T) {
	klist := mit(t, "klist")
	dir := filepath.Join(t.TempDir(), "cc")
	for _, cache := range []string{"DIR:" + dir, "DIR::" + filepath.Join(dir, "tktB")} {
		s := open(t, cache)
		server := credential(fmt.Sprintf("s%d", len(cache)), 18, 2_000_000_000)
		if err := s.Replace(t.Context(), &Cache{Default: server.Client, Credentials: []Credential{server}}); err != nil {
			t.Fatal(err)
		}
		out := run(t, klist, cache)
		if !strings.Contains(out, "Ticket cache: "+s.Name()+"\n") || !strings.Contains(out, server.Server.String()) {
			t.Errorf("klist %s:\n%s", cache, out)
		}
	}
}

// storeEnv makes this test's program a child of TestProcesses: it holds the cache's name and the child's.
const storeEnv = "CCACHE_TEST_STORE"

func TestMain(m *testing.M) {
	if job := os.Getenv(storeEnv); job != "" {
		cache, child, _ := strings.Cut(job, "|")
		s, err := Resolver{}.Open(context.Background(), cache)
		for i := 0; err == nil && i < 50; i++ {
			err = s.Append(context.Background(), credential(fmt.Sprintf("%s-%d", child, i), 18, 2_000_000_000))
			if err == nil && i%10 == 0 {
				_, err = s.Load(context.Background())
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Several processes store at once, and several goroutines: nothing is lost, and MIT's klist reads it all.
func TestProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cc")
	s := open(t, path)
	if err := s.Replace(t.Context(), &Cache{Default: name("R", "alice")}); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]bool)
	var wg sync.WaitGroup
	for child := range 4 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d", storeEnv, path, child))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("child %d: %v: %s", child, err, out)
			}
		})
		wg.Go(func() {
			for i := range 20 {
				if err := s.Append(t.Context(), credential(fmt.Sprintf("g%d-%d", child, i), 18, 2_000_000_000)); err != nil {
					t.Error(err)
				}
				if _, err := s.Load(t.Context()); err != nil { // a reader sees whole credentials only
					t.Error(err)
				}
			}
		})
		for i := range 50 {
			want[fmt.Sprintf("host/%d-%d@R", child, i)] = true
			if i < 20 {
				want[fmt.Sprintf("host/g%d-%d@R", child, i)] = true
			}
		}
	}
	wg.Wait()
	got := servers(t, s)
	if len(got) != len(want) {
		t.Errorf("%d credentials, want %d", len(got), len(want))
	}
	for _, server := range got {
		if !want[server] {
			t.Errorf("%s is there, or twice", server)
		}
		delete(want, server)
	}
	listed := strings.Count(run(t, mit(t, "klist"), path), " host/")
	if listed != len(got) {
		t.Errorf("klist reads %d credentials, want %d", listed, len(got))
	}
}

func BenchmarkLoad(b *testing.B) {
	path := filepath.Join(b.TempDir(), "cc")
	if err := os.WriteFile(path, recorded(b, "v4.ccache"), 0o600); err != nil {
		b.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"read": 0, "unchanged": time.Hour} {
		b.Run(name, func(b *testing.B) {
			then := time.Now().Add(-age)
			if err := os.Chtimes(path, then, then); err != nil {
				b.Fatal(err)
			}
			s := open(b, path)
			for b.Loop() {
				if age == 0 {
					s = open(b, path)
				}
				if _, err := s.Load(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A change that leaves size and time as they were is seen: at once by the file being young, later by the file being another.
func TestLoadNoticesChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cc")
	s, other := open(t, path), open(t, path)
	for _, end := range []int64{2_000_000_000, 2_000_000_001, 2_000_000_002} {
		if err := other.Replace(t.Context(), &Cache{Default: name("R", "alice"), Credentials: []Credential{credential("a", 18, end)}}); err != nil {
			t.Fatal(err)
		}
		old := time.Unix(1_700_000_000, 0)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		c, err := s.Load(t.Context())
		if err != nil || c.Credentials[0].EndTime.Unix() != end {
			t.Errorf("after replacement: %v, %v, want the end %d", c, err, end)
		}
	}
	// What the caller does to its own copy is not seen by the next one.
	c, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Credentials[0].Flags = 1
	c.Credentials = c.Credentials[:0]
	if again, err := s.Load(t.Context()); err != nil || len(again.Credentials) != 1 || again.Credentials[0].Flags == 1 {
		t.Errorf("the kept copy was changed: %v, %v", again, err)
	}
	if _, err := s.Remove(t.Context(), func(*Credential) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if got := servers(t, other); len(got) != 0 {
		t.Errorf("after removal in place: %q", got)
	}
}

// Current gives the same value for as long as the content is the same, whatever happens to the file's time.
func TestCurrentIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cc")
	s := open(t, path)
	cred := credential("a", 18, 2_000_000_000)
	if err := s.Replace(t.Context(), &Cache{Default: cred.Client, Credentials: []Credential{cred}}); err != nil {
		t.Fatal(err)
	}
	first, err := s.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, age := range []time.Duration{0, time.Hour, time.Hour} {
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
		if again, err := s.Current(t.Context()); again != first || err != nil {
			t.Errorf("aged %v: read anew, %v", age, err)
		}
	}
	if err := s.Append(t.Context(), credential("b", 18, 2_000_000_000)); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Current(t.Context()); err != nil || again == first || len(again.Credentials) != 2 || len(first.Credentials) != 1 {
		t.Errorf("after an addition: %v, %v", again, err)
	}
}

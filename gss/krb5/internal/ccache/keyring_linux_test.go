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
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var testKeyrings atomic.Int32

// testKeyring gives the name of a collection that goes when the test ends, or leaves the test out.
func testKeyring(t *testing.T, anchor string) string {
	t.Helper()
	if _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); err != nil {
		t.Skipf("left out: the kernel lets nobody at its keyrings here: %v", err)
	}
	k := keyring{anchor: anchor, collection: fmt.Sprintf("countersign-test-%d-%d", os.Getpid(), testKeyrings.Add(1))}
	t.Cleanup(func() {
		_ = onKeyThread(func() error {
			id, err := k.findCollection(false)
			if err == nil {
				for _, from := range []int{unix.KEY_SPEC_SESSION_KEYRING, unix.KEY_SPEC_USER_SESSION_KEYRING, unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_PROCESS_KEYRING} {
					_, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, int(id), from, 0, 0)
				}
			}
			return nil
		})
	})
	return "KEYRING:" + anchor + ":" + k.collection
}

func TestKeyringStore(t *testing.T) {
	for _, anchor := range []string{sessionAnchor, userAnchor, processAnchor, threadAnchor, legacyAnchor} {
		name := testKeyring(t, anchor)
		testStore(t, Resolver{}, name)
		testStore(t, Resolver{}, name+":another")
	}
	// The user's own caches are beside this one.
	testStore(t, Resolver{}, fmt.Sprintf("KEYRING:persistent:%d:countersign-test-%d", os.Geteuid(), os.Getpid()))
}

// A process keyring is the process's, whatever threads its goroutines run on.
func TestKeyringThreads(t *testing.T) {
	name := testKeyring(t, processAnchor)
	cred := credential("a", 18, 2_000_000_000)
	if err := open(t, name).Replace(t.Context(), &Cache{Default: cred.Client, Credentials: []Credential{cred}}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			runtime.LockOSThread() // and never unlocked: each has a thread of its own
			s, err := Resolver{}.Open(t.Context(), name)
			if err == nil {
				_, err = s.Load(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A ticket too large for a key of type user needs a kernel with big_key; without it the error says so.
func TestKeyringLargeTicket(t *testing.T) {
	s := open(t, testKeyring(t, sessionAnchor))
	cred := credential("a", 18, 2_000_000_000)
	cred.Ticket = bytes.Repeat([]byte("t"), 60_000)
	err := s.Replace(t.Context(), &Cache{Default: cred.Client, Credentials: []Credential{cred}})
	id, noBigKey := unix.AddKey("big_key", "countersign-test", []byte("x"), unix.KEY_SPEC_THREAD_KEYRING)
	if noBigKey != nil {
		if err == nil || !strings.Contains(err.Error(), "cannot add a key") {
			t.Errorf("without big_key: %v", err)
		}
		t.Logf("this kernel has no big_key (%v): its refusal was tested instead", noBigKey)
		return
	}
	_, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_THREAD_KEYRING, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Load(t.Context())
	if err != nil || !bytes.Equal(c.Credentials[0].Ticket, cred.Ticket) {
		t.Errorf("read %d bytes, %v", len(c.Credentials[0].Ticket), err)
	}
}

// A cache whose last ticket ends is the kernel's to forget, and one made anew in its place is not forgotten with it.
func TestKeyringExpires(t *testing.T) {
	collection := testKeyring(t, sessionAnchor)
	s := open(t, collection)
	gone := credential("a", 18, time.Now().Add(-time.Hour).Unix())
	if err := s.Replace(t.Context(), &Cache{Default: gone.Client, Credentials: []Credential{gone}}); err != nil {
		t.Fatal(err)
	}
	expiry := func() string {
		keys, err := os.ReadFile("/proc/keys")
		if err != nil {
			t.Skipf("left out: %v", err)
		}
		for line := range strings.Lines(string(keys)) {
			if strings.Contains(line, "keyring") && strings.Contains(line, " "+strings.TrimPrefix(collection, "KEYRING:session:")+": ") {
				return strings.Fields(line)[3]
			}
		}
		return "expd"
	}
	if got := expiry(); got != "1s" && got != "0s" && got != "expd" {
		t.Errorf("a cache of an expired ticket is kept %s", got)
	}
	fresh := credential("a", 18, time.Now().Add(100*24*time.Hour).Unix())
	if err := s.Replace(t.Context(), &Cache{Default: fresh.Client, Credentials: []Credential{fresh}}); err != nil {
		t.Fatal(err)
	}
	if got := expiry(); !strings.HasSuffix(got, "w") {
		t.Errorf("a cache of a ticket for 100 days is kept %s", got)
	}
}

// MIT's klist and kswitch see the collection that is made here.
func TestKlistReadsKeyring(t *testing.T) {
	klist, kswitch := mit(t, "klist"), mit(t, "kswitch")
	for _, anchor := range []string{sessionAnchor, userAnchor} {
		collection := testKeyring(t, anchor)
		first := open(t, collection)
		second, err := Resolver{}.New(t.Context(), collection)
		if err != nil {
			t.Fatal(err)
		}
		for user, s := range map[string]*Store{"alice": first, "bob": second} {
			cred := credential("for-"+user, 18, time.Now().Add(time.Hour).Unix())
			cred.Client = name("R", user)
			if err := s.Replace(t.Context(), &Cache{Default: cred.Client, Credentials: []Credential{cred}}); err != nil {
				t.Fatal(err)
			}
		}
		env := append(os.Environ(), "KRB5CCNAME="+collection, "LC_ALL=C", "KRB5_CONFIG="+filepath.Join(t.TempDir(), "none"))
		list := exec.Command(klist, "-A")
		list.Env = env
		out, err := list.CombinedOutput()
		for _, want := range []string{"Ticket cache: " + first.Name() + "\n", "Ticket cache: " + second.Name() + "\n", "Default principal: alice@R", "host/for-alice@R", "host/for-bob@R"} {
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%s: klist -A prints no %q: %v\n%s", anchor, want, err, out)
			}
		}
		change := exec.Command(kswitch, "-c", second.Name())
		change.Env = env
		if out, err := change.CombinedOutput(); err != nil {
			t.Fatalf("kswitch: %v: %s", err, out)
		}
		stores, err := Resolver{}.Collection(t.Context(), collection)
		if err != nil || len(stores) != 2 || stores[0].Name() != second.Name() || stores[1].Name() != first.Name() {
			t.Errorf("%s: the collection is %q, %v", anchor, storeNames(stores), err)
		}
	}
}

// MIT's klist finds a cache in the user's persistent keyring too.
func TestKlistReadsPersistent(t *testing.T) {
	klist := mit(t, "klist")
	testKeyring(t, sessionAnchor) // leaves the test out where there are no keyrings
	s := open(t, fmt.Sprintf("KEYRING:persistent:%d:countersign-klist-%d", os.Geteuid(), os.Getpid()))
	cred := credential("a", 18, time.Now().Add(time.Hour).Unix())
	if err := s.Replace(t.Context(), &Cache{Default: cred.Client, Credentials: []Credential{cred}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Destroy(context.WithoutCancel(t.Context())) })
	if out := run(t, klist, s.Name()); !strings.Contains(out, "Ticket cache: "+s.Name()+"\n") || !strings.Contains(out, "host/a@R") {
		t.Errorf("klist prints\n%s", out)
	}
}

// What is there under the names of ours but is none of ours is said to be so.
func TestKeyringDamaged(t *testing.T) {
	collection := testKeyring(t, sessionAnchor)
	s := open(t, collection)
	cred := credential("a", 18, time.Now().Add(time.Hour).Unix())
	if err := s.Replace(t.Context(), &Cache{Default: cred.Client, Credentials: []Credential{cred}}); err != nil {
		t.Fatal(err)
	}
	k, err := parseKeyring(strings.TrimPrefix(s.Name(), "KEYRING:"))
	if err != nil {
		t.Fatal(err)
	}
	put := func(in func(collection, cache keyID) keyID, name, payload string) {
		t.Helper()
		err := onKeyThread(func() error {
			id, err := k.findCollection(false)
			if err != nil {
				return err
			}
			cache, err := searchKey(id, "keyring", k.cache, 0)
			if err == nil {
				_, err = addKey("user", name, []byte(payload), in(id, cache))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(func(_, cache keyID) keyID { return cache }, "host/b@R", "no credential")
	if _, err := s.Load(t.Context()); err == nil || !strings.Contains(err.Error(), ErrFormat.Error()) {
		t.Errorf("a damaged credential: %v", err)
	}
	put(func(collection, _ keyID) keyID { return collection }, primaryKey, "\x00\x00\x00\x01\x00\x00\x00\x09tkt")
	if s, err := (Resolver{}).Open(t.Context(), collection); err == nil {
		t.Errorf("a damaged primary name: %s", s.Name())
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "Credentials cache keyring 'session:") {
		t.Errorf("after its end: %v", err)
	}
}

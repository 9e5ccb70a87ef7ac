package ccache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss/krb5/internal/ccache/kcmtest"
)

// daemons runs f against every KCM daemon there is.
func daemons(t *testing.T, f func(t *testing.T, socket string, removes bool)) {
	t.Run("as Heimdal", func(t *testing.T) { f(t, kcmtest.Start(t, kcmtest.Heimdal), true) })
	t.Run("as sssd", func(t *testing.T) { f(t, kcmtest.Start(t, kcmtest.SSSD), false) })
	t.Run("as MIT", func(t *testing.T) { f(t, kcmtest.Start(t, kcmtest.MIT), true) })
	t.Run("Heimdal", func(t *testing.T) { f(t, kcmtest.StartHeimdal(t), true) })
}

func TestKCMStore(t *testing.T) {
	daemons(t, func(t *testing.T, socket string, removes bool) {
		r := Resolver{KCMSocket: socket}
		primary, err := r.Open(t.Context(), "KCM:")
		if err != nil {
			t.Fatal(err)
		}
		if removes {
			testStore(t, r, primary.Name())
			testStore(t, r, "KCM:")
			return
		}
		cred := credential("a", 18, 2_000_000_000)
		if err := primary.Replace(t.Context(), &Cache{Default: cred.Client, Credentials: []Credential{cred}}); err != nil {
			t.Fatal(err)
		}
		if n, err := primary.Remove(t.Context(), func(*Credential) bool { return true }); n != 0 || err == nil || !strings.Contains(err.Error(), "KCM daemon says") {
			t.Errorf("removed %d, %v", n, err)
		}
		// A value is replaced all the same: the last one counts.
		for _, value := range []string{"old", "new"} {
			if err := primary.SetConfig(t.Context(), cred.Client, "refresh_time", []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		c, err := primary.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := c.Config("refresh_time", ""); string(v) != "new" || !c.Credentials[0].Server.Equal(cred.Server) {
			t.Errorf("refresh_time is %q", v)
		}
		if err := primary.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := primary.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after its end: %v", err)
		}
	})
}

// klistEnv is the environment in which MIT's programs ask that daemon.
func klistEnv(t *testing.T, socket string) []string {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, []byte("[libdefaults]\n\tkcm_socket = "+socket+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), "KRB5_CONFIG="+conf, "KRB5CCNAME=KCM:", "LC_ALL=C")
}

// A collection made here is one for MIT's klist and kswitch, and what kswitch does is seen here.
func TestKCMCollection(t *testing.T) {
	klist, kswitch := mit(t, "klist"), mit(t, "kswitch")
	daemons(t, func(t *testing.T, socket string, _ bool) {
		r := Resolver{KCMSocket: socket}
		first, err := r.Open(t.Context(), "KCM:")
		if err != nil {
			t.Fatal(err)
		}
		second, err := r.New(t.Context(), "KCM:")
		if err != nil {
			t.Fatal(err)
		}
		for user, s := range map[string]*Store{"alice": first, "bob": second} {
			cred := credential("for-"+user, 18, 2_000_000_000)
			cred.Client = name("R", user)
			if err := s.Replace(t.Context(), &Cache{Default: cred.Client, Credentials: []Credential{cred}}); err != nil {
				t.Fatal(err)
			}
		}
		env := klistEnv(t, socket)
		list := exec.Command(klist, "-A")
		list.Env = env
		out, err := list.CombinedOutput()
		for _, want := range []string{"Ticket cache: " + first.Name() + "\n", "Default principal: alice@R", "host/for-alice@R", "Default principal: bob@R", "host/for-bob@R"} {
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("klist -A prints no %q: %v\n%s", want, err, out)
			}
		}
		change := exec.Command(kswitch, "-p", "bob@R")
		change.Env = env
		if out, err := change.CombinedOutput(); err != nil {
			t.Fatalf("kswitch: %v: %s", err, out)
		}
		stores, err := r.Collection(t.Context(), "KCM:")
		if err != nil || len(stores) != 2 || stores[0].Name() != second.Name() || stores[1].Name() != first.Name() {
			t.Errorf("the collection is %v, %v", storeNames(stores), err)
		}
	})
}

func storeNames(stores []*Store) []string {
	var names []string
	for _, s := range stores {
		names = append(names, s.Name())
	}
	return names
}

func TestKCMAbsent(t *testing.T) {
	for _, socket := range []string{filepath.Join(t.TempDir(), "none"), "-"} {
		r := Resolver{KCMSocket: socket}
		_, openErr := r.Open(t.Context(), "KCM:")
		s, err := r.Open(t.Context(), "KCM:0")
		if err != nil {
			t.Fatal(err)
		}
		_, loadErr := s.Load(t.Context())
		for _, err := range []error{openErr, loadErr} {
			if !errors.Is(err, ErrNoKCM) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "No KCM server found") {
				t.Errorf("%s: %v", socket, err)
			}
		}
	}
}

// A daemon that takes a request and says nothing is waited for until the context ends.
func TestKCMSilent(t *testing.T) {
	given := errors.New("the caller gave up")
	for what, use := range map[string]func(ctx context.Context, r Resolver) error{
		"Open":       func(ctx context.Context, r Resolver) error { _, err := r.Open(ctx, "KCM:"); return err },
		"Collection": func(ctx context.Context, r Resolver) error { _, err := r.Collection(ctx, "KCM:"); return err },
		"New":        func(ctx context.Context, r Resolver) error { _, err := r.New(ctx, "KCM:"); return err },
		"Load":       func(ctx context.Context, r Resolver) error { _, err := r.kcmStore("0").Load(ctx); return err },
		"Replace":    func(ctx context.Context, r Resolver) error { return r.kcmStore("0").Replace(ctx, new(Cache)) },
		"Append":     func(ctx context.Context, r Resolver) error { return r.kcmStore("0").Append(ctx, Credential{}) },
		"Remove":     func(ctx context.Context, r Resolver) error { _, err := r.kcmStore("0").Remove(ctx, nil); return err },
		"Destroy":    func(ctx context.Context, r Resolver) error { return r.kcmStore("0").Destroy(ctx) },
	} {
		socket := filepath.Join(t.TempDir(), "kcm")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 1))
			cancel(given)
			_, _ = io.Copy(io.Discard, conn)
		}()
		err = use(ctx, Resolver{KCMSocket: socket})
		if !errors.Is(err, given) || !errors.Is(err, ErrKCMSilent) || !strings.Contains(err.Error(), "KCM:") {
			t.Errorf("%s: %v", what, err)
		}
		if err := use(ctx, Resolver{KCMSocket: socket}); !errors.Is(err, given) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s when it is over: %v", what, err)
		}
	}
}

// kcmMessage frames a reply's status and content.
func kcmMessage(status int32, content ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(content)))
	b = append(b, 0, 0, 0, 0)
	return append(binary.BigEndian.AppendUint32(b, uint32(status)), content...)
}

func TestKCMReply(t *testing.T) {
	good := kcmMessage(0, 'x')
	if got, err := readKCMReply(bytes.NewReader(good)); string(got) != "x" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for i := range good {
		if got, err := readKCMReply(bytes.NewReader(good[:i])); err == nil {
			t.Errorf("the first %d bytes give %q", i, got)
		}
	}
	for what, bad := range map[string][]byte{
		"too long":   append(binary.BigEndian.AppendUint32(nil, maxKCMReply+1), make([]byte, 16)...),
		"no status":  {0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0},
		"refused":    kcmMessage(-1765328190),
		"not spoken": append([]byte{0, 0, 0, 4}, 0, 0, 0, 13),
	} {
		if got, err := readKCMReply(bytes.NewReader(bad)); err == nil {
			t.Errorf("%s: %q", what, got)
		}
	}
	if _, err := readKCMReply(bytes.NewReader(kcmMessage(-1765328190))); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("KRB5_FCC_PERM is %v", err)
	}
	// At the bound a reply is read.
	long := io.MultiReader(bytes.NewReader(binary.BigEndian.AppendUint32(nil, maxKCMReply)), bytes.NewReader(make([]byte, 4+maxKCMReply)))
	if got, err := readKCMReply(long); len(got) != maxKCMReply-4 || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestKCMCredList(t *testing.T) {
	cred := credential("a", 18, 2_000_000_000)
	one, err := marshalCredential(&cred)
	if err != nil {
		t.Fatal(err)
	}
	good := binary.BigEndian.AppendUint32(nil, 2)
	for range 2 {
		good = append(binary.BigEndian.AppendUint32(good, uint32(len(one))), one...)
	}
	if got, err := kcmCredList(good); len(got) != 2 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for i := range good {
		if got, err := kcmCredList(slices.Clip(good[:i])); err == nil {
			t.Errorf("the first %d of %d bytes give %v", i, len(good), got)
		}
	}
	if got, err := kcmCredList(append(good, 0)); err == nil {
		t.Errorf("with a byte more: %v", got)
	}
}

// A daemon may say anything: there is an error or a cache, and as many credentials at the most as the bytes can hold.
func FuzzKCM(f *testing.F) {
	cred := credential("a", 18, 2_000_000_000)
	principal, err := marshalPrincipal(cred.Client)
	if err != nil {
		f.Fatal(err)
	}
	one, err := marshalCredential(&cred)
	if err != nil {
		f.Fatal(err)
	}
	list := append(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 1}, uint32(len(one))), one...)
	start := slices.Concat(kcmMessage(0, principal...), kcmMessage(0, 0, 0, 0, 9))
	f.Add(slices.Concat(start, kcmMessage(0, list...)))
	f.Add(slices.Concat(start, kcmMessage(-1765328137), kcmMessage(0, make([]byte, 16)...), kcmMessage(0, one...)))
	f.Add(kcmMessage(0))
	f.Fuzz(func(t *testing.T, replies []byte) {
		c, err := (&kcmConn{Conn: &script{r: bytes.NewReader(replies)}, ctx: t.Context()}).cache([]byte("0\x00"))
		if err == nil && len(c.Credentials) > len(replies)/57 {
			t.Fatalf("%d bytes became %d credentials", len(replies), len(c.Credentials))
		}
	})
}

// A script is a connection to a daemon whose replies are known beforehand.
type script struct {
	net.Conn
	r io.Reader
}

func (s *script) Read(p []byte) (int, error)  { return s.r.Read(p) }
func (s *script) Write(p []byte) (int, error) { return len(p), nil }

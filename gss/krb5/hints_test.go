package krb5_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
)

// hint is what an error says to do.
func hint(t *testing.T, err error) string {
	t.Helper()
	e, ok := errors.AsType[*gss.Error](err)
	if !ok {
		t.Errorf("%v is no *gss.Error", err)
		return ""
	}
	return e.Hint
}

func wantHint(t *testing.T, what string, err error, want string) {
	t.Helper()
	if got := hint(t, err); !strings.Contains(got, want) {
		t.Errorf("%s: %v: hint %q says nothing of %q", what, err, got, want)
	}
}

func TestHostbasedHints(t *testing.T) {
	s := newSetup(t)
	for text, want := range map[string]string{
		"host/server.example":         "write host@server.example",
		"host/server.example@EXAMPLE": "write host@server.example",
		"host@server.example@EXAMPLE": "write host@server.example",
	} {
		name, err := gss.ImportName(text, gss.NTHostbasedService)
		must(t, err)
		_, err = s.profile.Canonicalize(t.Context(), name)
		wantHint(t, "client", err, want)
		_, err = krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Name: name, Usage: gss.AcceptOnly, Profile: s.profile, Keytab: s.keytab})
		wantHint(t, "server", err, want)
	}
}

func TestKtaddHints(t *testing.T) {
	s := newSetup(t)
	path := filepath.Join(t.TempDir(), "kt")
	empty, err := s.realm.Keytab()
	must(t, err)
	must(t, os.WriteFile(path, empty, 0o600))
	kt, err := krb5.OpenKeytab(path)
	must(t, err)
	for name, want := range map[gss.Name]string{
		gss.HostService("http"):           "ktadd -k " + path + " http/HOST'",
		gss.HostService("http@localhost"): "ktadd -k " + path + " http/localhost",
		gss.UserName("robot"):             "ktadd -k " + path + " robot@TEST.EXAMPLE'",
		{}:                                "ktadd -k " + path + " host/HOST'",
	} {
		_, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Name: name, Usage: gss.AcceptOnly, Profile: s.profile, Keytab: kt})
		wantHint(t, name.String(), err, want)
		if strings.Contains(hint(t, err), "@'") || strings.Contains(hint(t, err), "*") {
			t.Errorf("%s: %q has no principal that ktadd takes", name, hint(t, err))
		}
	}
}

func TestNoConfigurationHints(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nowhere.conf")
	t.Setenv("KRB5_CONFIG", missing)
	profile, err := krb5.ReadProfile()
	must(t, err)
	_, err = profile.Canonicalize(t.Context(), gss.UserName("alice"))
	wantHint(t, "no default realm", err, missing)
	s := newSetup(t)
	_, err = krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Name: gss.HostService("http"), Usage: gss.AcceptOnly, Profile: profile, Keytab: s.keytab})
	wantHint(t, "no key", err, missing)

	t.Setenv("KRB5_CONFIG", writeFile(t, "krb5.conf", []byte("[libdefaults]\n")))
	profile, err = krb5.ReadProfile()
	must(t, err)
	_, err = profile.Canonicalize(t.Context(), gss.UserName("alice"))
	if h := hint(t, err); strings.Contains(h, "KRB5_CONFIG") {
		t.Errorf("with a configuration: %q", h)
	}

	bad := writeFile(t, "bad.conf", []byte("[libdefaults]\n}\n"))
	t.Setenv("KRB5_CONFIG", bad)
	_, err = krb5.ReadProfile()
	wantHint(t, "a bad line", err, "line 2 of "+bad)
	t.Setenv("KRB5_CONFIG", filepath.Dir(bad)+"/")
	_, err = krb5.ReadProfile()
	wantHint(t, "a directory", err, bad+" among them")
}

func TestStoreNameHints(t *testing.T) {
	dir := t.TempDir()
	_, err := krb5.OpenKeytab(dir)
	wantHint(t, "a directory for a keytab", err, "name the keytab file itself")
	_, err = krb5.OpenKeytab("KEYRING:kt")
	wantHint(t, "an unknown type of keytab", err, "FILE:/path")
	cache, err := krb5.OpenCache(dir)
	must(t, err)
	_, err = krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Cache: cache, Usage: gss.InitiateOnly, Profile: profileWithRealm(t, "R")})
	wantHint(t, "a directory for a cache", err, "DIR:/path")
}

// The service's clock is said to be ahead or behind, by a length of time.
func TestSkewIsWorded(t *testing.T) {
	for ahead, want := range map[time.Duration]string{10 * time.Minute: "10m0s ahead of this one", -10 * time.Minute: "10m0s behind this one"} {
		s := newSetup(t)
		a := s.acceptorWith(t, krb5.AcceptorConfig{ReplayCache: krb5.NewMemoryReplayCache(s.profile), Time: func() time.Time { return time.Now().Add(ahead) }})
		i, err := s.initiator(t).Initiate(t.Context(), gss.Request{Target: gss.HostService(service), Flags: gss.Mutual})
		must(t, err)
		token, err := i.Step(nil)
		must(t, err)
		c, err := a.Accept(nil)
		must(t, err)
		reply, err := c.Step(token)
		if err == nil || len(reply) == 0 {
			t.Errorf("%v: a reply of %d bytes, %v", ahead, len(reply), err)
		}
		_, err = i.Step(reply)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", ahead, err)
		}
	}
}

// What went wrong within the service is its own affair; the client is told where to look.
func TestGenericErrorHint(t *testing.T) {
	s := newSetup(t)
	dir := filepath.Join(t.TempDir(), "rcache")
	must(t, os.Mkdir(dir, 0o700))
	broken, err := krb5.OpenReplayCache("file2:"+filepath.Join(dir, "krb5.rcache2"), s.profile)
	must(t, err)
	must(t, os.RemoveAll(dir))
	a := s.acceptorWith(t, krb5.AcceptorConfig{ReplayCache: broken})
	i, err := s.initiator(t).Initiate(t.Context(), gss.Request{Target: gss.HostService(service), Flags: gss.Mutual})
	must(t, err)
	token, err := i.Step(nil)
	must(t, err)
	c, err := a.Accept(nil)
	must(t, err)
	reply, err := c.Step(token)
	if err == nil || len(reply) == 0 {
		t.Fatalf("a reply of %d bytes, %v", len(reply), err)
	}
	_, err = i.Step(reply)
	wantHint(t, "the client's side", err, "the service's log")
}

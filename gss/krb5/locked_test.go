package krb5_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
)

// lockFile is another program that keeps a file locked until unlock or the test's
// end.
func lockFile(t *testing.T, path string) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	unlock, err = filelock.Lock(t.Context(), f, true)
	must(t, err)
	return unlock
}

// wantLocked checks that err is that of a wait which ended with the caller's
// context, and says which file it was for.
func wantLocked(t *testing.T, what string, err error, path string) {
	t.Helper()
	e, ok := errors.AsType[*gss.Error](err)
	if !ok || e.Major != gss.ErrFailure || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(e.Hint, "lslocks") {
		t.Errorf("%s: %#v", what, err)
		return
	}
	if text := err.Error(); !strings.Contains(text, "locked by another program") || !strings.Contains(text, path) || strings.Contains(text, "KDC") {
		t.Errorf("%s: %s", what, text)
	}
}

// A cache or a keytab that another program keeps locked holds up no caller for
// longer than its context.
func TestLockedFiles(t *testing.T) {
	s := newSetup(t)
	cc, err := s.realm.CCache("alice")
	must(t, err)
	path := writeFile(t, "cc", cc)
	cache, err := krb5.OpenCache(path)
	must(t, err)
	cfg := krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: cache, Profile: s.profile}
	cred, err := krb5.AcquireCredential(t.Context(), cfg)
	must(t, err)
	unread, err := krb5.OpenCache(path) // nothing of it is known yet
	must(t, err)
	unlock := lockFile(t, path)
	must(t, os.Chtimes(path, time.Now(), time.Now())) // what was read of it counts no more

	briefly := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	request := gss.Request{Target: gss.HostService(service)}
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	must(t, err)
	_, err = i.Initiate(briefly(), request)
	wantLocked(t, "Initiate", err, path)
	relayed, err := krb5.NewIAKERBInitiator(krb5.IAKERBInitiatorConfig{Credential: cred})
	must(t, err)
	_, err = relayed.Initiate(briefly(), request)
	wantLocked(t, "Initiate by IAKERB", err, path)
	cfg.Cache = unread
	_, err = krb5.AcquireCredential(briefly(), cfg)
	wantLocked(t, "AcquireCredential", err, path)
	cfg.Cache = nil
	t.Setenv("KRB5CCNAME", path)
	_, err = krb5.AcquireCredential(briefly(), cfg)
	wantLocked(t, "AcquireCredential from the default cache", err, path)
	unlock()
	_, err = i.Initiate(t.Context(), request)
	must(t, err)

	keys, err := s.realm.Keytab("host/localhost")
	must(t, err)
	path = writeFile(t, "keytab", keys)
	lockFile(t, path)
	t.Setenv("KRB5_KTNAME", path)
	_, err = krb5.AcquireCredential(briefly(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Profile: s.profile})
	wantLocked(t, "AcquireCredential to accept", err, path)
	t.Setenv("KRB5_CLIENT_KTNAME", path)
	_, err = krb5.AcquireCredential(briefly(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Profile: s.profile, Cache: krb5.NewMemoryCache()})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), path+"': locked by another program") {
		t.Errorf("AcquireCredential by a client keytab: %v", err)
	}
}

// A reader that keeps its lock keeps tickets from being stored, and nobody from
// using them.
func TestReadLockedCache(t *testing.T) {
	s := newSetup(t)
	f, err := os.Open(strings.TrimPrefix(s.cache.Name(), "FILE:"))
	must(t, err)
	defer f.Close()
	unlock, err := filelock.Lock(t.Context(), f, false)
	must(t, err)
	defer unlock()
	pair(t, s.initiator(t), s.acceptor(t), gss.Request{Target: gss.HostService(service)})
}

// A KCM daemon that listens and says nothing is waited for until ctx ends.
func TestSilentKCM(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "kcm")
	l, err := net.Listen("unix", socket)
	must(t, err)
	defer l.Close()
	profile, err := krb5.ReadProfile(writeFile(t, "krb5.conf", []byte("[libdefaults]\nkcm_socket = "+socket+"\n")))
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Read(make([]byte, 1))
		cancel()
		<-t.Context().Done()
	}()
	t.Setenv("KRB5CCNAME", "KCM:")
	_, err = krb5.AcquireCredential(ctx, krb5.CredentialConfig{Usage: gss.InitiateOnly, Profile: profile})
	e, ok := errors.AsType[*gss.Error](err)
	if !ok || e.Major != gss.ErrFailure || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the KCM daemon does not answer") || !strings.Contains(e.Hint, "sssd-kcm") {
		t.Errorf("%#v", err)
	}
}

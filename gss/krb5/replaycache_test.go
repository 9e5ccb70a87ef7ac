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
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// The cache that an acceptor opens for itself goes by the acceptor's clock,
// an hour ahead of the system's here.
func TestReplayCacheClock(t *testing.T) {
	s := newSetup(t)
	t.Setenv("KRB5RCACHENAME", "file2:"+filepath.Join(t.TempDir(), "rcache"))
	_, err := s.initiator(t).Initiate(t.Context(), gss.Request{Target: gss.HostService(service)}) // gets the ticket
	must(t, err)
	clock := func() time.Time { return time.Now().Add(time.Hour) }
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: s.cache, Profile: s.profile})
	must(t, err)
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred, Time: clock})
	must(t, err)
	ic, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
	must(t, err)
	token, err := ic.Step(nil)
	must(t, err)

	a := s.acceptorWith(t, krb5.AcceptorConfig{Time: clock})
	accept := func() error {
		sec, err := a.Accept(nil)
		must(t, err)
		_, err = sec.Step(token)
		return err
	}
	must(t, accept())
	checkRefusal(t, accept(), gss.ErrDuplicateToken, kmsg.APErrRepeat, "Request is a replay")
}

// Without a profile a replay cache goes by the default files, as everything else
// does.
func TestReplayCacheDefaultProfile(t *testing.T) {
	s := newSetup(t)
	t.Setenv("KRB5RCACHEDIR", t.TempDir())
	conf := func(text string) { t.Setenv("KRB5_CONFIG", writeFile(t, "krb5.conf", []byte(text))) }
	caches := func() map[string]*krb5.ReplayCache {
		dfl, err := krb5.OpenReplayCache("dfl:", nil)
		must(t, err)
		t.Cleanup(func() { must(t, dfl.Close()) })
		return map[string]*krb5.ReplayCache{"memory": krb5.NewMemoryReplayCache(nil), "dfl:": dfl}
	}
	accept := func(cache *krb5.ReplayCache) error {
		cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: s.cache, Profile: s.profile})
		must(t, err)
		ahead, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred, Time: func() time.Time { return time.Now().Add(time.Minute) }})
		must(t, err)
		i, err := ahead.Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
		must(t, err)
		token, err := i.Step(nil)
		must(t, err)
		sec, err := s.acceptorWith(t, krb5.AcceptorConfig{ReplayCache: cache}).Accept(nil)
		must(t, err)
		_, err = sec.Step(token)
		return err
	}
	conf("")
	for name, cache := range caches() {
		if err := accept(cache); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	conf("[libdefaults]\nclockskew = 20\n") // which the acceptor does not know of
	for name, cache := range caches() {
		if err := accept(cache); err == nil || !strings.Contains(err.Error(), "the clock skew of 20s") {
			t.Errorf("%s: an authenticator of a minute ahead: %v", name, err)
		}
	}
	conf("[libdefaults\n")
	if cache, err := krb5.OpenReplayCache("dfl:", nil); err == nil || !strings.Contains(err.Error(), os.Getenv("KRB5_CONFIG")) {
		t.Errorf("by a damaged file: %v, %v", cache, err)
	}
	err := accept(krb5.NewMemoryReplayCache(nil))
	if e, ok := errors.AsType[*gss.Error](err); !ok || !strings.Contains(err.Error(), os.Getenv("KRB5_CONFIG")) || e.Hint == "" {
		t.Errorf("in memory, by a damaged file: %v", err)
	}
}

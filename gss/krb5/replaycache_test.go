package krb5_test

import (
	"path/filepath"
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

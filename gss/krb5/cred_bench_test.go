package krb5_test

import (
	"os"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
)

// BenchmarkInitiate prepares contexts with a service ticket that the cache has.
func BenchmarkInitiate(b *testing.B) {
	for _, kind := range []string{"FILE", "MEMORY"} {
		b.Run("cache="+kind, func(b *testing.B) {
			i := cachedInitiator(b, kind)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := i.Initiate(b.Context(), gss.Request{Target: gss.HostService(service)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// cachedInitiator has its ticket for the service in a cache that nobody changes.
func cachedInitiator(t testing.TB, kind string) *krb5.Initiator {
	t.Helper()
	s := newSetup(t)
	data, err := s.realm.CCache("alice", "host/localhost")
	must(t, err)
	path := writeFile(t, "ccache", data)
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(path, old, old))
	s.cache, err = krb5.OpenCache(path)
	must(t, err)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: s.cache, Profile: s.profile})
	must(t, err)
	if kind == "MEMORY" {
		memory := krb5.NewMemoryCache()
		must(t, cred.Store(memory))
		cred, err = krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: memory, Profile: s.profile})
		must(t, err)
	}
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	must(t, err)
	return i
}

// A ticket that the cache has costs no allocation beyond the context, but a
// file's stat.
func TestCachedTicketAllocations(t *testing.T) {
	initiate := func(kind string) float64 {
		i := cachedInitiator(t, kind)
		return testing.AllocsPerRun(100, func() {
			if _, err := i.Initiate(t.Context(), gss.Request{Target: gss.HostService(service)}); err != nil {
				t.Fatal(err)
			}
		})
	}
	memory, file := initiate("MEMORY"), initiate("FILE")
	if memory > 4 || file > memory+3 {
		t.Errorf("%v allocations with a cache in memory, %v with a file", memory, file)
	}
}

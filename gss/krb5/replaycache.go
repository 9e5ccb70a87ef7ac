package krb5

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
	"github.com/countersign-go/countersign/gss/krb5/internal/rcache"
)

// A ReplayCache remembers the authenticators that acceptors took, so that none
// is taken twice. It is safe for concurrent use, and acceptors of one service
// should share one.
//
// Caches go by the system's clock, all but the one that an acceptor opens for
// itself. An acceptor with a Time of its own that is further off than the clock
// skew has every context refused by them, rather than replays accepted.
//
// A file costs a context 5 to 10 microseconds of CPU time (BenchmarkContextPair),
// memory less than one. A cache in memory before the file would save nothing:
// what is accepted has to be in the file first, or another process would accept
// it, too. A service that alone has its keys may do with memory; what it accepted
// can then be replayed to it after a restart, until the authenticator's time plus
// the clock skew has passed.
//
// A file that ends in the middle of a record, after a crash or on a full disk, is
// used on as MIT's library does it: nobody was accepted by the record that is not
// whole. One that another program keeps locked has contexts refused after two
// seconds, where MIT's library waits for ever.
//
// An entry in a file is given up when nothing can replay it any more. MIT's
// library gives up its own one clock skew after they came, which for a client
// whose clock is ahead is sooner.
//
// A cache that is opened by name or made in memory goes by the system's clock;
// the one that an acceptor opens for itself by [AcceptorConfig]'s Time.
type ReplayCache struct {
	cache rcache.Cache
}

// maxReplayEntries bounds a replay cache in memory. An entry lives for twice
// the clock skew at most, ten minutes as a rule: the bound allows for 1,700
// contexts a second all that time, and for some 100 MB.
const maxReplayEntries = 1 << 20

// OpenReplayCache opens a replay cache by its name in the C library's syntax:
// "file2:PATH", a file that every process and MIT's library may share; "dfl:",
// the file of that kind that the user's services share by default; "none:",
// which remembers nothing and lets tokens be replayed.
//
// A nil profile means the default files of krb5.conf. The acceptor's clock skew
// must be no larger than the profile's.
func OpenReplayCache(name string, profile *Profile) (*ReplayCache, error) {
	if profile == nil {
		var err error
		if profile, err = ReadProfile(); err != nil {
			return nil, err
		}
	}
	return openReplayCache(name, profile, nil)
}

func openReplayCache(name string, profile *Profile, clock func() time.Time) (*ReplayCache, error) {
	c, err := rcache.Open(name, rcache.Config{Skew: profile.settings.ClockSkew, Now: clock})
	if err != nil {
		return nil, replayCacheError(err)
	}
	return &ReplayCache{cache: c}, nil
}

// NewMemoryReplayCache makes a replay cache for one process. It holds a
// million entries; when all of them could still be replayed, contexts are
// refused rather than taken unchecked.
//
// A nil profile means the default files of krb5.conf. Where these cannot be read,
// every context is refused, and the error says why.
func NewMemoryReplayCache(profile *Profile) *ReplayCache {
	if profile == nil {
		var err error
		if profile, err = ReadProfile(); err != nil {
			return &ReplayCache{cache: unreadable{err}}
		}
	}
	return &ReplayCache{cache: rcache.NewMemory(maxReplayEntries, rcache.Config{Skew: profile.settings.ClockSkew})}
}

// unreadable is a cache that lacks its configuration.
type unreadable struct{ err error }

func (u unreadable) Store([]byte, time.Time) error { return u.err }

// Refused counts the contexts that were refused because a cache in memory was
// full; zero for others.
func (r *ReplayCache) Refused() uint64 {
	if m, ok := r.cache.(*rcache.Memory); ok {
		return m.Stats().Refused
	}
	return 0
}

// Close gives a file back. No acceptor may be using it.
func (r *ReplayCache) Close() error {
	if c, ok := r.cache.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// defaultReplayCache opens the cache that the environment names; a nil clock is
// the system's.
func defaultReplayCache(profile *Profile, clock func() time.Time) (*ReplayCache, error) {
	name := rcache.DefaultName(os.Getenv("KRB5RCACHENAME"), os.Getenv("KRB5RCACHETYPE"), profile.settings.DefaultRCacheName)
	return openReplayCache(name, profile, clock)
}

func replayCacheError(err error) error {
	if e, ok := errors.AsType[*gss.Error](err); ok {
		return e // of the profile
	}
	e := failure(err).(*gss.Error)
	if errors.Is(err, filelock.ErrLocked) {
		e.Hint = hintLocked
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, rcache.ErrCorrupt) {
		e.Hint = "remove that file, or name another replay cache in KRB5RCACHENAME (file2:PATH) or another directory in KRB5RCACHEDIR"
	}
	return e
}

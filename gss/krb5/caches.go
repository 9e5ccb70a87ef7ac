package krb5

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
	"github.com/countersign-go/countersign/gss/krb5/internal/localfile"
)

// A Cache is a credential cache: the tickets of one client. It is safe for
// concurrent use, and a file is shared with other programs by MIT's rules. A file
// that another program keeps locked is waited for until the call's context ends,
// for ten seconds at most.
type Cache struct {
	store *ccache.Store
}

// OpenCache opens a credential cache by name, which need not exist yet:
//
//   - "FILE:/path" or a path
//   - "DIR:dir" for the primary cache of a directory, "DIR::dir/tktX" for one
//   - "MEMORY:name", which this process shares
//   - "KCM:" for the primary cache of a KCM daemon, "KCM:name" for one; the
//     daemon's socket is that of the default krb5.conf: see [Profile.OpenCache]
//   - "KEYRING:anchor:collection" for the primary cache of a collection in the
//     Linux kernel's keyrings, "KEYRING:anchor:collection:name" for one; anchor
//     is session, user, process, thread, or persistent with a user's number for
//     collection. The cache ends with its last ticket.
//
// What is the primary cache is looked up now, of a KCM daemon for ten seconds at
// most.
func OpenCache(name string) (*Cache, error) {
	profile := new(Profile)
	if strings.HasPrefix(name, "KCM:") {
		var err error
		if profile, err = ReadProfile(); err != nil {
			return nil, err
		}
	}
	return profile.OpenCache(name)
}

// OpenCache opens a credential cache as the function OpenCache does, by this
// profile's kcm_socket.
func (p *Profile) OpenCache(name string) (*Cache, error) {
	s, err := p.caches().Open(context.Background(), name)
	if err != nil {
		return nil, cacheError(err)
	}
	return &Cache{store: s}, nil
}

func (p *Profile) caches() ccache.Resolver {
	var r ccache.Resolver
	if paths := p.conf.Values("libdefaults", "kcm_socket"); len(paths) > 0 {
		r.KCMSocket = paths[0]
	}
	return r
}

// NewMemoryCache makes an empty cache in memory that no name reaches.
func NewMemoryCache() *Cache { return &Cache{store: ccache.NewMemory()} }

// Name is the cache's full name, as KRB5CCNAME would have it.
func (c *Cache) Name() string { return c.store.Name() }

// defaultCacheName is what KRB5CCNAME or default_ccache_name says.
func defaultCacheName(profile *Profile) string {
	if name := os.Getenv("KRB5CCNAME"); name != "" {
		return name
	}
	return profile.settings.DefaultCCacheName
}

func cacheError(err error) error {
	e := &gss.Error{Major: gss.ErrNoCred, Mech: gss.MechKrb5, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Minor = minorCacheNotFound
		e.Hint = hintKinit
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "run as the cache's owner, or name a cache of your own in KRB5CCNAME"
	case errors.Is(err, filelock.ErrLocked):
		e.Major, e.Hint = gss.ErrFailure, hintLocked
	case errors.Is(err, ccache.ErrKCMSilent):
		e.Major = gss.ErrFailure
		e.Hint = "restart the KCM daemon (sssd-kcm or heimdal-kcm), or name another cache in KRB5CCNAME"
	case errors.Is(err, ccache.ErrNoKCM):
		e.Hint = "start the KCM daemon (sssd-kcm or heimdal-kcm), or name another cache in KRB5CCNAME"
	case errors.Is(err, localfile.ErrNotRegular):
		e.Hint = "name a file in KRB5CCNAME; a directory of caches is written DIR:/path"
	case errors.Is(err, ccache.ErrFormat), errors.Is(err, ccache.ErrVersion):
		e.Hint = "the cache is damaged: kdestroy, then kinit"
	}
	return e
}

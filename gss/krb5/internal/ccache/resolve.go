package ccache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// A Resolver finds caches by name. Its zero value goes by the defaults. What it asks a KCM daemon ends with ctx.
type Resolver struct {
	// KCMSocket is the path of the KCM daemon's socket, as kcm_socket in krb5.conf has it: "" means MIT's default, "-" none.
	KCMSocket string
}

// Open gives the cache of that name, which need not exist yet. The name of a collection (DIR:, KCM: or KEYRING: without a
// cache's own name) means its primary cache as it is now. The errors are [ErrType], naming the type, and *[Error].
func (r Resolver) Open(ctx context.Context, name string) (*Store, error) {
	kind, rest, typed := splitName(name)
	switch {
	case name == "":
		return nil, errors.New("the credential cache's name is empty")
	case !typed:
		return &Store{"FILE:" + name, &file{path: name}}, nil
	}
	switch kind {
	case "FILE":
		return &Store{name, &file{path: rest}}, nil
	case "DIR":
		path, err := dirCache(rest)
		if err != nil {
			return nil, err
		}
		return newDirStore(path), nil
	case "MEMORY":
		return &Store{name, namedMemory(name)}, nil
	case "KCM":
		return r.openKCM(ctx, rest)
	case "KEYRING":
		return openKeyring(rest)
	case "API", "MSLSA":
		return nil, &typeError{fmt.Sprintf("credential cache type %s is not supported (%s): use FILE, DIR, KCM, KEYRING or MEMORY", kind, name)}
	}
	return nil, &typeError{fmt.Sprintf("%v %q in %q: FILE, DIR, KCM, KEYRING and MEMORY are known", ErrType, kind, name)}
}

// splitName takes a name's type off. A bare path has none, and one letter is a drive's.
func splitName(name string) (kind, rest string, typed bool) {
	kind, rest, typed = strings.Cut(name, ":")
	if !typed || strings.HasPrefix(name, "/") || len(kind) == 1 {
		return "", name, false
	}
	return kind, rest, true
}

// Collection gives the caches among which a name lets one choose, the primary one first whether it exists or not: those of
// the collection if the name is one's (see [Resolver.Open]), else the cache of that name alone.
func (r Resolver) Collection(ctx context.Context, name string) ([]*Store, error) {
	if kind, rest, ok := collection(name); ok {
		switch kind {
		case "DIR":
			return dirCollection(rest)
		case "KCM":
			return r.kcmCollection(ctx)
		case "KEYRING":
			return keyringCollection(rest)
		}
	}
	s, err := r.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return []*Store{s}, nil
}

// ErrNoCollection means that a name is of one cache alone, so that no other can be made beside it.
var ErrNoCollection = errors.New("the name is of a single credential cache")

// New gives a cache with a name of its own in a collection. It exists when it is initialised. Another type's name gives
// [ErrNoCollection].
func (r Resolver) New(ctx context.Context, name string) (*Store, error) {
	kind, rest, ok := collection(name)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNoCollection, name)
	}
	switch kind {
	case "DIR":
		return newDirStore(filepath.Join(rest, "tkt"+rand.Text()[:12])), nil
	case "KCM":
		return r.newKCM(ctx)
	}
	return openKeyring(rest + ":krb_ccache_" + rand.Text()[:8])
}

// collection says whether a name is a collection's.
func collection(name string) (kind, rest string, ok bool) {
	kind, rest, typed := splitName(name)
	switch {
	case !typed:
		return "", "", false
	case kind == "DIR":
		ok = rest != "" && rest[0] != ':'
	case kind == "KCM":
		ok = rest == ""
	case kind == "KEYRING":
		if strings.Count(rest, ":") == 0 {
			rest = legacyAnchor + ":" + rest
		}
		ok = strings.Count(rest, ":") == 1
	}
	return kind, rest, ok
}

package ccache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// ErrType means that a cache's name starts with a type that is not supported.
//
//lint:ignore ST1005 MIT's words
var ErrType = errors.New("Unknown credential cache type")

// A typeError is an ErrType with its own words.
type typeError struct{ text string }

func (e *typeError) Error() string { return e.text }
func (e *typeError) Unwrap() error { return ErrType }

// An Error says which cache could not be used, and why. Err may be asked for with errors.Is: [fs.ErrNotExist],
// [fs.ErrPermission], [ErrFormat], [ErrVersion].
type Error struct {
	Name string // a file's path, or MEMORY:, KCM: or KEYRING: and a name
	Err  error
}

func (e *Error) Error() string {
	cause := e.Err
	var pathError *fs.PathError
	if errors.As(cause, &pathError) {
		cause = pathError.Err // the path is said here
	}
	text := cause.Error()
	switch {
	case errors.Is(e.Err, fs.ErrNotExist):
		text = "No credentials cache found"
	case errors.Is(e.Err, fs.ErrPermission):
		text = "Credentials cache permissions incorrect: " + text
	}
	kind, residual, _ := strings.Cut(e.Name, ":")
	missing := errors.Is(e.Err, fs.ErrNotExist)
	switch {
	case kind == "KEYRING" && missing:
		return fmt.Sprintf("Credentials cache keyring '%s' not found", residual)
	case kind == "KCM" && missing:
		return fmt.Sprintf("Credentials cache 'KCM:%s' not found", residual)
	case kind == "KEYRING" || kind == "KCM" || kind == "MEMORY":
		return fmt.Sprintf("%s (%s)", text, e.Name)
	}
	return fmt.Sprintf("%s (filename: %s)", text, e.Name)
}

func (e *Error) Unwrap() error { return e.Err }

// backend is where a cache lives.
type backend interface {
	load(context.Context) (*Cache, error) // shared: not to be changed
	replace(context.Context, *Cache) error
	append(context.Context, *Credential) error
	remove(context.Context, func(*Credential) bool) (int, error)
	destroy(context.Context) error
}

// A Store is a credential cache that may be shared with others: with every program that opens the file or asks the daemon or
// the kernel, or within this process for a cache in memory. All methods are safe for concurrent use; every error is an
// *[Error] that names the cache.
//
// A file that another has locked and a daemon that does not answer are waited for until ctx ends, for ten seconds at most.
type Store struct {
	name string
	backend
}

// Name is the cache's full name, type included: what KRB5CCNAME must hold for others to use it.
func (s *Store) Name() string { return s.name }

// Load gives the whole cache, which is the caller's own; the bytes of keys and tickets in it are shared and not to be changed.
func (s *Store) Load(ctx context.Context) (*Cache, error) {
	shared, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	c := *shared
	c.Credentials = slices.Clone(c.Credentials)
	return &c, nil
}

// Current gives the whole cache like Load, but shared with other callers: nothing in it may be changed. The same pointer means
// that nothing has changed. For a file that is as it was at the last Load or Current it costs one stat, for a cache in memory
// nothing; a KCM daemon and the kernel's keyrings are asked for everything each time.
func (s *Store) Current(ctx context.Context) (*Cache, error) { return s.load(ctx) }

// Replace makes the cache anew with that content. Readers of a file see the old content or the new, nothing between; it gets mode
// 0600, and whoever is writing to the old file at that moment writes in vain. A keyring and older KCM daemons get one credential after
// the other, and a reader may see some of them only.
func (s *Store) Replace(ctx context.Context, c *Cache) error { return s.replace(ctx, c) }

// Append stores one more credential in a cache that exists. One for the same server that is there already stays: [Cache.Find]
// takes the one that lasts longest.
func (s *Store) Append(ctx context.Context, cred Credential) error { return s.append(ctx, &cred) }

// Remove takes away the credentials for which match says so, and tells how many. In a file they are marked in place as MIT's
// library marks them, which leaves their keys in it: [Store.Replace] writes a file without. Some KCM daemons cannot do it.
func (s *Store) Remove(ctx context.Context, match func(*Credential) bool) (int, error) {
	return s.remove(ctx, match)
}

// SetConfig stores a configuration value for the whole cache, in the place of an earlier one under that key.
func (s *Store) SetConfig(ctx context.Context, client Principal, key string, value []byte) error {
	entry := ConfigEntry(client, key, "", value)
	_, removeErr := s.remove(ctx, func(c *Credential) bool { return c.Server.Equal(entry.Server) })
	if err := s.append(ctx, &entry); err != nil {
		return err
	}
	// Where the old value stays, the new one comes after it and counts.
	_ = removeErr
	return nil
}

// Destroy ends the cache's existence; a file is removed and overwritten with zeros. One that does not exist is an error.
func (s *Store) Destroy(ctx context.Context) error { return s.destroy(ctx) }

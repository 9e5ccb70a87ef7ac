package ccache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	Name string // a file's path, or MEMORY:name
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
	if strings.HasPrefix(e.Name, "MEMORY:") {
		return fmt.Sprintf("%s (%s)", text, e.Name)
	}
	return fmt.Sprintf("%s (filename: %s)", text, e.Name)
}

func (e *Error) Unwrap() error { return e.Err }

// backend is where a cache lives.
type backend interface {
	load() (*Cache, error)
	replace(*Cache) error
	append(*Credential) error
	remove(func(*Credential) bool) (int, error)
	destroy() error
}

// A Store is a credential cache that may be shared with others: with every program that opens the file, or within this
// process for a cache in memory. All methods are safe for concurrent use; every error is an *[Error] that names the cache.
type Store struct {
	name string
	backend
}

// Open gives the cache of that name, which need not exist yet. The errors are [ErrType], naming the type, and *[Error].
func Open(name string) (*Store, error) {
	kind, rest, typed := strings.Cut(name, ":")
	switch {
	case name == "":
		return nil, errors.New("the credential cache's name is empty")
	case !typed || strings.HasPrefix(name, "/") || len(kind) == 1: // one letter is a drive's
		return &Store{"FILE:" + name, &file{path: name}}, nil
	case kind == "FILE":
		return &Store{name, &file{path: rest}}, nil
	case kind == "DIR":
		path, err := dirCache(rest)
		if err != nil {
			return nil, err
		}
		return &Store{"DIR::" + path, dirFile{&file{path: path}}}, nil
	case kind == "MEMORY":
		return &Store{name, namedMemory(name)}, nil
	case kind == "KEYRING" || kind == "KCM" || kind == "API" || kind == "MSLSA":
		return nil, &typeError{fmt.Sprintf("credential cache type %s is not supported by this build yet (%s): use FILE, DIR or MEMORY", kind, name)}
	}
	return nil, &typeError{fmt.Sprintf("%v %q in %q: FILE, DIR and MEMORY are known", ErrType, kind, name)}
}

// Name is the cache's full name, type included: what KRB5CCNAME must hold for others to use it.
func (s *Store) Name() string { return s.name }

// Load gives the whole cache, which is the caller's own; the bytes of keys and tickets in it are shared and not to be changed.
// For a file that has not changed since the last Load it costs one stat.
func (s *Store) Load() (*Cache, error) { return s.load() }

// Initialize makes the cache anew, empty, for a principal. A file gets mode 0600.
func (s *Store) Initialize(principal Principal) error { return s.replace(&Cache{Default: principal}) }

// Replace makes the cache anew with that content. Readers of a file see the old content or the new, nothing between, and
// whoever is writing to the old file at that moment writes in vain.
func (s *Store) Replace(c *Cache) error { return s.replace(c) }

// Append stores one more credential in a cache that exists. One for the same server that is there already stays: [Cache.Find]
// takes the one that lasts longest.
func (s *Store) Append(cred Credential) error { return s.append(&cred) }

// Remove takes away the credentials for which match says so, and tells how many. In a file they are marked in place as MIT's
// library marks them, which leaves their keys in it: [Store.Replace] writes a file without.
func (s *Store) Remove(match func(*Credential) bool) (int, error) { return s.remove(match) }

// Destroy ends the cache's existence; a file is removed and overwritten with zeros. One that does not exist is an error.
func (s *Store) Destroy() error { return s.destroy() }

// dirCache resolves what follows "DIR:": a directory, for its primary cache, or a colon and a cache's own path. Nothing is
// created here.
func dirCache(rest string) (string, error) {
	if path, one := strings.CutPrefix(rest, ":"); one {
		if filepath.Dir(path) == "." || !strings.HasPrefix(filepath.Base(path), "tkt") {
			//lint:ignore ST1005 MIT's words
			return "", fmt.Errorf(`Subsidiary cache path %s has no parent directory, or its filename does not begin with "tkt"`, path)
		}
		return path, nil
	}
	if rest == "" {
		return "", errors.New("the credential cache's name DIR: has no directory")
	}
	primary := filepath.Join(rest, "primary")
	line, err := readPrimary(primary)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		line = "tkt"
	case err != nil:
		return "", &Error{primary, err}
	}
	return filepath.Join(rest, line), nil
}

// readPrimary reads the one line of a directory's primary file: a file name that starts with "tkt". MIT's library reads no
// more than 63 bytes of it.
func readPrimary(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, 64)
	n, err := f.Read(buf)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	line, _, whole := strings.Cut(string(buf[:n]), "\n")
	if !whole || !strings.HasPrefix(line, "tkt") || strings.ContainsAny(line, "/\\\x00") {
		return "", fmt.Errorf("%w: contains invalid filename", ErrFormat)
	}
	return line, nil
}

// A dirFile is a file in a directory of caches, both of which are made when the cache is.
type dirFile struct{ *file }

func (d dirFile) replace(c *Cache) error {
	dir := filepath.Dir(d.path)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return &Error{dir, err}
	}
	if err := d.file.replace(c); err != nil {
		return err
	}
	primary := filepath.Join(dir, "primary")
	if _, err := os.Lstat(primary); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return writeNew(primary, []byte(filepath.Base(d.path)+"\n"))
}

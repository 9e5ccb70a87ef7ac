package ccache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/countersign-go/countersign/gss/krb5/internal/localfile"
)

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
	f, err := localfile.Open(path, false)
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

func (d dirFile) replace(ctx context.Context, c *Cache) error {
	dir := filepath.Dir(d.path)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return &Error{dir, err}
	}
	if err := d.file.replace(ctx, c); err != nil {
		return err
	}
	primary := filepath.Join(dir, "primary")
	if _, err := os.Lstat(primary); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return writeNew(primary, []byte(filepath.Base(d.path)+"\n"))
}

// dirCollection gives the caches of a directory, the primary one first, whether it exists or not.
func dirCollection(dir string) ([]*Store, error) {
	primary, err := dirCache(dir)
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(escapeGlob(dir), "tkt*"))
	if err != nil {
		return nil, &Error{dir, err}
	}
	found = slices.DeleteFunc(found, func(path string) bool { return path == primary })
	var stores []*Store
	for _, path := range append([]string{primary}, found...) {
		stores = append(stores, newDirStore(path))
	}
	return stores, nil
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}

func newDirStore(path string) *Store { return &Store{"DIR::" + path, dirFile{&file{path: path}}} }

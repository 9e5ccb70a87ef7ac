package keytab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"

	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
	"github.com/countersign-go/countersign/gss/krb5/internal/localfile"
)

// maxFile bounds what is read of a keytab: a key takes about 100 bytes, so this is room for 150,000 of them.
const maxFile = 16 << 20

// ErrType means that a keytab's name starts with a type other than FILE or WRFILE.
//
//lint:ignore ST1005 MIT's words
var ErrType = errors.New("Unknown Key table type")

// A FileError says which keytab file could not be used, and why. Err may be asked for with errors.Is: [fs.ErrNotExist],
// [fs.ErrPermission], [ErrFormat], [ErrVersion].
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string {
	if errors.Is(e.Err, fs.ErrNotExist) {
		return fmt.Sprintf("Key table file '%s' not found", e.Path)
	}
	cause := e.Err
	var pathError *fs.PathError
	if errors.As(cause, &pathError) {
		cause = pathError.Err // the path is said already
	}
	return fmt.Sprintf("Key table file '%s': %v", e.Path, cause)
}

func (e *FileError) Unwrap() error { return e.Err }

// resolve gives the path of a keytab name.
func resolve(name string) (string, error) {
	kind, rest, typed := strings.Cut(name, ":")
	switch {
	case !typed || strings.HasPrefix(name, "/"):
		return name, nil
	case len(kind) == 1: // a drive's letter
		return name, nil
	case kind == "FILE" || kind == "WRFILE":
		return rest, nil
	}
	return "", fmt.Errorf("%w %q in %q: FILE and WRFILE are known", ErrType, kind, name)
}

func load(ctx context.Context, path string) (*state, error) {
	data, stamp, err := read(ctx, path)
	if err != nil {
		return nil, &FileError{path, err}
	}
	kt, err := Parse(data)
	clear(data)
	if err != nil {
		return nil, &FileError{path, err}
	}
	return &state{kt, stamp}, nil
}

// read reads a file under the shared lock that MIT's readers take, since its writers change a keytab in place. ctx
// bounds the wait for it.
func read(ctx context.Context, path string) ([]byte, localfile.Stamp, error) {
	f, err := localfile.Open(path, false)
	if err != nil {
		return nil, localfile.Stamp{}, err
	}
	defer f.Close()
	unlock, err := filelock.Lock(ctx, f, false)
	if err != nil {
		return nil, localfile.Stamp{}, err
	}
	defer unlock()
	info, err := f.Stat()
	if err != nil {
		return nil, localfile.Stamp{}, err
	}
	if info.Size() > maxFile {
		return nil, localfile.Stamp{}, fmt.Errorf("%d bytes, more than the %d that are read", info.Size(), maxFile)
	}
	stamp := localfile.NewStamp(info)
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, localfile.Stamp{}, err
	}
	return data, stamp, nil
}

// A File is a keytab file that is read again when it has changed. It holds no descriptor and is safe for concurrent use.
type File struct {
	path  string
	state atomic.Pointer[state]
}

type state struct {
	keytab *Keytab
	stamp  localfile.Stamp
}

// Open reads the keytab that name says: "FILE:/path", "WRFILE:/path" or a bare path. A file over 16 MiB is refused. One
// that another has locked is waited for until ctx ends, for ten seconds at most, as it is by [File.Current]. Errors are a
// *[FileError], or [ErrType] with the type in question.
func Open(ctx context.Context, name string) (*File, error) {
	path, err := resolve(name)
	if err != nil {
		return nil, err
	}
	s, err := load(ctx, path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path}
	f.state.Store(s)
	return f, nil
}

// Path is the file's path.
func (f *File) Path() string { return f.path }

// Current gives the file's present content, which the caller must not change. It costs one stat while the file's size,
// modification time and identity are what they were. A file that is gone or damaged is an error, a *[FileError], for as long
// as it is so: the keys read before may have been revoked.
func (f *File) Current(ctx context.Context) (*Keytab, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, &FileError{f.path, err}
	}
	s := f.state.Load()
	if s == nil || !s.stamp.Matches(info) {
		if s, err = load(ctx, f.path); err != nil {
			return nil, err
		}
		f.state.Store(s)
	}
	return s.keytab, nil
}

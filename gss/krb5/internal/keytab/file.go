package keytab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
)

// maxFile bounds what is read of a keytab: a key takes about 100 bytes, so this is room for 150,000 of them.
const maxFile = 16 << 20

// settled is how old a file's modification time must be before an equal time proves equal content: the coarsest clock of a
// file system in use (FAT) ticks every 2 s.
const settled = 2 * time.Second

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

func load(path string) (*Keytab, fs.FileInfo, error) {
	data, info, err := read(path)
	if err != nil {
		return nil, nil, &FileError{path, err}
	}
	kt, err := Parse(data)
	clear(data)
	if err != nil {
		return nil, nil, &FileError{path, err}
	}
	return kt, info, nil
}

// read reads a file under the shared lock that MIT's readers take, since its writers change a keytab in place.
func read(path string) ([]byte, fs.FileInfo, error) {
	info, err := os.Stat(path) // before it is opened: the opening of a named pipe waits
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	unlock, err := filelock.Lock(f, false)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	if info, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	if info.Size() > maxFile {
		return nil, nil, fmt.Errorf("%d bytes, more than the %d that are read", info.Size(), maxFile)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, nil, err
	}
	return data, info, nil
}

// A File is a keytab file that is read again when it has changed. It holds no descriptor and is safe for concurrent use.
type File struct {
	path  string
	state atomic.Pointer[state]
}

type state struct {
	keytab *Keytab
	info   fs.FileInfo
	racy   bool // read so soon after it was written that its time might not show a further change
}

// Open reads the keytab that name says: "FILE:/path", "WRFILE:/path" or a bare path. A file over 16 MiB is refused. Errors
// are a *[FileError], or [ErrType] with the type in question.
func Open(name string) (*File, error) {
	path, err := resolve(name)
	if err != nil {
		return nil, err
	}
	f := &File{path: path}
	if _, err := f.Current(); err != nil {
		return nil, err
	}
	return f, nil
}

// Path is the file's path.
func (f *File) Path() string { return f.path }

// Current gives the file's present content, which the caller must not change. It costs one stat while the file's size,
// modification time and identity are what they were. A file that is gone or damaged is an error, a *[FileError], for as long
// as it is so: the keys read before may have been revoked.
func (f *File) Current() (*Keytab, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, &FileError{f.path, err}
	}
	if s := f.state.Load(); s != nil && !s.racy && info.Size() == s.info.Size() &&
		info.ModTime().Equal(s.info.ModTime()) && os.SameFile(info, s.info) {
		return s.keytab, nil
	}
	now := time.Now()
	kt, info, err := load(f.path)
	if err != nil {
		return nil, err
	}
	f.state.Store(&state{kt, info, now.Sub(info.ModTime()).Abs() < settled})
	return kt, nil
}

package ccache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
	"github.com/countersign-go/countersign/gss/krb5/internal/localfile"
)

// maxFile bounds what is read of a cache: tickets take one to ten kilobytes, so this is room for 6,000 of the largest.
const maxFile = 64 << 20

// A file is a cache in a file. Whoever reads it holds the shared lock, whoever changes it the exclusive one, over the whole
// file, as MIT's library does. What was read is kept, and read again when the file's size, modification time or identity has
// changed.
type file struct {
	path string
	last atomic.Pointer[snapshot]
}

type snapshot struct {
	cache *Cache // never changed
	data  []byte // what it was read from
	stamp localfile.Stamp
}

func (f *file) wrap(err error) error {
	if err == nil {
		return nil
	}
	return &Error{f.path, err}
}

// open opens the file and takes its lock, for which it waits no longer than ctx; done gives both back.
func (f *file) open(ctx context.Context, write bool) (h *os.File, done func(), err error) {
	if h, err = localfile.Open(f.path, write); err != nil {
		return nil, nil, err
	}
	unlock, err := filelock.Lock(ctx, h, write)
	if err != nil {
		h.Close()
		return nil, nil, err
	}
	return h, func() { unlock(); h.Close() }, nil
}

// content reads an open and locked file whole.
func content(h *os.File) ([]byte, error) {
	info, err := h.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%w: %d bytes, more than the %d that are read", ErrFormat, info.Size(), maxFile)
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(h, data)
	return data, err
}

func (f *file) load(ctx context.Context) (*Cache, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, f.wrap(err)
	}
	last := f.last.Load()
	if last == nil || !last.stamp.Matches(info) {
		if last, err = f.read(ctx, last); err != nil {
			return nil, f.wrap(err)
		}
		f.last.Store(last)
	}
	return last.cache, nil
}

// read reads the file, and keeps the last reading's value if that was of the same bytes.
func (f *file) read(ctx context.Context, last *snapshot) (*snapshot, error) {
	h, done, err := f.open(ctx, false)
	if err != nil {
		return nil, err
	}
	defer done()
	info, err := h.Stat()
	if err != nil {
		return nil, err
	}
	stamp := localfile.NewStamp(info)
	data, err := content(h)
	if err != nil {
		return nil, err
	}
	if last != nil && bytes.Equal(data, last.data) {
		return &snapshot{last.cache, last.data, stamp}, nil
	}
	c, _, _, err := parse(data)
	if err != nil {
		return nil, err
	}
	return &snapshot{c, data, stamp}, nil
}

func (f *file) replace(_ context.Context, c *Cache) error {
	data, err := c.Marshal()
	if err != nil {
		return f.wrap(err)
	}
	defer clear(data)
	return f.wrap(writeNew(f.path, data))
}

// writeNew puts a new file of mode 0600 with that content in the place of path: whatever was there, a symbolic link included,
// is replaced and not followed.
func writeNew(path string, data []byte) error {
	h, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // O_EXCL, 0600
	if err != nil {
		return err
	}
	_, err = h.Write(data)
	if err = errors.Join(err, h.Close()); err == nil {
		err = os.Rename(h.Name(), path)
	}
	if err != nil {
		os.Remove(h.Name())
	}
	return err
}

func (f *file) append(ctx context.Context, cred *Credential) error {
	h, done, err := f.open(ctx, true)
	if err != nil {
		return f.wrap(err)
	}
	defer done()
	var start [2]byte
	if _, err := h.ReadAt(start[:], 0); err != nil {
		return f.wrap(fmt.Errorf("%w: shorter than its version number", ErrFormat))
	}
	r := reader{Reader: localfile.Reader{String: start[:]}}
	version, err := r.version()
	if err != nil {
		return f.wrap(err)
	}
	w := newWriter(version)
	w.credential(cred)
	defer clear(w.b)
	if w.err != nil {
		return f.wrap(w.err)
	}
	end, err := h.Seek(0, io.SeekEnd)
	if err != nil {
		return f.wrap(err)
	}
	if _, err = h.WriteAt(w.b, end); err != nil {
		// A full disk must not leave half a credential, which would make the whole cache unreadable.
		err = errors.Join(err, h.Truncate(end))
	}
	return f.wrap(err)
}

func (f *file) remove(ctx context.Context, match func(*Credential) bool) (int, error) {
	h, done, err := f.open(ctx, true)
	if err != nil {
		return 0, f.wrap(err)
	}
	defer done()
	data, err := content(h)
	if err != nil {
		return 0, f.wrap(err)
	}
	c, version, spans, err := parse(data)
	if err != nil {
		return 0, f.wrap(err)
	}
	removed := 0
	for i, at := range spans {
		cred := c.Credentials[i]
		if !match(&cred) {
			continue
		}
		if cred.IsConfig() {
			cred.Server.Realm = removedRealm // of the same length
		}
		w := newWriter(version)
		w.credential(&cred)
		markRemoved(&w, &cred)
		if w.err != nil || len(w.b) != at.end-at.start {
			return removed, f.wrap(errors.Join(w.err, fmt.Errorf("%w: credential %d cannot be marked in place", ErrFormat, i+1)))
		}
		if _, err := h.WriteAt(w.b, int64(at.start)); err != nil {
			return removed, f.wrap(err)
		}
		removed++
	}
	return removed, nil
}

// markRemoved turns the credential just written to w into a removed one: its time of authentication all ones, its end zero.
func markRemoved(w *writer, cred *Credential) {
	before := newWriter(w.ordinal)
	before.principal(cred.Client)
	before.principal(cred.Server)
	times := len(before.b) + 2 + 4 + len(cred.Key)
	if w.ordinal == version3 {
		times += 2
	}
	copy(w.b[times:], []byte{0xff, 0xff, 0xff, 0xff}) // authentication
	clear(w.b[times+8 : times+12])                    // end
}

func (f *file) destroy(ctx context.Context) error {
	h, done, err := f.open(ctx, true)
	if err != nil {
		return f.wrap(err)
	}
	info, err := h.Stat()
	if err != nil {
		done()
		return f.wrap(err)
	}
	removeErr := os.Remove(f.path)
	_, err = h.WriteAt(make([]byte, min(info.Size(), maxFile)), 0)
	done()
	if removeErr != nil {
		removeErr = os.Remove(f.path) // some systems keep an open file's name
	}
	return f.wrap(errors.Join(err, removeErr))
}

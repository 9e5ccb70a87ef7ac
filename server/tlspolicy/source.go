package tlspolicy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxFile bounds what is read of a file. The largest public CRLs have some 50 MB.
const maxFile = 64 << 20

// settling is how long after a change a file can change again without its
// modification time or size showing it: the coarsest clocks of file systems
// count in steps of two seconds.
const settling = 2 * time.Second

// retryAfter is how long files of which nothing could be made are left alone while
// they show no change. What was wrong need not have been in them: a list or a
// certificate of the near future is good when the clock gets there, a list whose CA
// was not known when that has been read. The largest lists take a second or two,
// for which handshakes wait.
const retryAfter = 30 * time.Second

// A source is something made of files, made again when they change. What cannot
// be made leaves the last good value in place.
type source[T any] struct {
	paths  []string
	parse  func(contents [][]byte) (T, error)
	report func(changed string, err error)

	made atomic.Pointer[made[T]]
	mu   sync.Mutex // held while reading
}

// made is a value and what its files looked like when they were last read,
// whether that gave the value or an error.
type made[T any] struct {
	value   T
	stamps  []stamp
	sum     [sha256.Size]byte
	settled bool
	retry   time.Time // when to try again, as the value is not of these files; zero: it is
}

// A stamp is how a change of a file shows without reading it. What is no regular
// file, such as the pipe of a shell's <(command), does not show any.
type stamp struct {
	size    int64
	changed time.Time
	info    os.FileInfo // for its identity; nil: the file cannot be seen
}

func (s stamp) same(t stamp) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return s.size == t.size && s.changed.Equal(t.changed) && os.SameFile(s.info, t.info)
}

// once reports whether the file can be read only once.
func (s stamp) once() bool { return s.info != nil && !s.info.Mode().IsRegular() }

func look(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	if !info.Mode().IsRegular() {
		return stamp{info: info} // a pipe has nothing more to give
	}
	return stamp{info.Size(), info.ModTime(), info}
}

// open makes the value for the first time.
func (s *source[T]) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, contents, err := s.read()
	if err != nil {
		return err
	}
	if m.value, err = s.parse(contents); err != nil {
		return err
	}
	s.made.Store(m)
	return nil
}

// current gives the value, made again if a file has changed.
func (s *source[T]) current() T {
	m := s.made.Load()
	if s.stands(m) {
		return m.value
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m = s.made.Load(); s.stands(m) {
		return m.value // another handshake was faster
	}
	return s.renew(m, !m.due())
}

// reload reads the files again whether they show a change or not.
func (s *source[T]) reload() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renew(s.made.Load(), false)
}

// stands reports whether the value is the best there is.
func (s *source[T]) stands(m *made[T]) bool { return m.settled && !m.due() && s.unchanged(m) }

// due reports whether it is time to try again.
func (m *made[T]) due() bool { return !m.retry.IsZero() && !time.Now().Before(m.retry) }

func (s *source[T]) unchanged(m *made[T]) bool {
	for i, path := range s.paths {
		if !m.stamps[i].same(look(path)) {
			return false
		}
	}
	return true
}

// renew makes the value of the files as they are now; if they failed before and
// hold the same still, only when that is not to be spared. The caller holds s.mu.
func (s *source[T]) renew(old *made[T], spare bool) T {
	m, contents, err := s.read()
	m.value, m.retry = old.value, old.retry
	if err == nil && m.sum == old.sum && (old.retry.IsZero() || spare) {
		s.made.Store(m)
		return m.value
	}
	m.retry = time.Time{}
	if err == nil {
		var value T
		if value, err = s.parse(contents); err == nil {
			m.value = value
		}
	}
	if err != nil && !slices.ContainsFunc(m.stamps, stamp.once) {
		m.retry = time.Now().Add(retryAfter)
	}
	if err == nil || !s.sameFailure(old, m) {
		s.report(fmt.Sprint(s.paths), err)
	}
	s.made.Store(m)
	return m.value
}

// sameFailure reports whether the files could not be read the last time either,
// in the same way, so that this need not be said with every handshake.
func (s *source[T]) sameFailure(old, now *made[T]) bool {
	for i := range s.paths {
		if !old.stamps[i].same(now.stamps[i]) {
			return false
		}
	}
	return old.sum == now.sum
}

func (s *source[T]) read() (*made[T], [][]byte, error) {
	m := &made[T]{stamps: make([]stamp, len(s.paths)), settled: true}
	contents := make([][]byte, len(s.paths))
	var failed error
	now := time.Now()
	for i, path := range s.paths {
		m.stamps[i] = look(path)
		if age := now.Sub(m.stamps[i].changed).Abs(); m.stamps[i].info != nil && age < settling {
			m.settled = false
		}
		content, err := readFile(path)
		if err != nil && m.stamps[i].info != nil {
			m.settled = false // that a descriptor or a permission was wanting shows in no stamp
		}
		if err != nil && failed == nil {
			failed = err
		}
		contents[i] = content
	}
	h := sha256.New()
	for _, c := range contents {
		fmt.Fprintf(h, "%d:", len(c))
		h.Write(c)
	}
	h.Sum(m.sum[:0])
	return m, contents, failed
}

// readFile reads a file with hints on why it cannot. A pipe that nobody writes to
// reads as empty, rather than for ever: handshakes wait for this.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !filepath.IsAbs(path):
		return nil, hinted("check the path: it begins at the directory that the program was started in", "%w", err)
	case errors.Is(err, fs.ErrNotExist):
		return nil, hinted("check the path", "%w", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, hinted("the user that the program runs as has to be allowed to read it", "%w", err)
	case err != nil:
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > maxFile {
		return nil, tooLong(path) // not read to find out: it may be tried with every handshake
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, tooLong(path)
	}
	return content, nil
}

func tooLong(path string) error {
	return fmt.Errorf("%s: the file is longer than %d bytes", path, maxFile)
}

// notBlank refuses files with nothing in them, of which a parser could only say
// what it misses.
func notBlank(path string, content []byte) error {
	if len(content) == 0 {
		return fmt.Errorf("%s: the file is empty", path)
	}
	if len(bytes.TrimSpace(content)) == 0 {
		return fmt.Errorf("%s: the file has nothing but white space in it", path)
	}
	return nil
}

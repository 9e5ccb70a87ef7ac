// Package localfile opens the files that keytabs and credential caches live in, tells
// whether one is still what it was when it was read, and reads its integers.
package localfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// ErrNotRegular means that the path leads to a directory, a named pipe, a device or the
// like.
var ErrNotRegular = errors.New("not a regular file")

var errDirectory = fmt.Errorf("%w: it is a directory", ErrNotRegular)

// Open opens a regular file for reading, or for writing too, and waits for nobody: what it
// opened is looked at, not what the path led to a moment before. The error is
// [ErrNotRegular] or that of package os.
func Open(path string, write bool) (*os.File, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	// Without O_NONBLOCK the opening of a named pipe waits for its other end. For a regular
	// file it means nothing.
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.EISDIR) {
		return nil, errDirectory
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = errDirectory
	case !info.Mode().IsRegular():
		err = ErrNotRegular
	default:
		return f, nil
	}
	f.Close()
	return nil, err
}

// How old a file's modification time must be before an equal time proves equal content. File
// systems that keep fractions of a second take them from a clock that ticks every 10 ms or
// faster; of the others FAT is the coarsest with 2 s.
const (
	settledFine   = 100 * time.Millisecond
	settledCoarse = 2 * time.Second
)

// A Stamp is what is known of a file from the moment before it was read.
type Stamp struct {
	info fs.FileInfo
	racy bool // so soon after it was written that its time might not show a further change
}

// NewStamp notes what a file is like, asked of its descriptor before it is read.
func NewStamp(info fs.FileInfo) Stamp {
	settled := settledFine
	if info.ModTime().Nanosecond() == 0 {
		settled = settledCoarse
	}
	return Stamp{info, time.Since(info.ModTime()).Abs() < settled}
}

// Matches reports whether the file with that info, which the path leads to now, must have the
// content that was read: same size, modification time and identity.
func (s Stamp) Matches(info fs.FileInfo) bool {
	return s.info != nil && !s.racy && info.Size() == s.info.Size() && info.ModTime().Equal(s.info.ModTime()) && os.SameFile(info, s.info)
}

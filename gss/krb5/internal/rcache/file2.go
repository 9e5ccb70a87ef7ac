package rcache

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"syscall"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
)

// The layout of MIT's file2 format (krb5 1.18 and later): a random SipHash key, then tables of records.
const (
	seedLength   = 16
	fileTag      = 12                   // bytes of a tag that the file holds
	recordLength = fileTag + 4          // and the time, in seconds, big endian
	firstTable   = 1023                 // records
	maxFileSize  = int64(math.MaxInt32) // MIT's bound
)

// lockWait bounds the wait for the file, and before that for the others of this process who wait for it. It is locked for
// microseconds at a time; a lock kept longer must not keep every client of a service waiting for ever.
const lockWait = 2 * time.Second

// ErrCorrupt means that a file cannot be a replay cache: it is larger than one may become.
var ErrCorrupt = errors.New("replay cache file is corrupt")

// File2 is a replay cache in a file of MIT's file2 format, which any number of processes may use at one time, those that link
// MIT's library included. It is safe for concurrent use.
//
// The descriptor stays open. Every Store takes the file's lock, then looks (one stat) whether the path still names the file
// that is open; when it was removed or replaced, the file that is there now is used, so that all processes agree. The
// hash key is read each time, since a truncated file has got a new one. A Store costs six system calls while the first table
// has room, and one more for each further table: 4 to 6 microseconds.
//
// A file holds 12 bytes of a tag: of the MACs of the enctypes 19 and 20 the first 12, no less than those of 17 and 18.
//
// A file that a full disk or a crash has left with a part of its hash key or of its last record is gone on with, as MIT's
// library goes on with it: who was writing there has not accepted the request. A part of a record counts as none. A hash key
// that is not whole was never used, so another takes its place; MIT's library writes that behind the part, where it is not
// found again, and so loses its first record.
//
// A slot is used again only when nothing in it can be replayed any more: once twice the skew has passed since the time in it.
// An authenticator may be ahead of the clock by the skew and is then accepted until twice the skew after its arrival. MIT's
// library writes the time of arrival and frees the slot after one skew, so there such a request may be replayed in between.
// We write the authenticator's time when it is the later, which makes MIT's library keep our entries for long enough, too.
type File2 struct {
	config Config
	path   string
	strict bool // no symbolic link, the effective user's own

	turn   chan struct{} // holds a value while somebody uses what follows
	file   *os.File
	info   fs.FileInfo
	closed bool
}

// OpenFile2 opens the file at path, and creates it with mode 0600 if there is none.
func OpenFile2(path string, c Config) (*File2, error) { return openFile2(path, false, c) }

func openFile2(path string, strict bool, c Config) (*File2, error) {
	r := &File2{config: c.complete(), path: path, strict: strict, turn: make(chan struct{}, 1)}
	if err := r.open(); err != nil {
		return nil, err
	}
	return r, nil
}

// Path is the file's path.
func (r *File2) Path() string { return r.path }

// Close gives the descriptor back. A later Store is an error.
func (r *File2) Close() error {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	if r.closed {
		return fs.ErrClosed
	}
	r.closed = true
	return r.release()
}

func (r *File2) release() error {
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file, r.info = nil, nil
	return f.Close()
}

func (r *File2) wrap(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err // the path is said here
	}
	return fmt.Errorf("replay cache: %w (filename: %s)", err, r.path)
}

func (r *File2) open() error {
	flags := os.O_RDWR | os.O_CREATE | syscall.O_NONBLOCK // or a pipe might make wait
	if r.strict {
		flags |= noFollow
	}
	f, err := os.OpenFile(r.path, flags, 0o600)
	if err != nil {
		return r.wrap(err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("not a regular file")
	case r.strict:
		err = checkOwner(info)
	}
	if err != nil {
		f.Close()
		return r.wrap(err)
	}
	r.file, r.info = f, info
	return nil
}

// Store remembers a tag: see [Cache]. Errors other than [ErrReplay] name the file: [ErrCorrupt], [ErrFull] when the file has
// reached 2 GiB, and what the system says.
func (r *File2) Store(tag []byte, at time.Time) error {
	now := r.config.Now()
	if err := r.config.check(tag, at, now); err != nil {
		return err
	}
	var record [recordLength]byte
	copy(record[:fileTag], tag)
	stamp := now
	if at.After(now) {
		stamp = at
	}
	binary.BigEndian.PutUint32(record[fileTag:], uint32(stamp.Unix()))

	if err := r.take(); err != nil {
		return err
	}
	defer func() { <-r.turn }()
	unlock, size, err := r.lockCurrent()
	if err != nil {
		return err
	}
	defer unlock()
	err = r.checkAndWrite(&record, uint32(now.Unix()), size)
	if err != nil && !errors.Is(err, ErrReplay) {
		return r.wrap(err)
	}
	return err
}

// take waits for the caller's turn. All who came at one time give up at one time, however many they are.
func (r *File2) take() error {
	select {
	case r.turn <- struct{}{}:
		return nil
	default:
	}
	late := time.NewTimer(lockWait)
	defer late.Stop()
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-late.C:
		return r.wrap(filelock.ErrLocked)
	}
}

// lockCurrent locks the file that the path names now, and gives its size.
func (r *File2) lockCurrent() (unlock func(), size int64, err error) {
	// Each turn means that the file was replaced in the instant between opening and locking it.
	for range 100 {
		if r.closed {
			return nil, 0, r.wrap(fs.ErrClosed)
		}
		if r.file == nil {
			if err := r.open(); err != nil {
				return nil, 0, err
			}
		}
		if unlock, err = filelock.LockWithin(lockWait, r.file, true); err != nil {
			return nil, 0, r.wrap(err)
		}
		var info fs.FileInfo
		if r.strict {
			info, err = os.Lstat(r.path)
		} else {
			info, err = os.Stat(r.path)
		}
		if err == nil && os.SameFile(info, r.info) {
			return unlock, info.Size(), nil
		}
		unlock()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, r.wrap(err)
		}
		_ = r.release()
	}
	return nil, 0, r.wrap(errors.New("the file is being replaced all the time"))
}

// checkAndWrite looks for the record's tag in a locked file of that size, and writes the record if it is not there.
func (r *File2) checkAndWrite(record *[recordLength]byte, now uint32, size int64) error {
	var seed [seedLength]byte
	switch {
	case size < seedLength:
		_, _ = rand.Read(seed[:]) // never fails
		if _, err := r.file.WriteAt(seed[:], 0); err != nil {
			return errors.Join(err, r.file.Truncate(0))
		}
	case size > maxFileSize:
		return fmt.Errorf("%w: %d bytes, more than the %d that one may have: remove it when no service is running", ErrCorrupt, size, maxFileSize)
	default:
		if _, err := r.file.ReadAt(seed[:], 0); err != nil {
			return err
		}
	}

	free := int64(-1)
	start, slots := int64(seedLength), int64(firstTable)
	for slots*recordLength <= maxFileSize-start {
		at := start + int64(sipHash(&seed, record[:fileTag])%uint64(slots))*recordLength
		var pair [2 * recordLength]byte
		n, err := r.file.ReadAt(pair[:], at)
		if err != nil && err != io.EOF {
			return err
		}
		written := 0 // of the two slots, those that hold something
		for offset := 0; offset < len(pair); offset += recordLength {
			slot := pair[offset : offset+recordLength]
			time := binary.BigEndian.Uint32(slot[fileTag:])
			blank := n < offset+recordLength || time == 0
			if !blank {
				written++
				if bytes.Equal(slot[:fileTag], record[:fileTag]) {
					return ErrReplay
				}
			}
			if free < 0 && (blank || r.over(time, now)) {
				free = at + int64(offset)
			}
		}
		if written < 2 {
			_, err := r.file.WriteAt(record[:], free)
			return err
		}
		start += slots * recordLength
		if slots == firstTable {
			slots++
		}
		slots *= 2
		seed[0]++ // another order of slots in each table
	}
	return ErrFull
}

// over says whether nothing stored at a time can be replayed now; numbers of seconds wrap as MIT's do, in the year 2106.
func (r *File2) over(stamp, now uint32) bool {
	return int32(now-stamp-2*uint32(r.config.Skew/time.Second)) > 0
}

// Package psk reads files of pre-shared keys: an identity and its key in
// hexadecimal a line, between them blanks or, as psktool(1) writes it, a colon.
// Empty lines and those that begin with # are skipped. A file without any key
// is an error: nobody could get in, and nobody would know why.
//
//	# identity  key
//	alice       8a1d6f0c5b7e4f2398c0d7aa51b26e03
package psk

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// MinKey is the length of the shortest key that is not weak, in bytes: 128 bits.
const MinKey = 16

// Limits of what a file may hold, so that a wrong file is soon refused. Peers
// have to manage identities of 128 bytes and keys of 64 (RFC 4279, section 5.3).
const (
	maxIdentity = 128
	maxKey      = 64
	maxEntries  = 1 << 20
)

// A Table holds the keys of identities. It is safe for concurrent use, and
// printing it prints no key.
type Table struct {
	keys map[string][]byte
}

// String tells the number of identities.
func (t *Table) String() string { return fmt.Sprintf("keys of %d identities", len(t.keys)) }

// Format is String for every verb.
func (t *Table) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// Key gives the key of an identity, and whether there is one. The caller must
// not change it.
func (t *Table) Key(identity string) ([]byte, bool) {
	k, ok := t.keys[identity]
	return k, ok
}

// Len is the number of identities.
func (t *Table) Len() int { return len(t.keys) }

var (
	// ErrWeakKey is wrapped by errors about keys of fewer than [MinKey] bytes.
	ErrWeakKey = errors.New("weak key")

	// ErrNoKeys is wrapped by errors about files without any key.
	ErrNoKeys = errors.New("no identity and key in it")
)

// A SyntaxError says what is wrong in which line. It never holds key material.
type SyntaxError struct {
	Line int // from 1
	Err  error
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap gives the cause.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Parse reads keys. Keys shorter than [MinKey] are refused unless weak is true.
// The error is a [*SyntaxError], [ErrNoKeys], or that of r.
func Parse(r io.Reader, weak bool) (*Table, error) {
	t := &Table{keys: make(map[string][]byte)}
	lines := bufio.NewScanner(r)
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if err := t.add(string(line), weak); err != nil {
			return nil, &SyntaxError{n, err}
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, &SyntaxError{n + 1, errors.New("the line is too long")}
	} else if err != nil {
		return nil, err
	}
	if len(t.keys) == 0 {
		return nil, ErrNoKeys
	}
	return t, nil
}

func (t *Table) add(line string, weak bool) error {
	i := strings.LastIndexAny(line, ": \t")
	if i < 0 {
		return errors.New("not an identity and a key")
	}
	identity := strings.TrimRight(line[:i], " \t")
	key := make([]byte, hex.DecodedLen(len(line)-i-1))
	if _, err := hex.Decode(key, []byte(line[i+1:])); err != nil {
		return errors.New("the key is not in hexadecimal") // err would tell of the key
	}
	_, known := t.keys[identity]
	switch {
	case identity == "":
		return errors.New("no identity")
	case len(identity) > maxIdentity:
		return fmt.Errorf("an identity of %d bytes, more than %d", len(identity), maxIdentity)
	case known:
		return fmt.Errorf("identity %q is there twice", identity)
	case len(t.keys) == maxEntries:
		return fmt.Errorf("more than %d identities", maxEntries)
	case len(key) == 0:
		return errors.New("no key")
	case len(key) > maxKey:
		return fmt.Errorf("a key of %d bytes, more than %d", len(key), maxKey)
	case len(key) < MinKey && !weak:
		return fmt.Errorf("%w: %d bytes, fewer than %d", ErrWeakKey, len(key), MinKey)
	}
	t.keys[identity] = key
	return nil
}

// Load reads a file of keys as [Parse] does. If the file can be read or changed
// by others than its owner, warning says so. Errors name the file.
func Load(path string, weak bool) (t *Table, warning string, err error) {
	// A pipe that nobody writes to reads as empty, rather than for ever.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	if t, err = Parse(f, weak); err != nil {
		return nil, "", &fs.PathError{Op: "reading keys", Path: path, Err: err}
	}
	return t, exposure(f), nil
}

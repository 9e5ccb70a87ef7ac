package psk

import (
	"fmt"
	"io"
	"sync/atomic"
)

// A File gives the keys of a file as it was when it was last read. It is safe
// for concurrent use, and printing it prints no key.
type File struct {
	path  string
	weak  bool
	table atomic.Pointer[Table]
}

// Open reads a file of keys as [Load] does.
func Open(path string, weak bool) (f *File, warning string, err error) {
	f = &File{path: path, weak: weak}
	if warning, err = f.Reload(); err != nil {
		return nil, "", err
	}
	return f, warning, nil
}

// Reload reads the file again. When that fails, the keys stay what they were.
func (f *File) Reload() (warning string, err error) {
	t, warning, err := Load(f.path, f.weak)
	if err != nil {
		return "", err
	}
	f.table.Store(t)
	return warning, nil
}

// Key gives the key of an identity, as [Table.Key] does.
func (f *File) Key(identity string) ([]byte, bool) { return f.table.Load().Key(identity) }

// Len is the number of identities.
func (f *File) Len() int { return f.table.Load().Len() }

// String tells the file and the number of identities.
func (f *File) String() string { return fmt.Sprintf("%s: %v", f.path, f.table.Load()) }

// Format is String for every verb.
func (f *File) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, f.String()) }

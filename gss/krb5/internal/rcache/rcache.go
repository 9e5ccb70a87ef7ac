package rcache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// ErrReplay means that the cache holds the tag already: the request came before.
//
//lint:ignore ST1005 MIT's words
var ErrReplay = errors.New("Request is a replay")

// ErrFull means that the cache holds as many entries as it may, each of which could still be replayed. The request must be
// refused, since its replay would not be noticed.
var ErrFull = errors.New("replay cache is full")

// ErrName means that a replay cache's name is not of a form that [Open] knows.
//
//lint:ignore ST1005 MIT's words
var ErrName = errors.New("Can't parse replay cache name")

// MaxTag is the length of the longest tag, in bytes: the MAC of aes256-cts-hmac-sha384-192.
const MaxTag = 24

// A Cache remembers tags. Its method is safe for concurrent use.
type Cache interface {
	// Store remembers the tag (1 to MaxTag bytes) of an authenticator whose own time is at, or gives ErrReplay if the
	// tag is known. After any error the request must be refused.
	Store(tag []byte, at time.Time) error
}

// Config is what every kind of cache must know.
type Config struct {
	// Skew is the clock skew within which the caller accepts authenticators; 0 stands for 5 minutes.
	Skew time.Duration
	// Now is the clock; nil stands for time.Now.
	Now func() time.Time
}

func (c Config) complete() Config {
	if c.Skew <= 0 {
		c.Skew = 5 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// check refuses what no caller that keeps to the rules and to this clock hands over. A time further off than the skew, either
// way, would be forgotten while the caller still accepts it.
func (c Config) check(tag []byte, at, now time.Time) error {
	if len(tag) == 0 || len(tag) > MaxTag {
		return fmt.Errorf("replay cache: a tag of %d bytes", len(tag))
	}
	if off := at.Sub(now); off > c.Skew || off < -c.Skew {
		return fmt.Errorf("replay cache: the authenticator's time is %v ahead, more than the clock skew of %v (do acceptor and cache go by one clock?)", off, c.Skew)
	}
	return nil
}

// none is the cache "none:".
type none struct{}

func (none) Store([]byte, time.Time) error { return nil }

// Open gives the cache of that name: "file2:PATH"; "dfl:", the file [DefaultPath]; "none:". A file must belong to the
// effective user if it is the default one, which stands in a directory that others may write to, and is not reached through a
// symbolic link there; the administrator who names another file answers for it, as with MIT's library. Close a [File2] when
// it is of no more use.
func Open(name string, c Config) (Cache, error) {
	kind, rest, typed := strings.Cut(name, ":")
	if !typed {
		return nil, fmt.Errorf("%w %q: dfl:, none: and file2:PATH are known", ErrName, name)
	}
	switch kind {
	case "none":
		return none{}, nil
	case "file2":
		if rest == "" {
			return nil, fmt.Errorf("%w %q: no path", ErrName, name)
		}
		return openFile2(rest, false, c)
	case "dfl":
		return openFile2(DefaultPath(os.Getenv), true, c)
	}
	return nil, fmt.Errorf("%w %q: Replay cache type is unknown: dfl:, none: and file2:PATH are known", ErrName, name)
}

// DefaultName gives the name of the cache to use: name, the value of KRB5RCACHENAME; else the type kind, the value of
// KRB5RCACHETYPE; else configured, krb5.conf's default_rcache_name, its %{...} parameters replaced; else "dfl:".
func DefaultName(name, kind, configured string) string {
	switch {
	case name != "":
		return name
	case kind != "":
		return kind + ":"
	case configured != "":
		return configured
	}
	return "dfl:"
}

// DefaultPath gives the path of the file that "dfl:" means: krb5_EUID.rcache2 in KRB5RCACHEDIR, else in TMPDIR, else in
// /var/tmp. The environment is asked through getenv. Windows has neither user numbers nor /var/tmp: there it is krb5.rcache2
// in the user's own temporary directory.
func DefaultPath(getenv func(string) string) string {
	dir := getenv("KRB5RCACHEDIR")
	if dir == "" {
		dir = getenv("TMPDIR")
	}
	if runtime.GOOS == "windows" {
		if dir == "" {
			dir = os.TempDir()
		}
		return filepath.Join(dir, "krb5.rcache2")
	}
	if dir == "" {
		dir = "/var/tmp"
	}
	return filepath.Join(dir, fmt.Sprintf("krb5_%d.rcache2", os.Geteuid()))
}

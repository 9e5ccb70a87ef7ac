package dtls

import (
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server"
)

// Defaults of a [Config].
const (
	DefaultHandshakeTimeout = 5 * time.Second
	DefaultMaxHandshakes    = 1000 // each of 40 KB, and of 70 KB when its peer sends all that it may
	DefaultMaxPerPrefix     = 64
)

// MaxMessage is the length of the longest message, in bytes: what is left of
// the 8,192 bytes that pion/dtls reads after the record's header, the nonce and
// the tag. Longer records are dropped with a warning.
const MaxMessage = maxRecord - recordHeader - 8 - 16

// maxRecord is the longest record that pion/dtls can read.
const maxRecord = 8192

// A Config says whom a [Transport] knows, and how much it bears. Key is
// required; zero elsewhere means the default.
type Config struct {
	// Key gives the key of an identity, which is what the peer sent and can be
	// anything, and whether there is one. Many goroutines call it at once. Which
	// of identity and key was wrong is told to the log, but not to the peer
	// (RFC 4279, section 2). The Key of a psk.Table or psk.File is such a function.
	Key func(identity string) (key []byte, ok bool)

	WeakKeys bool   // accept keys shorter than 16 bytes
	Hint     string // identity hint of 128 bytes at most; none is sent if empty

	MaxHandshakes    int           // under way at once at all listeners, of peers with a cookie; a further one takes the place of another
	MaxPerPrefix     int           // of those, from one IPv4 /24 or IPv6 /48
	HandshakeTimeout time.Duration // from the cookie on; who is not done by then is forgotten
	Grace            time.Duration // of [Listener.Shutdown], [server.DefaultGrace]

	Log   *logrus.Logger // of what belongs to no session, and at its debug level of steps and datagrams; nil: no log
	Event func(Event)    // told of what happens, by many goroutines; must return soon; nil: nobody is
}

// withDefaults gives the config completed, or what is wrong with it.
func (cfg Config) withDefaults() (Config, error) {
	if cfg.Key == nil {
		return cfg, errors.New("dtls: no keys: Config.Key is nil")
	}
	if len(cfg.Hint) > maxHint {
		return cfg, fmt.Errorf("dtls: identity hint of %d bytes, more than %d", len(cfg.Hint), maxHint)
	}
	for _, n := range []struct {
		what  string
		value *int
		def   int
	}{
		{"handshakes", &cfg.MaxHandshakes, DefaultMaxHandshakes},
		{"handshakes of one prefix", &cfg.MaxPerPrefix, DefaultMaxPerPrefix},
	} {
		if *n.value < 0 {
			return cfg, fmt.Errorf("dtls: %d %s at most", *n.value, n.what)
		}
		if *n.value == 0 {
			*n.value = n.def
		}
	}
	for _, d := range []struct {
		what  string
		value *time.Duration
		def   time.Duration
	}{
		{"handshake timeout", &cfg.HandshakeTimeout, DefaultHandshakeTimeout},
		{"grace time", &cfg.Grace, server.DefaultGrace},
	} {
		if *d.value < 0 {
			return cfg, fmt.Errorf("dtls: negative %s: %s", d.what, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	return cfg, nil
}

// maxHint bounds the identity hint: peers have to manage 128 bytes of an
// identity (RFC 4279, section 5.3), a hint is no longer.
const maxHint = 128

// A Transport makes listeners that know the same peers and share one limit of
// handshakes under way.
type Transport struct {
	cfg     Config
	pending handshakes
}

// New returns a transport with a copy of the config, or an error if a field of
// it is missing or out of range.
func New(cfg Config) (*Transport, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Transport{cfg: cfg, pending: handshakes{max: cfg.MaxHandshakes, maxPerPrefix: cfg.MaxPerPrefix}}, nil
}

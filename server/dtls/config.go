package dtls

import (
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server"
)

// Defaults of a [Config], where they differ from package server's.
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

// A Reply is what the server answers a message with.
type Reply int

const (
	Echo Reply = iota // the message
	ACK               // "to ADDRESS:PORT: ACK", with the peer's address
)

func (r Reply) String() string {
	switch r {
	case Echo:
		return "echo"
	case ACK:
		return "ack"
	}
	return fmt.Sprintf("Reply(%d)", int(r))
}

// A Config says whom a [Server] knows, how it answers, and how much it bears.
// Key is required; zero elsewhere means the default.
type Config struct {
	// Key gives the key of an identity, which is what the peer sent and can be
	// anything, and whether there is one. Many goroutines call it at once. Which
	// of identity and key was wrong is told to the log, but not to the peer
	// (RFC 4279, section 2). The Key of a psk.Table is such a function.
	Key func(identity string) (key []byte, ok bool)

	WeakKeys bool   // accept keys shorter than 16 bytes
	Hint     string // identity hint; none is sent if empty

	Reply Reply

	MaxHandshakes    int           // under way at once, of peers with a cookie; further ones have to try again
	MaxPerPrefix     int           // of those, from one IPv4 /24 or IPv6 /56
	MaxConnections   int           // peers at once, [server.DefaultMaxConnections]
	HandshakeTimeout time.Duration // from the cookie on
	MessageTimeout   time.Duration // of answering
	IdleTimeout      time.Duration // between messages; who does not come back is forgotten
	Grace            time.Duration // for messages being answered, once told to stop

	// Once makes [Server.Serve] return after the first peer has gone, with how
	// that ended.
	Once bool

	Log   *logrus.Logger // nil: no log
	Event func(Event)    // told of what happens, by many goroutines; must return soon; nil: nobody is
}

// withDefaults gives the config completed, or what is wrong with it.
func (cfg Config) withDefaults() (Config, error) {
	if cfg.Key == nil {
		return cfg, errors.New("dtls: no keys: Config.Key is nil")
	}
	if cfg.Reply != Echo && cfg.Reply != ACK {
		return cfg, fmt.Errorf("dtls: no such reply: %v", cfg.Reply)
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
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = DefaultHandshakeTimeout
	}
	return cfg, nil
}

// maxHint bounds the identity hint: servers have to manage 128 bytes of an
// identity (RFC 4279, section 5.3), a hint is no longer.
const maxHint = 128

// engine makes the engine that runs the sessions.
func (cfg *Config) engine(service server.Service) (*server.Server, error) {
	return server.New(server.Config{
		Service:          service,
		MaxConnections:   cfg.MaxConnections,
		HandshakeTimeout: cfg.HandshakeTimeout,
		MessageTimeout:   cfg.MessageTimeout,
		IdleTimeout:      cfg.IdleTimeout,
		Grace:            cfg.Grace,
		Log:              cfg.Log,
	})
}

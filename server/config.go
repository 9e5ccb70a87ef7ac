package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/sirupsen/logrus"
)

// A Service speaks with the peer of one session. Serve returns when the session
// is over: nil when it ended as the protocol has it, the reason otherwise. The
// server closes the connection afterwards. Many goroutines call Serve at once.
//
// ctx ends when the server's grace time is over; the session's reads and writes
// fail from then on, so a service that does nothing but these need not look.
type Service interface {
	Serve(ctx context.Context, s *Session) error
}

// Defaults of a [Config].
const (
	DefaultMaxConnections   = 10000
	DefaultHandshakeTimeout = 30 * time.Second
	DefaultMessageTimeout   = time.Minute
	DefaultIdleTimeout      = 5 * time.Minute // MIT's sample programs have 300 s for every read
	DefaultGrace            = 5 * time.Second // containers are killed 10 s after they were asked to stop
)

// A Listener serves its connections by a service of its own. The listener in it
// makes the transport: where its connections have a method
//
//	HandshakeContext(context.Context) error
//
// as [crypto/tls.Conn] has, the session calls it before the service, within the
// handshake's time limit: accepting waits for no handshake. Where they have
//
//	LogFields() map[string]any
//	NetConn() net.Conn
//
// the one's fields are added to the session's log records, and the other's
// connection is closed where a last word would take too long. And where they have
//
//	CloseWithError(error) error
//
// it is called in the place of Close, with how the session ended: nil, the
// reason, [ErrShutdown] or [ErrDisplaced]. A server that stops does not wait for
// a transport's handshake: nothing has been asked yet.
type Listener struct {
	net.Listener
	Service Service // nil: the config's
}

// A Config says what a [Server] serves and how much it bears. Zero means the
// default.
type Config struct {
	Service Service // of connections that come from no [Listener]; nil refuses them

	MaxConnections   int           // connections at once; a further one takes the place of the oldest that is not established, or is closed as it comes
	HandshakeTimeout time.Duration // from the connection until [Session.Established], the transport's handshake included
	MessageTimeout   time.Duration // from a message's first byte until its answer is written
	IdleTimeout      time.Duration // between an answer and the next message's first byte
	Grace            time.Duration // for running exchanges, once told to stop

	Log *logrus.Logger // nil: no log
}

// noService refuses connections that nobody said how to serve.
type noService struct{}

func (noService) Serve(context.Context, *Session) error {
	return errors.New("no service for connections that come this way")
}

// withDefaults gives the config completed, or what is wrong with it.
func (cfg Config) withDefaults() (Config, error) {
	if cfg.Service == nil {
		cfg.Service = noService{}
	}
	if cfg.MaxConnections < 0 {
		return cfg, fmt.Errorf("server: %d connections at most", cfg.MaxConnections)
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = DefaultMaxConnections
	}
	for _, d := range []struct {
		what  string
		value *time.Duration
		def   time.Duration
	}{
		{"handshake timeout", &cfg.HandshakeTimeout, DefaultHandshakeTimeout},
		{"message timeout", &cfg.MessageTimeout, DefaultMessageTimeout},
		{"idle timeout", &cfg.IdleTimeout, DefaultIdleTimeout},
		{"grace time", &cfg.Grace, DefaultGrace},
	} {
		if *d.value < 0 {
			return cfg, fmt.Errorf("server: negative %s: %s", d.what, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	return cfg, nil
}

package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// DefaultTimeout is the time limit of connecting and establishing, and of each
// message with its answer, unless [Config] says otherwise. It is above what a
// KDC that has to be asked three times takes.
const DefaultTimeout = 30 * time.Second

// Config says whom to talk to and how. Addr, Initiator and Target are required;
// all else is safe when left zero: mutual authentication, every message
// encrypted, every answer a MIC.
type Config struct {
	Addr      string        // "host:port"; every address of the host is tried
	Initiator gss.Initiator // makes the context
	Target    gss.Name      // the service to prove to be the right one

	// Flags are the services of the context; [gss.DefaultFlags] if zero. To do
	// without mutual authentication or replay detection, name what remains.
	Flags gss.Flags

	Version token.Version // of the framing; [token.V2] if zero

	Unwrapped   bool // send messages as they are: anybody on the way can read and change them
	Unencrypted bool // wrap messages for integrity only: anybody on the way can read them
	NoMIC       bool // ask for no MIC: nothing tells what the server received

	// Unauthenticated makes a session without a context: nobody proves who they
	// are and nothing is protected. Messages are neither wrapped nor answered by
	// a MIC; Initiator and Target are left empty.
	Unauthenticated bool

	TLS *TLS // carries the session; nil: plain TCP

	Timeout    time.Duration // [DefaultTimeout] if zero
	MaxMessage int           // longest frame, in bytes; [token.DefaultMaxLength] if zero

	Trace *Trace // told of context tokens; may be nil
}

// A Trace is told how a context is being established. Nil functions are left
// out. They are called by the goroutine that establishes.
type Trace struct {
	TokenSending  func(size int) // a context token of so many bytes is about to be sent
	TokenAwaited  func()         // the server's next token is awaited
	TokenReceived func(size int) // it came
}

// defaults gives a copy with the defaults of the connection filled in, or says
// what is wrong with it.
func (c Config) defaults() (Config, error) {
	if c.Timeout < 0 {
		return c, fmt.Errorf("client: time limit of %v", c.Timeout)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.TLS == nil {
		return c, nil
	}
	switch c.TLS.MinVersion {
	case 0, tls.VersionTLS12, tls.VersionTLS13:
	default:
		return c, fmt.Errorf("client: %s is refused: it is broken", tls.VersionName(c.TLS.MinVersion))
	}
	if c.TLS.Bind < BindAllow || c.TLS.Bind > BindOff {
		return c, fmt.Errorf("client: unknown policy of bindings: %d", c.TLS.Bind)
	}
	return c, nil
}

// complete gives a copy with the defaults filled in, or says what is wrong.
func (c Config) complete() (Config, error) {
	c, err := c.defaults()
	if err != nil {
		return c, err
	}
	if c.Version == token.Detect {
		c.Version = token.V2
	}
	if _, err := (token.Config{Version: c.Version, MaxLength: c.MaxMessage}).NewConn(nil); err != nil {
		return c, fmt.Errorf("client: %w", err)
	}
	if c.Version == token.V1 && (c.Unauthenticated || c.Unwrapped || c.NoMIC) {
		return c, errors.New("client: version 1 has no flags to say that a message is not wrapped, or to be answered by no MIC")
	}
	if c.Unauthenticated {
		if c.Initiator != nil || !c.Target.IsZero() || c.Flags != 0 {
			return c, errors.New("client: an unauthenticated session has no initiator, target or flags")
		}
		if c.TLS != nil && c.TLS.Bind == BindRequire {
			return c, errors.New("client: an unauthenticated session has no context to bind")
		}
		c.Unwrapped, c.Unencrypted, c.NoMIC = true, true, true
		return c, nil
	}
	if c.Initiator == nil {
		return c, errors.New("client: no initiator")
	}
	if c.Target.IsZero() {
		return c, errors.New("client: no target")
	}
	if c.Flags == 0 {
		c.Flags = gss.DefaultFlags
	}
	return c, nil
}

// Validate says what is wrong with the config, nil if [Dial] would use it.
func (c Config) Validate() error {
	c, err := c.complete()
	if err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return fmt.Errorf("client: address: %w", err)
	}
	return nil
}

// messageFlags are the flags of every DATA frame. ENCRYPTED stands for the
// wish, whether the message is wrapped or not: MIT's client sends it so.
func (c *Config) messageFlags() token.Flags {
	flags := token.Data
	if !c.Unwrapped {
		flags |= token.Wrapped
	}
	if !c.Unencrypted {
		flags |= token.Encrypted
	}
	if !c.NoMIC {
		flags |= token.SendMIC
	}
	return flags
}

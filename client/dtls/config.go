package dtls

import (
	"errors"
	"fmt"
	"net"
	"time"

	pion "github.com/pion/dtls/v3"
)

// Defaults of a [Config].
const (
	DefaultTimeout = 10 * time.Second
	DefaultResend  = time.Second // the first retransmission timer of RFC 6347, section 4.2.4.1
)

// MinKey is the length of the shortest key that is not weak, in bytes: 128 bits.
const MinKey = 16

// MaxMessage is the length of the longest message, in bytes: what is left of
// the 8,192 bytes that pion/dtls reads after the record's header, the nonce and
// the tag. A longer answer would be lost without a word.
const MaxMessage = maxRecord - 13 - 8 - 16

// maxRecord is the longest record that pion/dtls can read.
const maxRecord = 8192

// Limits of what a server has to manage, in bytes (RFC 4279, section 5.3).
const (
	maxIdentity = 128
	maxKey      = 64
)

// A Config says whom to talk to, and as whom. Addr, Identity and Key are
// required; zero elsewhere means the default.
type Config struct {
	Addr     string // "host:port"
	Identity string // at most 128 bytes
	Key      []byte // 16 to 64 bytes; not kept

	WeakKey bool // send with a key shorter than [MinKey]

	Timeout time.Duration // of the handshake, and of each message with its answer
	Resend  time.Duration // when a message is sent again for want of an answer

	// Trace is told of every datagram that comes and goes, as it is on the way.
	// Nil: nobody is. It is called by several goroutines.
	Trace func(sent bool, datagram []byte)
}

// Validate says what is wrong with the config, nil if [Dial] would use it.
func (c Config) Validate() error {
	switch {
	case c.Identity == "":
		return errors.New("dtls: no identity")
	case len(c.Identity) > maxIdentity:
		return fmt.Errorf("dtls: an identity of %d bytes, more than %d", len(c.Identity), maxIdentity)
	case len(c.Key) == 0:
		return errors.New("dtls: no key")
	case len(c.Key) > maxKey:
		return fmt.Errorf("dtls: a key of %d bytes, more than %d", len(c.Key), maxKey)
	case len(c.Key) < MinKey && !c.WeakKey:
		return fmt.Errorf("dtls: a weak key of %d bytes, fewer than %d", len(c.Key), MinKey)
	case c.Timeout < 0 || c.Resend < 0:
		return fmt.Errorf("dtls: time limits of %v and %v", c.Timeout, c.Resend)
	}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return fmt.Errorf("dtls: address: %w", err)
	}
	return nil
}

// withDefaults gives a copy with the defaults filled in.
func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Resend == 0 {
		c.Resend = DefaultResend
	}
	return c
}

// suites are what the client offers, best first: those with authenticated
// encryption that pion/dtls has, the one with forward secrecy before the others.
var suites = []pion.CipherSuiteID{
	pion.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256,
	pion.TLS_PSK_WITH_CHACHA20_POLY1305_SHA256,
	pion.TLS_PSK_WITH_AES_128_GCM_SHA256,
	pion.TLS_PSK_WITH_AES_128_CCM,
	pion.TLS_PSK_WITH_AES_256_CCM_8,
	pion.TLS_PSK_WITH_AES_128_CCM_8,
}

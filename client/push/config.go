package push

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
	"github.com/countersign-go/countersign/token/pushwire"
)

// Config says whom to talk to, and who is told what comes. Client.Addr,
// Client.Initiator and Client.Target are required.
type Config struct {
	// Client says how to connect. TLS has a callback that sees the server's
	// certificate before anything is sent. The context's flags, the framing and
	// the length of frames are those of the protocol; Flags may name more, such
	// as [gss.Delegation]. Timeout bounds connecting, the server's welcome, and
	// each write.
	Client client.Config

	// Addrs are more servers, tried in turn after Client.Addr. They are the same
	// Target; a TLS certificate has each one's own name, unless TLS.ServerName
	// is set.
	Addrs []string

	// Groups are subscribed to when the first connection stands; Dial fails if
	// the server refuses one. Afterwards they are as if Subscribe had been called.
	Groups []uint32

	Events Events // told what comes

	// Heartbeat is how long the server may be silent before it is asked for a
	// sign of life, for which it has as long again. Zero: a third of the time
	// after which the server takes a silent client for dead, 30 s at the most.
	Heartbeat time.Duration

	// The pauses before connecting again begin with MinBackOff, double, and end
	// at MaxBackOff; a random part of up to half is taken off, so that many
	// clients do not come at once. They begin anew after a connection that stood
	// for MaxBackOff. Zero: 100 ms and 30 s.
	MinBackOff, MaxBackOff time.Duration
}

const (
	defaultMinBackOff = 100 * time.Millisecond
	defaultMaxBackOff = 30 * time.Second

	// defaultHeartbeat is for a server that has no idle time.
	defaultHeartbeat = 20 * time.Second

	// maxHeartbeat has a dead server noticed within a minute, however patient it is.
	maxHeartbeat = 30 * time.Second

	// minHeartbeat keeps a server with an absurd idle time from having its
	// clients do nothing but ping.
	minHeartbeat = 100 * time.Millisecond

	// idleParts is into how many parts a server's idle time is divided: two
	// heartbeats may be lost.
	idleParts = 3

	// tokenRoom is what a wrapped token and its number add to a message, and
	// more than any mechanism needs.
	tokenRoom = 4 << 10

	// services are those of the context that the protocol is made for.
	services = gss.Mutual | gss.ReplayDetection | gss.Confidentiality | gss.Integrity
)

// complete gives a copy with the defaults filled in, or says what is wrong.
func (c Config) complete() (Config, error) {
	if c.Heartbeat < 0 || c.MinBackOff < 0 || c.MaxBackOff < 0 {
		return c, errors.New("push: negative heartbeat or back-off")
	}
	if c.MinBackOff == 0 {
		c.MinBackOff = defaultMinBackOff
	}
	if c.MaxBackOff == 0 {
		c.MaxBackOff = max(defaultMaxBackOff, c.MinBackOff)
	}
	if c.MinBackOff > c.MaxBackOff {
		return c, fmt.Errorf("push: back-off from %v to %v", c.MinBackOff, c.MaxBackOff)
	}
	if c.Client.Timeout == 0 {
		c.Client.Timeout = client.DefaultTimeout
	}
	if len(c.Groups) > pushwire.MaxGroups {
		return c, fmt.Errorf("push: %d groups, at most %d at once are allowed", len(c.Groups), pushwire.MaxGroups)
	}
	// With the sequence numbers of GSS_C_SEQUENCE_FLAG a MIC within a token
	// would be out of order: it was made before the token.
	c.Client.Flags = (c.Client.Flags | services) &^ gss.Sequencing
	c.Client.Version = token.V2
	c.Client.MaxMessage = pushwire.MaxToken + tokenRoom
	c.Addrs = append([]string{c.Client.Addr}, c.Addrs...)
	c.Groups = slices.Clone(c.Groups)
	for _, addr := range c.Addrs {
		one := c.Client
		one.Addr = addr
		if err := one.Validate(); err != nil {
			return c, err
		}
	}
	return c, nil
}

// heartbeat gives how long the server may be silent, and how long the client.
func (c *Config) heartbeat(idle time.Duration) (heard, said time.Duration) {
	said = defaultHeartbeat
	if idle > 0 {
		said = max(idle/idleParts, minHeartbeat)
	}
	heard = c.Heartbeat
	if heard == 0 {
		heard = min(said, maxHeartbeat)
	}
	return heard, said
}

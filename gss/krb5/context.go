package krb5

import (
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// A handshake is one side of context establishment. step is called until it
// gives a protection, and never again after an error.
type handshake interface {
	step(token []byte) (reply []byte, established *protection, err error)
	inquire() gss.Info
	clear() // wipes what keys it still holds; nothing else is called afterwards
}

// secContext is the gss.Context of both roles: a handshake, then a protection.
type secContext struct {
	random io.Reader

	mu   sync.RWMutex // held for reading by per-message calls, for writing by Step and Delete
	hs   handshake
	prot *protection // nil until established and after Delete
	info gss.Info
	err  error // why the context is of no more use

	clock    func() time.Time // nil: the system's
	grace    time.Duration    // how long after info.Expires messages are still taken
	deadline time.Time        // of an established context; zero: none
}

// maxGrace bounds the grace of an imported context.
const maxGrace = 24 * time.Hour

var (
	errDeleted     = &gss.Error{Major: gss.ErrNoContext, Mech: gss.MechKrb5, Err: errors.New("the context was deleted")}
	errIncomplete  = &gss.Error{Major: gss.ErrNoContext, Mech: gss.MechKrb5, Err: errors.New("Attempt to use incomplete security context")}
	errExpired     = &gss.Error{Major: gss.ErrContextExpired, Mech: gss.MechKrb5, Hint: hints[kmsg.APErrTktExpired]}
	errEstablished = &gss.Error{Major: gss.ErrFailure, Mech: gss.MechKrb5, Err: errors.New("the context is already established")}
)

func newContext(hs handshake, random io.Reader, clock func() time.Time, grace time.Duration) *secContext {
	return &secContext{hs: hs, random: random, info: hs.inquire(), clock: clock, grace: grace}
}

// setDeadline makes the context end when its ticket does, or the clock skew
// later on the acceptor's side. By the system's clock the deadline is kept as a
// monotonic reading, which is the cheapest to compare.
func (c *secContext) setDeadline() {
	if c.info.Expires.IsZero() {
		return
	}
	c.deadline = c.info.Expires.Add(c.grace)
	if c.clock == nil {
		now := time.Now()
		c.deadline = now.Add(c.deadline.Sub(now))
	}
}

func (c *secContext) expired() bool {
	switch {
	case c.deadline.IsZero():
		return false
	case c.clock == nil:
		return time.Until(c.deadline) <= 0
	default:
		return !c.clock().Before(c.deadline)
	}
}

// Step implements gss.Context.
func (c *secContext) Step(token []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if c.prot != nil {
		return nil, c.late(token)
	}
	reply, prot, err := c.hs.step(token)
	c.info = c.hs.inquire()
	if err != nil {
		c.err = err
		c.endHandshake()
		return reply, err
	}
	if prot != nil {
		c.prot = prot
		c.info.Established = true
		c.setDeadline()
		c.endHandshake()
	}
	return reply, nil
}

// late is the answer to a token for a context that stands. Without mutual
// authentication an initiator's does so before the acceptor has spoken, whose
// KRB-ERROR then says why it went no further; the context itself stays as it is,
// because anybody could have written that.
func (c *secContext) late(token []byte) error {
	if c.info.Local && c.info.Flags&gss.Mutual == 0 {
		if id, message, err := unframeToken(c.info.Mechanism, token); err == nil && id == tokError {
			return remoteError(message, time.Time{})
		}
	}
	return errEstablished
}

func (c *secContext) endHandshake() {
	if c.hs != nil {
		c.hs.clear()
		c.hs = nil
	}
}

// Established implements gss.Context.
func (c *secContext) Established() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.prot != nil
}

// Inquire implements gss.Context.
func (c *secContext) Inquire() gss.Info {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.info
}

// WrapSizeLimit implements gss.Context.
func (c *secContext) WrapSizeLimit(size int, seal bool) (int, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.ready(); err != nil {
		return 0, err
	}
	return c.prot.wrapSizeLimit(size, seal), nil
}

// PseudoRandom implements gss.Context.
func (c *secContext) PseudoRandom(key gss.PRFKey, input []byte, n int) ([]byte, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.ready(); err != nil {
		return nil, err
	}
	return c.prot.pseudoRandom(key, input, n)
}

// SessionKey implements gss.Context.
func (c *secContext) SessionKey() ([]byte, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.ready(); err != nil {
		return nil, err
	}
	return slices.Clone(c.prot.base), nil
}

// Export implements gss.Context. [ImportContext] is its reverse.
func (c *secContext) Export() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ready(); err != nil {
		return nil, err
	}
	token, err := c.export()
	if err != nil {
		return nil, err
	}
	c.delete()
	return token, nil
}

// Delete implements gss.Context.
func (c *secContext) Delete() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delete()
}

func (c *secContext) delete() {
	if c.prot != nil {
		c.prot.clear()
		c.prot = nil
	}
	c.endHandshake()
	if c.err == nil {
		c.err = errDeleted
	}
}

// ready says why per-message calls cannot be made, nil when they can. The
// caller holds c.mu.
func (c *secContext) ready() error {
	switch {
	case c.prot != nil && c.expired():
		return errExpired
	case c.prot != nil:
		return nil
	case c.err != nil:
		return c.err
	default:
		return errIncomplete
	}
}

// MIC implements gss.Context.
func (c *secContext) MIC(dst, msg []byte) ([]byte, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.ready(); err != nil {
		return nil, err
	}
	return c.prot.mic(dst, msg)
}

// VerifyMIC implements gss.Context.
func (c *secContext) VerifyMIC(msg, mic []byte) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.ready(); err != nil {
		return err
	}
	return c.prot.verifyMIC(msg, mic)
}

// Wrap implements gss.Context.
func (c *secContext) Wrap(dst, msg []byte, seal bool) ([]byte, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.ready(); err != nil {
		return nil, err
	}
	return c.prot.wrap(dst, msg, seal, c.random)
}

// Unwrap implements gss.Context.
func (c *secContext) Unwrap(dst, token []byte) ([]byte, bool, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.ready(); err != nil {
		return nil, false, err
	}
	return c.prot.unwrap(dst, token)
}

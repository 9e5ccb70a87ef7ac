package krb5

import (
	"errors"
	"io"
	"sync"

	"github.com/countersign-go/countersign/gss"
)

// A handshake is one side of context establishment. step is called until it
// gives a protection, and never again after an error.
type handshake interface {
	step(token []byte) (reply []byte, established *protection, err error)
	inquire() gss.Info
}

// secContext is the gss.Context of both roles: a handshake, then a protection.
type secContext struct {
	random io.Reader

	mu   sync.RWMutex // held for reading by per-message calls, for writing by Step and Delete
	hs   handshake
	prot *protection // nil until established and after Delete
	info gss.Info
	err  error // why the context is of no more use
}

var (
	errDeleted     = &gss.Error{Major: gss.ErrNoContext, Mech: gss.MechKrb5, Err: errors.New("the context was deleted")}
	errIncomplete  = &gss.Error{Major: gss.ErrNoContext, Mech: gss.MechKrb5, Err: errors.New("Attempt to use incomplete security context")}
	errEstablished = &gss.Error{Major: gss.ErrFailure, Mech: gss.MechKrb5, Err: errors.New("the context is already established")}
)

func newContext(hs handshake, random io.Reader) *secContext {
	return &secContext{hs: hs, random: random, info: hs.inquire()}
}

// Step implements gss.Context.
func (c *secContext) Step(token []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if c.prot != nil {
		return nil, errEstablished
	}
	reply, prot, err := c.hs.step(token)
	c.info = c.hs.inquire()
	if err != nil {
		c.err = err
		return reply, err
	}
	if prot != nil {
		c.prot = prot
		c.info.Established = true
		c.hs = nil
	}
	return reply, nil
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

// Delete implements gss.Context.
func (c *secContext) Delete() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.prot != nil {
		c.prot.clear()
		c.prot = nil
	}
	c.hs = nil
	if c.err == nil {
		c.err = errDeleted
	}
}

// ready says why per-message calls cannot be made, nil when they can. The
// caller holds c.mu.
func (c *secContext) ready() error {
	switch {
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

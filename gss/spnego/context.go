package spnego

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/countersign-go/countersign/gss"
)

const (
	// maxLegs bounds the tokens that one side takes before the context stands.
	// Negotiation adds two to the mechanism's own.
	maxLegs = 32

	// maxTokenLength bounds a token, in bytes. A Kerberos ticket with a large PAC
	// has some 64 KiB. The token is in memory when it comes here: the bound keeps
	// it from being copied and carried further.
	maxTokenLength = 1 << 20
)

// A negotiation is one role's side of the exchange.
type negotiation interface {
	// step takes the peer's token and gives the reply; done tells that the
	// context stands. It is not called again after that or after an error, with
	// which the reply is an error token.
	step(token []byte) (reply []byte, done bool, err error)

	// inner is the mechanism's context, nil as long as there is none.
	inner() gss.Context

	// delete ends every mechanism's context that is not established.
	delete()
}

// secContext is the gss.Context of both roles: a negotiation, then the
// mechanism's own context.
type secContext struct {
	local       bool
	established atomic.Pointer[gss.Context] // set once; never before the negotiation is done

	mu   sync.Mutex // guards what follows
	neg  negotiation
	legs int
	err  error // why the context is of no more use
}

// Step implements gss.Context.
func (c *secContext) Step(token []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if inner := c.established.Load(); inner != nil {
		if !(*inner).Established() {
			return nil, errDeleted // by Export
		}
		return nil, errEstablished
	}
	if c.legs++; c.legs > maxLegs {
		return nil, c.fail(defective(fmt.Errorf("no context after %d tokens", maxLegs)))
	}
	if len(token) > maxTokenLength {
		return nil, c.fail(defective(fmt.Errorf("the token is longer than %d bytes", maxTokenLength)))
	}
	reply, done, err := c.neg.step(token)
	if err != nil {
		return reply, c.fail(err)
	}
	if done {
		inner := c.neg.inner()
		c.established.Store(&inner)
	}
	return reply, nil
}

// fail makes err the end of the context. The caller holds c.mu.
func (c *secContext) fail(err error) error {
	c.err = err
	c.neg.delete()
	return err
}

// Established implements gss.Context.
func (c *secContext) Established() bool {
	inner := c.established.Load()
	return inner != nil && (*inner).Established()
}

// Inquire implements gss.Context. As with MIT's library the mechanism is the
// negotiated one, SPNEGO only as long as none is being tried, and what is not
// safe before the list of mechanisms is known to be genuine is not shown.
func (c *secContext) Inquire() gss.Info {
	if inner := c.established.Load(); inner != nil {
		return (*inner).Inquire()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	inner := c.neg.inner()
	if inner == nil {
		return gss.Info{Mechanism: gss.MechSPNEGO, Local: c.local}
	}
	info := inner.Inquire()
	info.Established = false
	info.Flags &^= gss.ProtReady | gss.Transferable
	info.Delegated = nil
	return info
}

// Delete implements gss.Context.
func (c *secContext) Delete() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = errDeleted
	}
	if inner := c.established.Load(); inner != nil {
		(*inner).Delete()
		return
	}
	c.neg.delete()
}

// ready gives the mechanism's context once the negotiation is done.
func (c *secContext) ready() (gss.Context, error) {
	if inner := c.established.Load(); inner != nil {
		return *inner, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	return nil, errIncomplete
}

// MIC implements gss.Context.
func (c *secContext) MIC(dst, msg []byte) ([]byte, error) {
	inner, err := c.ready()
	if err != nil {
		return nil, err
	}
	return inner.MIC(dst, msg)
}

// VerifyMIC implements gss.Context.
func (c *secContext) VerifyMIC(msg, mic []byte) error {
	inner, err := c.ready()
	if err != nil {
		return err
	}
	return inner.VerifyMIC(msg, mic)
}

// Wrap implements gss.Context.
func (c *secContext) Wrap(dst, msg []byte, seal bool) ([]byte, error) {
	inner, err := c.ready()
	if err != nil {
		return nil, err
	}
	return inner.Wrap(dst, msg, seal)
}

// Unwrap implements gss.Context.
func (c *secContext) Unwrap(dst, token []byte) (msg []byte, sealed bool, err error) {
	inner, err := c.ready()
	if err != nil {
		return nil, false, err
	}
	return inner.Unwrap(dst, token)
}

// WrapSizeLimit implements gss.Context.
func (c *secContext) WrapSizeLimit(size int, seal bool) (int, error) {
	inner, err := c.ready()
	if err != nil {
		return 0, err
	}
	return inner.WrapSizeLimit(size, seal)
}

// PseudoRandom implements gss.Context.
func (c *secContext) PseudoRandom(key gss.PRFKey, input []byte, n int) ([]byte, error) {
	inner, err := c.ready()
	if err != nil {
		return nil, err
	}
	return inner.PseudoRandom(key, input, n)
}

// SessionKey implements gss.Context.
func (c *secContext) SessionKey() ([]byte, error) {
	inner, err := c.ready()
	if err != nil {
		return nil, err
	}
	return inner.SessionKey()
}

// Export implements gss.Context. The token is the mechanism's, to be imported
// by it: nothing of the negotiation is left to carry over.
func (c *secContext) Export() ([]byte, error) {
	inner, err := c.ready()
	if err != nil {
		return nil, err
	}
	return inner.Export()
}

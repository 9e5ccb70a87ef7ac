package peers

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/countersign-go/countersign/gss"
)

// A Context is a context of a peer's library. What that library cannot do, or
// the program does not pass on, is gss.ErrUnavailable.
type Context struct {
	p           *Peer
	mech        gss.OID
	local       bool
	established bool
}

var _ gss.Context = (*Context)(nil)

// Step implements gss.Context.
func (c *Context) Step(token []byte) ([]byte, error) {
	r, err := c.p.call(2, "step", token)
	if len(r) == 1 {
		return r[0], err // the error token
	}
	if err != nil {
		return nil, err
	}
	c.established = string(r[0]) == "complete"
	return r[1], nil
}

// Established implements gss.Context.
func (c *Context) Established() bool { return c.established }

// Inquire implements gss.Context. It does not tell when the context ends.
func (c *Context) Inquire() gss.Info {
	info := gss.Info{Mechanism: c.mech, Local: c.local, Established: c.established}
	if r, err := c.p.call(3, "inquire"); err == nil {
		flags, _ := parseNumber(r[0]) // what is no number has no flags, and no test expects that
		info.Flags = gss.Flags(flags)
		info.Initiator = gss.MechanismName(gss.MechKrb5, gss.NTKrb5Principal, string(r[1]))
		info.Acceptor = gss.MechanismName(gss.MechKrb5, gss.NTKrb5Principal, string(r[2]))
	}
	return info
}

// MIC implements gss.Context.
func (c *Context) MIC(dst, msg []byte) ([]byte, error) {
	r, err := c.p.call(1, "mic", msg)
	if err != nil {
		return nil, err
	}
	return append(dst, r[0]...), nil
}

// VerifyMIC implements gss.Context.
func (c *Context) VerifyMIC(msg, mic []byte) error {
	r, err := c.p.call(1, "verify", msg, mic)
	if err != nil {
		return err
	}
	return supplementaryStatus(r[0])
}

// Wrap implements gss.Context.
func (c *Context) Wrap(dst, msg []byte, seal bool) ([]byte, error) {
	r, err := c.p.call(1, "wrap", boolean(seal), msg)
	if err != nil {
		return nil, err
	}
	return append(dst, r[0]...), nil
}

// Unwrap implements gss.Context. Some libraries give the message out beside
// gss.ErrDuplicateToken and gss.ErrOldToken, too.
func (c *Context) Unwrap(dst, token []byte) ([]byte, bool, error) {
	return c.unwrap("unwrap", dst, token)
}

func (c *Context) unwrap(command string, dst, token []byte) ([]byte, bool, error) {
	r, err := c.p.call(3, command, token)
	if err != nil {
		return nil, false, err
	}
	return append(dst, r[0]...), bytes.Equal(r[1], boolean(true)), supplementaryStatus(r[2])
}

// WrapIOV wraps as users of DCE RPC do, by gss_wrap_iov. It is MIT's to do.
func (c *Context) WrapIOV(msg []byte, seal bool) ([]byte, error) {
	r, err := c.p.call(1, "wrapiov", boolean(seal), msg)
	if err != nil {
		return nil, err
	}
	return r[0], nil
}

// WrapSizeLimit implements gss.Context.
func (c *Context) WrapSizeLimit(size int, seal bool) (int, error) {
	r, err := c.p.call(1, "limit", boolean(seal), number(size))
	if err != nil {
		return 0, err
	}
	n, err := parseNumber(r[0])
	return int(n), err
}

// PseudoRandom implements gss.Context.
func (c *Context) PseudoRandom(key gss.PRFKey, input []byte, n int) ([]byte, error) {
	which := "full"
	if key == gss.PRFKeyPartial {
		which = "partial"
	}
	r, err := c.p.call(1, "prf", []byte(which), input, number(n))
	if err != nil {
		return nil, err
	}
	return r[0], nil
}

// SessionKey implements gss.Context.
func (c *Context) SessionKey() ([]byte, error) {
	r, err := c.p.call(1, "key")
	if err != nil {
		return nil, err
	}
	return r[0], nil
}

// Export implements gss.Context: one library's exported context is no other's.
func (c *Context) Export() ([]byte, error) {
	return nil, &gss.Error{Major: gss.ErrUnavailable, Err: errors.New("a peer's context cannot be exported")}
}

// Delete implements gss.Context. The peer keeps its context until the next.
func (c *Context) Delete() {}

// ExportedNames gives initiator and acceptor in the form of RFC 2743, section
// 3.2.
func (c *Context) ExportedNames() (initiator, acceptor []byte, err error) {
	r, err := c.p.call(2, "names")
	if err != nil {
		return nil, nil, err
	}
	return r[0], r[1], nil
}

// UseDelegated has the peer's next context initiated with the credential that
// this one brought, and gives its name.
func (c *Context) UseDelegated() (name string, err error) {
	r, err := c.p.call(1, "delegated")
	if err != nil {
		return "", err
	}
	return string(r[0]), nil
}

// StoreDelegated puts the credential that this context brought into a
// credential cache.
func (c *Context) StoreDelegated(cache string) error {
	_, err := c.p.call(0, "store", []byte(cache))
	return err
}

// supplementaryStatus is what a per-message call says beside success.
func supplementaryStatus(bits []byte) error {
	n, err := parseNumber(bits)
	if err != nil || n == 0 {
		return err
	}
	return &gss.Error{Major: gss.Major(n)}
}

func boolean(b bool) []byte {
	if b {
		return []byte("1")
	}
	return []byte("0")
}

func number(n int) []byte { return []byte(strconv.Itoa(n)) }

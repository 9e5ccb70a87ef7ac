package push_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/countersign-go/countersign/gss"
)

// fake is a mechanism without secrets, on both sides. Its context tokens are
// "init" and "accept", its wrap tokens "S" and the message, its MICs hashes.
type fake struct {
	asked func(gss.Request) // told of each Initiate
	life  time.Duration     // of contexts; zero: without end
	until func() time.Time  // their end instead; may be nil
}

const fakeMech gss.OID = "\x2a\x03"

func (f *fake) Mechanism() gss.OID { return fakeMech }

func (f *fake) Initiate(_ context.Context, req gss.Request) (gss.Context, error) {
	if f.asked != nil {
		f.asked(req)
	}
	c := &fakeContext{initiator: true}
	if f.life > 0 {
		c.expires = time.Now().Add(f.life)
	}
	if f.until != nil {
		c.expires = f.until()
	}
	return c, nil
}

type fakeContext struct {
	gss.Context // for what is not called
	initiator   bool
	established bool
	expires     time.Time // zero: never
}

func (c *fakeContext) Step(tok []byte) ([]byte, error) {
	switch {
	case c.initiator && tok == nil:
		return []byte("init"), nil
	case c.initiator && string(tok) == "accept":
		c.established = true
		return nil, nil
	}
	return nil, &gss.Error{Major: gss.ErrDefectiveToken, Mech: fakeMech}
}

func (c *fakeContext) Established() bool { return c.established }
func (c *fakeContext) Delete()           {}

func (c *fakeContext) Inquire() gss.Info {
	return gss.Info{Mechanism: fakeMech, Established: c.established, Flags: gss.DefaultFlags, Expires: c.expires}
}

func fakeMIC(msg []byte) []byte {
	sum := sha256.Sum256(msg)
	return sum[:]
}

func (c *fakeContext) MIC(dst, msg []byte) ([]byte, error) { return append(dst, fakeMIC(msg)...), nil }

func (c *fakeContext) VerifyMIC(msg, mic []byte) error {
	if !bytes.Equal(mic, fakeMIC(msg)) {
		return gss.ErrBadMIC
	}
	return nil
}

func (c *fakeContext) expired() error {
	if c.expires.IsZero() || time.Now().Before(c.expires) {
		return nil
	}
	return &gss.Error{Major: gss.ErrContextExpired, Mech: fakeMech}
}

func (c *fakeContext) Wrap(dst, msg []byte, seal bool) ([]byte, error) {
	if err := c.expired(); err != nil {
		return nil, err
	}
	kind := byte('P')
	if seal {
		kind = 'S'
	}
	return append(append(dst, kind), msg...), nil
}

func (c *fakeContext) Unwrap(dst, tok []byte) ([]byte, bool, error) {
	if err := c.expired(); err != nil {
		return nil, false, err
	}
	if len(tok) == 0 || tok[0] != 'S' && tok[0] != 'P' {
		return nil, false, errors.New("no such token")
	}
	return append(dst, tok[1:]...), tok[0] == 'S', nil
}

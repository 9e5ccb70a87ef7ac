package pushtest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/countersign-go/countersign/gss"
)

// Flags are those of contexts that the push service takes.
const Flags = gss.Mutual | gss.ReplayDetection | gss.Confidentiality | gss.Integrity

const mechanism gss.OID = "\x2a\x03"

// An Acceptor accepts contexts of a mechanism without secrets: everybody is who it
// says it is. Its context token is "I am " and the principal; its wrap tokens are
// "S" for sealed or "P" for plain and the message, its MIC is a hash.
type Acceptor struct {
	Flags gss.Flags // of its contexts; zero: [Flags]
}

// Mechanism implements [gss.Acceptor].
func (a Acceptor) Mechanism() gss.OID { return mechanism }

// Accept implements [gss.Acceptor].
func (a Acceptor) Accept(*gss.ChannelBindings) (gss.Context, error) {
	if a.Flags == 0 {
		a.Flags = Flags
	}
	return &Context{flags: a.Flags}, nil
}

// A Context is one of an [Acceptor], or the client's end of one.
type Context struct {
	gss.Context // for what is not called
	flags       gss.Flags
	client      string
}

// Step implements [gss.Context].
func (c *Context) Step(tok []byte) ([]byte, error) {
	client, ok := strings.CutPrefix(string(tok), "I am ")
	if !ok {
		return nil, &gss.Error{Major: gss.ErrDefectiveToken, Mech: mechanism, Err: errors.New("it does not say who it is")}
	}
	c.client = client
	return []byte("welcome"), nil
}

// Established implements [gss.Context].
func (c *Context) Established() bool { return c.client != "" }

// Inquire implements [gss.Context].
func (c *Context) Inquire() gss.Info {
	return gss.Info{
		Mechanism: mechanism, Established: true, Flags: c.flags, Expires: time.Unix(4e9, 0),
		Initiator: gss.MechanismName(mechanism, gss.NTKrb5Principal, c.client),
		Acceptor:  gss.MechanismName(mechanism, gss.NTKrb5Principal, "push/server@R"),
	}
}

// MIC implements [gss.Context].
func (c *Context) MIC(dst, msg []byte) ([]byte, error) {
	sum := sha256.Sum256(msg)
	return append(dst, sum[:]...), nil
}

// VerifyMIC implements [gss.Context].
func (c *Context) VerifyMIC(msg, mic []byte) error {
	if want, _ := c.MIC(nil, msg); !bytes.Equal(mic, want) {
		return gss.ErrBadMIC
	}
	return nil
}

// Wrap implements [gss.Context].
func (c *Context) Wrap(dst, msg []byte, seal bool) ([]byte, error) {
	kind := "P"
	if seal {
		kind = "S"
	}
	return append(append(dst, kind...), msg...), nil
}

// Unwrap implements [gss.Context].
func (c *Context) Unwrap(dst, tok []byte) ([]byte, bool, error) {
	if len(tok) == 0 || tok[0] != 'S' && tok[0] != 'P' {
		return nil, false, &gss.Error{Major: gss.ErrDefectiveToken, Mech: mechanism}
	}
	return append(dst, tok[1:]...), tok[0] == 'S', nil
}

// Delete implements [gss.Context].
func (c *Context) Delete() {}

package sign_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/countersign-go/countersign/gss"
)

// fake is a mechanism without secrets, for what no real one does to order. Its
// context tokens are "init", answered by "accept" or by nothing if quiet is set,
// and "more", answered by "go on". Its wrap tokens are "S" (sealed), "P" (plain)
// or "G" (plain, after a gap), then the message; "D" is a duplicate. Its MIC is a
// hash.
type fake struct {
	flags   gss.Flags
	quiet   bool
	noMIC   bool
	client  string
	deleted *int
}

// delegated is a credential that a client delegated.
type delegated struct {
	gss.Credential // for what is not called
	released       *int
}

func (d delegated) Release() error { *d.released++; return nil }

const fakeMech gss.OID = "\x2a\x03"

func (f *fake) Mechanism() gss.OID { return fakeMech }

func (f *fake) Accept(*gss.ChannelBindings) (gss.Context, error) { return &fakeContext{fake: f}, nil }

type fakeContext struct {
	gss.Context // for what is not called
	*fake
	established bool
}

func (c *fakeContext) Step(tok []byte) ([]byte, error) {
	switch {
	case string(tok) == "more":
		return []byte("go on"), nil
	case len(tok) > 1000: // as a name that the peer chose can stand in an error
		return nil, &gss.Error{Major: gss.ErrFailure, Mech: fakeMech, Err: fmt.Errorf("no such principal: %s", tok), Hint: string(tok)}
	case string(tok) != "init":
		return []byte("error"), &gss.Error{
			Major: gss.ErrDefectiveToken, Minor: -1765328243, Mech: fakeMech,
			Err: errors.New("not \x1b[2Jinit"), Hint: "say init",
		}
	}
	c.established = true
	if c.quiet {
		return nil, nil
	}
	return []byte("accept"), nil
}

func (c *fakeContext) Established() bool { return c.established }

func (c *fakeContext) Inquire() gss.Info {
	name := c.client
	if name == "" {
		name = "alice@R"
	}
	var cred gss.Credential
	if c.flags&gss.Delegation != 0 {
		cred = delegated{released: c.deleted}
	}
	return gss.Info{
		Delegated: cred,
		Mechanism: fakeMech, Initiator: gss.MechanismName(fakeMech, gss.NTKrb5Principal, name),
		Established: true, Flags: c.flags, Expires: time.Unix(2e9, 0),
	}
}

func (c *fakeContext) MIC(dst, msg []byte) ([]byte, error) {
	if c.noMIC {
		return nil, &gss.Error{Major: gss.ErrContextExpired, Err: errors.New("over")}
	}
	return append(dst, fakeMIC(msg)...), nil
}

func fakeMIC(msg []byte) []byte {
	sum := sha256.Sum256(msg)
	return sum[:]
}

func (c *fakeContext) VerifyMIC(msg, mic []byte) error {
	if !bytes.Equal(mic, fakeMIC(msg)) {
		return gss.ErrBadMIC
	}
	return nil
}

func (c *fakeContext) Wrap(dst, msg []byte, seal bool) ([]byte, error) {
	kind := "P"
	if seal {
		kind = "S"
	}
	return append(append(dst, kind...), msg...), nil
}

func (c *fakeContext) Unwrap(dst, tok []byte) ([]byte, bool, error) {
	if len(tok) == 0 {
		return nil, false, &gss.Error{Major: gss.ErrDefectiveToken}
	}
	msg := append(dst, tok[1:]...)
	switch tok[0] {
	case 'S':
		return msg, true, nil
	case 'P':
		return msg, false, nil
	case 'G':
		return msg, false, &gss.Error{Major: gss.ErrGapToken}
	case 'D':
		return nil, false, &gss.Error{Major: gss.ErrDuplicateToken}
	}
	return nil, false, &gss.Error{Major: gss.ErrBadMIC, Err: errors.New("wrong kind")}
}

func (c *fakeContext) Delete() {
	if c.deleted != nil {
		*c.deleted++
	}
}

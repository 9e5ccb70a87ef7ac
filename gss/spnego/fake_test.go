package spnego

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
)

// A fake is a mechanism whose context takes a given number of tokens: the
// initiator sends the first, the third and so on. Its MICs are real ones under
// a key that everybody knows.
type fake struct {
	mech       gss.OID
	legs       int
	flags      gss.Flags // of its contexts; Integrity unless set
	initiateIs error     // what Initiate fails with
	acceptIs   error     // what Accept fails with
	beginIs    error     // what the initiator's first Step fails with
	refuse     bool      // the acceptor fails with an error token

	live *int // contexts not deleted; may be nil
}

// The fakes' OIDs, below 1.2.3.
const (
	mechA gss.OID = "\x2a\x03\x01"
	mechB gss.OID = "\x2a\x03\x02"
	mechC gss.OID = "\x2a\x03\x03"
)

var errFake = errors.New("fake failure")

func (f fake) Mechanism() gss.OID { return f.mech }

func (f fake) Initiate(_ context.Context, req gss.Request) (gss.Context, error) {
	if f.initiateIs != nil {
		return nil, f.initiateIs
	}
	return f.context(true), nil
}

func (f fake) Accept(*gss.ChannelBindings) (gss.Context, error) {
	if f.acceptIs != nil {
		return nil, f.acceptIs
	}
	return f.context(false), nil
}

func (f fake) context(local bool) *fakeContext {
	if f.flags == 0 {
		f.flags = gss.Integrity
	}
	if f.live != nil {
		*f.live++
	}
	return &fakeContext{fake: f, local: local}
}

type fakeContext struct {
	gss.Context // whatever the negotiation has no business calling
	fake
	local   bool
	leg     int // tokens seen, sent or received
	err     error
	deleted bool
}

func (c *fakeContext) fakeToken(leg int) string {
	return fmt.Sprintf("%s token %d of %d", c.mech, leg, c.legs)
}

func (c *fakeContext) Step(token []byte) ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	out, err := c.step(string(token))
	c.err = err
	return out, err
}

func (c *fakeContext) step(token string) ([]byte, error) {
	switch {
	case c.deleted || c.Established():
		return nil, errors.New("a fake that needs no token was stepped")
	case c.local && c.leg == 0 && c.beginIs != nil:
		return nil, c.beginIs
	case c.local && c.leg == 0 && token != "":
		return nil, errors.New("a token where the initiator speaks first")
	case strings.HasPrefix(token, "error "):
		return nil, &gss.Error{Major: gss.ErrUnauthorized, Mech: c.mech, Remote: true, Err: errors.New(token)}
	case c.refuse && !c.local:
		return []byte("error by " + c.mech.String()), errFake
	case !c.local || c.leg > 0:
		c.leg++
		if token != c.fakeToken(c.leg) {
			return []byte("error by " + c.mech.String()), &gss.Error{Major: gss.ErrDefectiveToken, Mech: c.mech, Err: fmt.Errorf("token %q", token)}
		}
	}
	if c.Established() {
		return nil, nil
	}
	c.leg++
	return []byte(c.fakeToken(c.leg)), nil
}

func (c *fakeContext) Established() bool { return c.leg >= c.legs }

func (c *fakeContext) Inquire() gss.Info {
	return gss.Info{
		Mechanism: c.mech, Local: c.local, Established: c.Established(),
		Flags: c.flags | gss.ProtReady | gss.Transferable, Delegated: fakeCredential{},
	}
}

type fakeCredential struct{ gss.Credential }

func (c *fakeContext) sum(local bool, msg []byte) []byte {
	h := hmac.New(sha256.New, fmt.Appendf(nil, "%s %t", c.mech, local))
	h.Write(msg)
	return h.Sum(nil)
}

func (c *fakeContext) MIC(dst, msg []byte) ([]byte, error) {
	if !c.Established() || c.flags&gss.Integrity == 0 {
		return nil, &gss.Error{Major: gss.ErrNoContext, Mech: c.mech}
	}
	return append(dst, c.sum(c.local, msg)...), nil
}

func (c *fakeContext) VerifyMIC(msg, mic []byte) error {
	if !c.Established() || !hmac.Equal(mic, c.sum(!c.local, msg)) {
		return &gss.Error{Major: gss.ErrBadMIC, Mech: c.mech}
	}
	return nil
}

func (c *fakeContext) Delete() {
	if !c.deleted && c.live != nil {
		*c.live--
	}
	c.deleted = true
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func initiators(fakes ...fake) []gss.Initiator {
	var list []gss.Initiator
	for _, f := range fakes {
		list = append(list, f)
	}
	return list
}

func acceptors(fakes ...fake) []gss.Acceptor {
	var list []gss.Acceptor
	for _, f := range fakes {
		list = append(list, f)
	}
	return list
}

// initiate begins a context and gives its first token.
func initiate(t testing.TB, mechs ...gss.Initiator) (gss.Context, []byte) {
	t.Helper()
	i, err := NewInitiator(mechs...)
	must(t, err)
	c, err := i.Initiate(t.Context(), gss.Request{})
	must(t, err)
	token, err := c.Step(nil)
	must(t, err)
	return c, token
}

func accept(t testing.TB, mechs ...gss.Acceptor) gss.Context {
	t.Helper()
	a, err := NewAcceptor(mechs...)
	must(t, err)
	c, err := a.Accept(nil)
	must(t, err)
	return c
}

// readInit and readResp are what a test sees in a token that it knows to be
// well-formed.
func readInit(t testing.TB, token []byte) *negTokenInit {
	t.Helper()
	mech, inner, err := unframe(token)
	must(t, err)
	if mech != gss.MechSPNEGO {
		t.Fatalf("token of %s", mech)
	}
	init, err := parseNegTokenInit(inner)
	must(t, err)
	return init
}

func readResp(t testing.TB, token []byte) *negTokenResp {
	t.Helper()
	resp, err := parseNegTokenResp(token)
	must(t, err)
	return resp
}

// describe tells what a token is in a line, so that a test's table can show
// whole exchanges.
func describe(t testing.TB, token []byte) string {
	t.Helper()
	var words []string
	if len(token) > 0 && token[0] == 0x60 {
		init := readInit(t, token)
		words = append(words, "init")
		for _, m := range init.mechs {
			words = append(words, shortName(m))
		}
		return strings.Join(append(words, contents(init.token, init.mic)...), " ")
	}
	resp := readResp(t, token)
	words = append(words, map[negState]string{
		stateAbsent: "resp", acceptCompleted: "completed", acceptIncomplete: "incomplete", rejected: "reject", requestMIC: "request-mic",
	}[resp.state])
	if resp.mech != "" {
		words = append(words, shortName(resp.mech))
	}
	return strings.Join(append(words, contents(resp.token, resp.mic)...), " ")
}

func contents(token, mic []byte) (words []string) {
	if token != nil {
		words = append(words, "token")
	}
	if mic != nil {
		words = append(words, "mic")
	}
	return words
}

func shortName(m gss.OID) string {
	if name, ok := map[gss.OID]string{mechA: "A", mechB: "B", mechC: "C", gss.MechKrb5: "krb5", mechMSKrb5: "ms-krb5"}[m]; ok {
		return name
	}
	return m.String()
}

// run carries tokens between two ends, the initiator's first one given, until
// neither has anything to say, and gives what was said. An error token is
// carried too, and ends it. alter may be nil; it sees every token in its order
// and gives what is delivered.
func run(t testing.TB, ic gss.Context, token []byte, ac gss.Context, alter func(i int, token []byte) []byte) (said []string, ierr, aerr error) {
	t.Helper()
	for i := 0; len(token) > 0; i++ {
		said = append(said, describe(t, token))
		if alter != nil {
			token = alter(i, token)
		}
		failed := ierr != nil || aerr != nil
		if i%2 == 0 {
			token, aerr = ac.Step(token)
		} else {
			token, ierr = ic.Step(token)
		}
		if failed {
			break
		}
	}
	return said, ierr, aerr
}

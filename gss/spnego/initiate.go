package spnego

import (
	"errors"
	"fmt"
	"slices"

	"github.com/countersign-go/countersign/gss"
)

// initiateNegotiation is the initiator's side (RFC 4178, section 3.1).
type initiateNegotiation struct {
	candidates []candidate // offered, most wanted first; once chosen, the chosen one alone
	begun      bool
	negotiated bool // the acceptor's first message has come
	mic        micExchange
}

// A candidate is a mechanism's context, not yet begun unless it is the first.
type candidate struct {
	mech gss.OID
	gss.Context
}

func (n *initiateNegotiation) inner() gss.Context {
	if !n.begun || len(n.candidates) == 0 {
		return nil
	}
	return n.candidates[0].Context
}

func (n *initiateNegotiation) delete() {
	for _, c := range n.candidates {
		c.Delete()
	}
}

// choose makes the i-th candidate the only one.
func (n *initiateNegotiation) choose(i int) {
	for j, c := range n.candidates {
		if j != i {
			c.Delete()
		}
	}
	n.candidates = []candidate{n.candidates[i]}
}

func (n *initiateNegotiation) step(token []byte) (reply []byte, done bool, err error) {
	if !n.begun {
		reply, err = n.begin(token)
		return reply, false, err
	}
	resp, err := parseNegTokenResp(token)
	if err != nil {
		return n.reject(nil, defective(err))
	}
	if resp.state == rejected {
		return nil, false, n.rejected(resp)
	}
	first := !n.negotiated
	n.negotiated = true
	var out []byte
	if first && resp.mech != "" && canonical(resp.mech) != canonical(n.candidates[0].mech) {
		out, err = n.reselect(resp)
	} else {
		out, err = n.proceed(resp, first)
	}
	if err != nil {
		return n.reject(out, err)
	}
	return n.finish(resp, out)
}

// begin makes the first message, with the preferred mechanism's token in it. A
// mechanism that cannot even make that is not offered. An acceptor that spoke
// first did so by a NegTokenInit2, whose list is a hint that nothing protects.
func (n *initiateNegotiation) begin(hints []byte) ([]byte, error) {
	if len(hints) > 0 {
		if err := checkHints(hints); err != nil {
			return nil, defective(err)
		}
	}
	var first error
	for len(n.candidates) > 0 {
		out, err := n.candidates[0].Step(nil)
		if err == nil {
			n.begun = true
			n.mic.mechList = marshalMechList(n.mechs())
			init := negTokenInit{mechList: n.mic.mechList, token: out}
			return init.marshal(), nil
		}
		if first == nil {
			first = err
		}
		n.candidates[0].Delete()
		n.candidates = n.candidates[1:]
	}
	return nil, first
}

func (n *initiateNegotiation) mechs() []gss.OID {
	oids := make([]gss.OID, len(n.candidates))
	for i, c := range n.candidates {
		oids[i] = c.mech
	}
	return oids
}

// checkHints reads over an acceptor's NegTokenInit2 (MS-SPNG, section 3.2.5.2).
func checkHints(token []byte) error {
	mech, inner, err := unframe(token)
	if err != nil {
		return err
	}
	if mech != gss.MechSPNEGO {
		return fmt.Errorf("the token is of mechanism %s, not of %s", mech.Name(), gss.MechSPNEGO.Name())
	}
	_, err = parseNegTokenInit(inner)
	return err
}

// reselect takes the acceptor's counter-proposal: the preferred mechanism is
// not to be, and MICs must show that the acceptor meant it.
func (n *initiateNegotiation) reselect(resp *negTokenResp) ([]byte, error) {
	i := slices.IndexFunc(n.candidates, func(c candidate) bool { return canonical(c.mech) == canonical(resp.mech) })
	switch {
	case i < 0:
		return nil, defective(fmt.Errorf("the acceptor chose mechanism %s, which was not offered", resp.mech.Name()))
	case resp.state != requestMIC:
		return nil, &gss.Error{
			Major: gss.ErrDefectiveToken,
			Mech:  gss.MechSPNEGO,
			Err:   fmt.Errorf("the acceptor chose %s instead of the preferred mechanism without asking for a mechListMIC", resp.mech.Name()),
			Hint:  "nothing shows that the acceptor made that choice (Java's acceptors follow RFC 2478, which has no protection): offer its mechanism first or alone",
		}
	case resp.token != nil || resp.mic != nil:
		return nil, defective(errors.New("the acceptor chose a mechanism and sent a token of another"))
	}
	n.choose(i)
	n.mic.required = true
	return n.candidates[0].Step(nil)
}

// proceed hands the acceptor's token to the mechanism. A first message without
// a mechanism means the preferred one.
func (n *initiateNegotiation) proceed(resp *negTokenResp, first bool) ([]byte, error) {
	switch {
	case first:
		n.choose(0)
		n.mic.required = resp.state == requestMIC
	case resp.state == requestMIC:
		return nil, defective(errors.New("request-mic after the acceptor's first message"))
	case resp.mech != "" && canonical(resp.mech) != canonical(n.candidates[0].mech):
		return nil, defective(errors.New("the acceptor changed the mechanism"))
	}
	inner := n.candidates[0]
	switch {
	case inner.Established() && resp.token != nil:
		return nil, defective(errors.New("a mechanism's token after its context stands"))
	case inner.Established():
		return nil, nil
	case resp.token == nil:
		return nil, noTokenFromPeer()
	}
	return inner.Step(resp.token)
}

// finish makes the next message of out, the mechanism's token, and once the
// mechanism's context stands settles the MICs by RFC 4178, section 5, whose
// cases the comments name.
func (n *initiateNegotiation) finish(resp *negTokenResp, out []byte) (reply []byte, done bool, err error) {
	inner := n.candidates[0]
	next := negTokenResp{state: acceptIncomplete, token: out}
	switch {
	case resp.state == acceptCompleted && (len(out) > 0 || !inner.Established()):
		return n.reject(nil, defective(errors.New("accept-completed before the mechanism's last token")))
	case !inner.Established() && resp.mic != nil:
		return n.reject(nil, defective(errEarlyMIC))
	case !inner.Established():
		return next.marshal(), false, nil
	}
	last := len(out) > 0 // this side sends the mechanism's last token: case (c), otherwise (b)
	required := n.mic.required && integrity(inner)
	switch {
	case resp.mic != nil: // (b)(I) and (II), and the end of (c)
		if err := n.mic.verify(inner, resp.mic); err != nil {
			return n.reject(nil, err)
		}
		// One that was not asked for is answered if the acceptor waits.
		required = required || resp.state != acceptCompleted
	case required && !last: // (b)(IV)
		return n.reject(nil, defective(errMissingMIC))
	}
	if required && !n.mic.sent {
		if next.mic, err = n.mic.make(inner); err != nil {
			return n.reject(nil, err)
		}
	}
	switch {
	case last: // the acceptor has the last word
		return next.marshal(), false, nil
	case next.mic != nil:
		next.state = acceptCompleted
		return next.marshal(), true, nil
	}
	return nil, true, nil // (b)(III)
}

// reject ends the negotiation with an error token, in which the mechanism's
// travels.
func (n *initiateNegotiation) reject(token []byte, err error) ([]byte, bool, error) {
	resp := negTokenResp{state: rejected, token: token}
	return resp.marshal(), false, err
}

// rejected is what the acceptor's reject says. The mechanism's error token says
// more, if there is one.
func (n *initiateNegotiation) rejected(resp *negTokenResp) error {
	inner := n.candidates[0]
	if resp.token == nil && resp.mech == "" && !n.negotiated {
		return remoteReject(gss.ErrBadMech)
	}
	if resp.token != nil && (resp.mech == "" || canonical(resp.mech) == canonical(inner.mech)) {
		// A context that stands takes no token, but may know the other side's error.
		done := inner.Established()
		_, err := inner.Step(resp.token)
		if status, ok := errors.AsType[*gss.Error](err); err != nil && (!done || ok && status.Remote) {
			return err
		}
	}
	return remoteReject(gss.ErrFailure)
}

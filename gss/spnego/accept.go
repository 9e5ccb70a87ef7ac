package spnego

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/countersign-go/countersign/gss"
)

// acceptNegotiation is the acceptor's side (RFC 4178, section 3.2).
type acceptNegotiation struct {
	acceptor *Acceptor
	bindings *gss.ChannelBindings

	chosen gss.Context // nil until the first token came
	bare   bool        // the initiator speaks the mechanism without negotiation
	mic    micExchange
}

func (n *acceptNegotiation) inner() gss.Context { return n.chosen }

func (n *acceptNegotiation) delete() {
	if n.chosen != nil {
		n.chosen.Delete()
	}
}

func (n *acceptNegotiation) step(token []byte) (reply []byte, done bool, err error) {
	switch {
	case n.bare:
		return n.stepBare(token)
	case n.chosen != nil:
		return n.proceed(token)
	}
	mech, message, err := unframe(token)
	switch {
	case err != nil && bytes.HasPrefix(token, []byte("NTLMSSP\x00")):
		return nil, false, &gss.Error{Major: gss.ErrBadMech, Mech: gss.MechSPNEGO, Err: errors.New("the client sent an NTLM token"), Hint: hintNTLM}
	case err != nil && bytes.HasPrefix(token, []byte{tagAPReq}):
		return n.beginBare(gss.MechKrb5, token)
	case err != nil:
		return nil, false, defective(err)
	case mech != gss.MechSPNEGO:
		return n.beginBare(mech, token)
	}
	return n.begin(message)
}

// begin takes the initiator's first message and chooses the mechanism: the
// first of the initiator's list that this side has.
func (n *acceptNegotiation) begin(message []byte) (reply []byte, done bool, err error) {
	init, err := parseNegTokenInit(message)
	if err != nil {
		return n.reject(nil, defective(err))
	}
	if len(init.mechs) == 0 {
		return n.reject(nil, defective(errors.New("the NegTokenInit lists no mechanism")))
	}
	next := negTokenResp{state: acceptIncomplete}
	for i, oid := range init.mechs {
		mech, ok := n.acceptor.mechs[canonical(oid)]
		if !ok {
			continue
		}
		if n.chosen, err = mech.Accept(n.bindings); err != nil {
			n.chosen = nil
			return n.reject(nil, err)
		}
		next.mech = oid // as the initiator spells it
		n.mic.required = i > 0
		break
	}
	n.mic.mechList = bytes.Clone(init.mechList)
	switch {
	case n.chosen == nil:
		return n.reject(nil, noCommonMech(init.mechs))
	case n.mic.required:
		// The token, and its MIC if it has one, are of a mechanism that this side
		// does not have.
		next.state = requestMIC
		return next.marshal(), false, nil
	case init.token == nil:
		return next.marshal(), false, nil
	}
	if next.token, err = n.chosen.Step(init.token); err != nil {
		return n.reject(next.token, err)
	}
	return n.finish(next, init.mic)
}

// proceed takes one of the initiator's further messages.
func (n *acceptNegotiation) proceed(token []byte) (reply []byte, done bool, err error) {
	resp, err := parseNegTokenResp(token)
	if err != nil {
		return n.reject(nil, defective(err))
	}
	complete := n.chosen.Established()
	next := negTokenResp{state: acceptIncomplete}
	switch {
	case resp.state == rejected:
		return nil, false, n.rejected(resp)
	case resp.state == requestMIC:
		return n.reject(nil, defective(errors.New("request-mic from the initiator")))
	case resp.mech != "":
		return n.reject(nil, defective(errors.New("supportedMech from the initiator")))
	case complete && resp.token != nil:
		return n.reject(nil, defective(errors.New("a mechanism's token after its context stands")))
	case complete && resp.mic == nil:
		return n.reject(nil, defective(errMissingMIC))
	case complete:
		return n.finish(next, resp.mic)
	case resp.token == nil:
		return n.reject(nil, defective(errors.New("no mechanism's token from the initiator")))
	}
	if next.token, err = n.chosen.Step(resp.token); err != nil {
		return n.reject(next.token, err)
	}
	return n.finish(next, resp.mic)
}

// finish completes next, which holds the mechanism's token, and once the
// mechanism's context stands settles the MICs by RFC 4178, section 5, whose
// cases the comments name.
func (n *acceptNegotiation) finish(next negTokenResp, mic []byte) (reply []byte, done bool, err error) {
	if !n.chosen.Established() {
		if mic != nil {
			return n.reject(nil, defective(errEarlyMIC))
		}
		return next.marshal(), false, nil
	}
	required := n.mic.required && integrity(n.chosen)
	switch {
	case mic != nil: // (c)(I) and (II), and the end of (b)
		if err := n.mic.verify(n.chosen, mic); err != nil {
			return n.reject(nil, err)
		}
	case required && len(next.token) == 0: // (c)(V)
		return n.reject(nil, defective(errMissingMIC))
	}
	if n.mic.verified && n.mic.sent {
		return nil, true, nil // the initiator had the last word
	}
	if required || n.mic.verified {
		if next.mic, err = n.mic.make(n.chosen); err != nil {
			return n.reject(nil, err)
		}
	}
	done = !required || n.mic.verified // (c)(III); not yet after (b), where this side's MIC is the first
	if done {
		next.state = acceptCompleted
	}
	return next.marshal(), done, nil
}

// tagAPReq is [APPLICATION 14], by which MIT's library, too, tells an AP-REQ
// that DCE style leaves unframed (RFC 4120, section 5.5.1).
const tagAPReq = 14 | 0x60

// beginBare takes a first token that is a mechanism's own.
func (n *acceptNegotiation) beginBare(mech gss.OID, token []byte) (reply []byte, done bool, err error) {
	m, ok := n.acceptor.mechs[canonical(mech)]
	if !ok || n.acceptor.noBare {
		return nil, false, &gss.Error{
			Major: gss.ErrBadMech,
			Mech:  gss.MechSPNEGO,
			Err:   fmt.Errorf("the token is of mechanism %s, which is not accepted", mech.Name()),
		}
	}
	inner, err := m.Accept(n.bindings)
	if err != nil {
		return nil, false, err
	}
	n.chosen, n.bare = inner, true
	return n.stepBare(token)
}

func (n *acceptNegotiation) stepBare(token []byte) (reply []byte, done bool, err error) {
	reply, err = n.chosen.Step(token)
	return reply, err == nil && n.chosen.Established(), err
}

// reject ends the negotiation with an error token, in which the mechanism's
// travels.
func (n *acceptNegotiation) reject(token []byte, err error) ([]byte, bool, error) {
	resp := negTokenResp{state: rejected, token: token}
	return resp.marshal(), false, err
}

// rejected is what the initiator's reject says. The mechanism's error token
// says more, if there is one.
func (n *acceptNegotiation) rejected(resp *negTokenResp) error {
	if resp.token != nil && !n.chosen.Established() {
		if _, err := n.chosen.Step(resp.token); err != nil {
			return err
		}
	}
	return remoteReject(gss.ErrFailure)
}

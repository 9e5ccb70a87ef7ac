package spnego

import (
	"errors"
	"fmt"

	"github.com/countersign-go/countersign/gss"
)

var (
	errWrongMIC   = errors.New("the mechListMIC is not of the list that was sent: somebody may have altered it")
	errMissingMIC = errors.New("the mechListMIC is missing where it is required")
	errEarlyMIC   = errors.New("a mechListMIC before the mechanism's context stands")
	errSecondMIC  = errors.New("a second mechListMIC")
)

// micExchange is what protects the list of mechanisms (RFC 4178, section 5):
// each side's MIC of it, made with the negotiated mechanism's context.
type micExchange struct {
	mechList []byte // DER of the MechTypeList, as the initiator sent it
	required bool   // both MICs must be exchanged before the context stands
	sent     bool
	verified bool
}

// integrity tells whether a mechanism's context can make MICs.
func integrity(inner gss.Context) bool { return inner.Inquire().Flags&gss.Integrity != 0 }

// verify checks the peer's MIC.
func (m *micExchange) verify(inner gss.Context, mic []byte) error {
	if m.verified {
		return defective(errSecondMIC)
	}
	if err := inner.VerifyMIC(m.mechList, mic); err != nil {
		return defective(fmt.Errorf("%w: %w", errWrongMIC, err))
	}
	m.verified = true
	return nil
}

// make gives this side's MIC.
func (m *micExchange) make(inner gss.Context) ([]byte, error) {
	mic, err := inner.MIC(nil, m.mechList)
	if err != nil {
		return nil, err
	}
	m.sent = true
	return mic, nil
}

package krb5_test

import (
	"testing"

	"github.com/countersign-go/countersign/gss/gsstest"
)

// TestTransited accepts clients of other realms whose tickets came along the
// path of the realms' hierarchy, or one that the KDC has checked.
func TestTransited(t *testing.T) {
	s := newSetup(t)
	a := s.acceptor(t)
	for name, ticket := range map[string]gsstest.TicketOptions{
		"neighbour":      {Client: "alice@OTHER.EXAMPLE"},
		"hierarchy":      {Client: "alice@A.SUB.TEST.EXAMPLE", Transited: []string{"SUB.TEST.EXAMPLE"}},
		"compressed":     {Client: "alice@A.SUB.OTHER.EXAMPLE", Transited: []string{"EXAMPLE", "OTHER.", "SUB."}},
		"checked by KDC": {Client: "alice@A.EXAMPLE", Transited: []string{"ANY.WHERE"}, Flags: gsstest.TransitedPolicyChecked},
	} {
		sec, err := a.Accept(nil)
		must(t, err)
		_, err = sec.Step(forgery{ticket: ticket}.make(t, s.realm))
		if err != nil || sec.Inquire().Initiator.String() != ticket.Client {
			t.Errorf("%s: %s, %v", name, sec.Inquire().Initiator, err)
		}
	}
}

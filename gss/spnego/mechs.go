package spnego

import (
	"fmt"

	"github.com/countersign-go/countersign/gss"
)

// mechMSKrb5 is how Windows 2000 misencoded Kerberos' OID, 1.2.840.48018.1.2.2.
// Windows still lists it, and Samba answers with it.
const mechMSKrb5 gss.OID = "\x2a\x86\x48\x82\xf7\x12\x01\x02\x02"

// canonical is the mechanism that an OID on the wire means.
func canonical(mech gss.OID) gss.OID {
	if mech == mechMSKrb5 {
		return gss.MechKrb5
	}
	return mech
}

// mechNTLM is what Windows clients fall back to.
const mechNTLM gss.OID = "\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a" // 1.3.6.1.4.1.311.2.2.10

// checkMechs refuses lists of mechanisms that nothing could be negotiated with.
func checkMechs(mechs []gss.OID) error {
	if len(mechs) == 0 {
		return &gss.Error{Major: gss.ErrBadMech, Minor: minorNoMechs, Mech: gss.MechSPNEGO, Err: errNoMechs}
	}
	if len(mechs) > maxMechs {
		return &gss.Error{Major: gss.ErrBadMech, Mech: gss.MechSPNEGO, Err: errTooManyMechs}
	}
	seen := make(map[gss.OID]bool)
	for _, m := range mechs {
		var why string
		switch {
		case m == gss.MechSPNEGO:
			why = "cannot negotiate itself"
		case !m.Valid():
			why = "is no object identifier"
		case seen[canonical(m)]:
			why = "is listed twice"
		default:
			seen[canonical(m)] = true
			continue
		}
		return &gss.Error{Major: gss.ErrBadMech, Mech: gss.MechSPNEGO, Err: fmt.Errorf("mechanism %s %s", m.Name(), why)}
	}
	return nil
}

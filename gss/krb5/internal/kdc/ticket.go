package kdc

import (
	"fmt"
	"slices"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// Name types, RFC 4120 section 6.2 and RFC 6806 section 5.
const (
	NTPrincipal  int32 = 1
	NTSrvInst    int32 = 2
	NTSrvHst     int32 = 3
	NTEnterprise int32 = 10
)

// Principal is a name in a realm.
type Principal struct {
	Type       int32 // one of the NT constants; not compared
	Components []string
	Realm      string
}

// TGS is the ticket-granting service of realm that is known in the realm "in".
func TGS(realm, in string) Principal {
	return Principal{Type: NTSrvInst, Components: []string{"krbtgt", realm}, Realm: in}
}

// String writes the principal as MIT does, with special characters quoted.
func (p Principal) String() string {
	return kmsg.Unparse(kmsg.PrincipalName{Components: p.Components}, p.Realm)
}

// Equal compares realm and components; the name type does not count.
func (p Principal) Equal(q Principal) bool {
	return p.Realm == q.Realm && slices.Equal(p.Components, q.Components)
}

// isTGS says whether the principal is the ticket-granting service of a realm,
// and of which.
func (p Principal) isTGS() (realm string, ok bool) {
	if len(p.Components) == 2 && p.Components[0] == "krbtgt" {
		return p.Components[1], true
	}
	return "", false
}

// Key is an encryption key. Nothing that prints it prints its value.
type Key struct {
	Etype int32
	Value []byte
}

// String names the encryption type only.
func (k Key) String() string { return fmt.Sprintf("key of enctype %d", k.Etype) }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// Format is String for every verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// MarshalJSON gives the encryption type only.
func (k Key) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `{"Etype":%d}`, k.Etype), nil }

// Address is a host address, RFC 4120 section 7.5.3.
type Address struct {
	Type int32
	Data []byte
}

// Ticket is a ticket with what its client needs to use it: the contents of one
// entry in a credential cache.
type Ticket struct {
	Client Principal
	Server Principal // as the KDC names it
	Key    Key       // session key
	Ticket []byte    // DER of the ticket as the KDC sent it

	Flags     uint32 // RFC 4120 section 5.3, bit 0 being the highest
	AuthTime  time.Time
	StartTime time.Time // AuthTime where the KDC gives none
	EndTime   time.Time
	RenewTill time.Time // zero unless renewable
	Addresses []Address

	// Offset is what to add to the local clock to get the KDC's, as learnt when
	// kdc_timesync is set. Client.TGS uses that of the ticket-granting ticket.
	Offset time.Duration
}

// Ticket flags and KDC options, RFC 4120 sections 2 and 5.4.1 and RFC 6806.
const (
	FlagForwardable  uint32 = 1 << (31 - 1)
	FlagForwarded    uint32 = 1 << (31 - 2)
	FlagProxiable    uint32 = 1 << (31 - 3)
	FlagMayPostdate  uint32 = 1 << (31 - 5)
	FlagRenewable    uint32 = 1 << (31 - 8)
	FlagOKAsDelegate uint32 = 1 << (31 - 13)

	optCanonicalize uint32 = 1 << (31 - 15)
	optRenewableOK  uint32 = 1 << (31 - 27)
	optRenew        uint32 = 1 << (31 - 30)
)

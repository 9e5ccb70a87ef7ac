package krb5

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/pac"
)

// A PAC is what a domain says of a client: the privilege attribute certificate
// that Active Directory, Samba, FreeIPA and MIT KDCs put into tickets (MS-PAC).
// Its server signature has been verified with the service's key, and its client
// is that of the ticket. The KDC's own signature only KDCs can verify: who has
// the service's key can make such a ticket and such a PAC.
type PAC struct {
	Client ClientInfo
	UPN    *UPNInfo   // nil when the KDC did not say
	Logon  *LogonInfo // nil when the KDC has no SIDs, as MIT's own databases
}

// ClientInfo says whose a PAC is (MS-PAC, section 2.7).
type ClientInfo struct {
	Name     string    // without realm
	AuthTime time.Time // of the initial authentication, to the second
}

// UPNInfo is the client's name as users type it (MS-PAC, section 2.10).
type UPNInfo struct {
	UPN           string // user principal name, user@domain
	DNSDomain     string // of the client's account
	UPNIsImplicit bool   // the account has none: it was made of account and domain

	// SAMName and SID are the account's. KDCs before 2021 leave them out.
	SAMName string
	SID     string
}

// LogonInfo is the client's account and groups (MS-PAC, section 2.5). SIDs are
// written S-1-5-21-...; groups that are not enabled are left out.
type LogonInfo struct {
	UserName  string // of the account
	FullName  string
	Domain    string // the account's, by its NetBIOS name
	Server    string // domain controller that authenticated the client, by its NetBIOS name
	LogonTime time.Time

	UserSID           string
	PrimaryGroupSID   string
	GroupSIDs         []string // groups of the account's domain
	ExtraSIDs         []string // groups of other domains, and well-known ones
	ResourceGroupSIDs []string // groups of the service's domain
}

// ErrNoPAC means that the initiator's ticket has no PAC, or that the context is
// not one that was accepted by this mechanism.
var ErrNoPAC = errors.New("no PAC came with the initiator's ticket")

// PACOf gives the PAC of the initiator, on the acceptor's side. It is decoded
// with the first call for a context. The error is ErrNoPAC, or says why the PAC
// is not to be believed or cannot be read. The context stands all the same, as
// with MIT's library, since nothing else depends on the PAC. A program that
// decides by groups must treat every error as membership in none.
func PACOf(info gss.Info) (*PAC, error) {
	a, ok := info.Attributes.(*ticketAttributes)
	if !ok {
		return nil, ErrNoPAC
	}
	return a.pac()
}

// ticketAttributes are the attributes of a ticket's client. What they need is
// kept until somebody asks.
type ticketAttributes struct {
	containers [][]byte // of authorization data, each an AD-IF-RELEVANT's content
	key        *serviceKey
	client     []string
	authTime   time.Time

	once sync.Once
	raw  *pac.PAC
	read *PAC
	err  error
}

// takeAttributes keeps what may hold the PAC.
func (h *acceptHandshake) takeAttributes() error {
	if c := pac.Containers(h.ticket.AuthorizationData); c != nil {
		h.attributes = &ticketAttributes{
			containers: c,
			key:        h.key,
			client:     h.ticket.CName.Components,
			authTime:   h.ticket.AuthTime,
		}
	}
	return nil
}

func (a *ticketAttributes) pac() (*PAC, error) {
	a.once.Do(a.load)
	return a.read, a.err
}

// load sets raw where the PAC is to be believed, then read where all that this
// package knows of it could be decoded, else err.
func (a *ticketAttributes) load() {
	data, err := pac.Find(a.containers)
	if errors.Is(err, pac.ErrNone) {
		a.err = ErrNoPAC
		return
	}
	var raw *pac.PAC
	if err == nil {
		raw, err = pac.Parse(data)
	}
	if err == nil {
		err = raw.Verify(a.key.key, a.key.etype)
	}
	if err == nil {
		err = raw.CheckClient(a.client, a.authTime)
	}
	if err == nil {
		a.raw = raw
		a.read, err = decodePAC(raw)
	}
	if err != nil {
		a.err = failure(err)
	}
}

func decodePAC(raw *pac.PAC) (*PAC, error) {
	client, err := raw.ClientInfo()
	if err != nil {
		return nil, err
	}
	p := &PAC{Client: ClientInfo(client)}
	if upn, err := raw.UPNInfo(); err == nil {
		p.UPN = (*UPNInfo)(&upn)
	} else if !errors.Is(err, pac.ErrNoBuffer) {
		return nil, err
	}
	if logon, err := raw.LogonInfo(); err == nil {
		p.Logon = (*LogonInfo)(&logon)
	} else if !errors.Is(err, pac.ErrNoBuffer) {
		return nil, err
	}
	return p, nil
}

// attributePrefix begins the names of the PAC's attributes, and is itself the
// name of the PAC as a whole. The names are those of MIT's library.
const attributePrefix = "urn:mspac:"

var attributeNames = map[uint32]string{
	pac.TypeLogonInfo:       "logon-info",
	pac.TypeCredentialsInfo: "credentials-info",
	pac.TypeServerChecksum:  "server-checksum",
	pac.TypeKDCChecksum:     "privsvr-checksum",
	pac.TypeClientInfo:      "client-info",
	pac.TypeDelegationInfo:  "delegation-info",
	pac.TypeUPNInfo:         "upn-dns-info",
}

// All implements gss.Attributes: the PAC as a whole and its buffers, when it is
// to be believed, by the names that MIT's library gives them. A buffer without
// a name has its number.
func (a *ticketAttributes) All() []gss.Attribute {
	p, _ := a.pac()
	if a.raw == nil {
		return nil
	}
	all := []gss.Attribute{{Name: attributePrefix, Value: a.raw.Data, Authenticated: true, Complete: true}}
	for _, b := range a.raw.Buffers {
		name, ok := attributeNames[b.Type]
		if !ok {
			name = fmt.Sprint(b.Type)
		}
		all = append(all, gss.Attribute{
			Name:          attributePrefix + name,
			Value:         b.Data,
			Display:       p.display(b.Type),
			Authenticated: true,
			Complete:      true,
		})
	}
	return all
}

// display writes what is decoded of a buffer on one line.
func (p *PAC) display(typ uint32) string {
	switch {
	case p == nil:
		return ""
	case typ == pac.TypeClientInfo:
		return fmt.Sprintf("%s, authenticated %s", p.Client.Name, p.Client.AuthTime.Format(time.RFC3339))
	case typ == pac.TypeUPNInfo && p.UPN != nil:
		return fmt.Sprintf("%s, domain %s", p.UPN.UPN, p.UPN.DNSDomain)
	case typ == pac.TypeLogonInfo && p.Logon != nil:
		l := p.Logon
		groups := len(l.GroupSIDs) + len(l.ExtraSIDs) + len(l.ResourceGroupSIDs)
		return fmt.Sprintf(`%s\%s, SID %s, primary group %s, %d groups`, l.Domain, l.UserName, l.UserSID, l.PrimaryGroupSID, groups)
	default:
		return ""
	}
}

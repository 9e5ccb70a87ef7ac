package gsstest

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// TicketFlags are the flags of RFC 4120, sections 2 and 5.3, as one 32-bit
// number: bit 0 of the RFC is the most significant one.
type TicketFlags uint32

// The flags of RFC 4120, section 5.3.
const (
	Forwardable            TicketFlags = 1 << (31 - flags.Forwardable)
	Forwarded              TicketFlags = 1 << (31 - flags.Forwarded)
	Proxiable              TicketFlags = 1 << (31 - flags.Proxiable)
	Proxy                  TicketFlags = 1 << (31 - flags.Proxy)
	MayPostdate            TicketFlags = 1 << (31 - flags.MayPostDate)
	Postdated              TicketFlags = 1 << (31 - flags.PostDated)
	Invalid                TicketFlags = 1 << (31 - flags.Invalid)
	Renewable              TicketFlags = 1 << (31 - flags.Renewable)
	Initial                TicketFlags = 1 << (31 - flags.Initial)
	PreAuthent             TicketFlags = 1 << (31 - flags.PreAuthent)
	HWAuthent              TicketFlags = 1 << (31 - flags.HWAuthent)
	TransitedPolicyChecked TicketFlags = 1 << (31 - flags.TransitedPolicyChecked)
	OKAsDelegate           TicketFlags = 1 << (31 - flags.OKAsDelegate)
)

func (f TicketFlags) bits() asn1.BitString {
	return asn1.BitString{Bytes: []byte{byte(f >> 24), byte(f >> 16), byte(f >> 8), byte(f)}, BitLength: 32}
}

func flagsOf(bits asn1.BitString) TicketFlags {
	var f TicketFlags
	for i := range 32 {
		f |= TicketFlags(bits.At(i)) << (31 - i)
	}
	return f
}

// TicketOptions describes a ticket to mint. Client and Service are required;
// every other field has an honest default.
type TicketOptions struct {
	Client  string // "alice", or "alice@OTHER" for another realm's; need not be in the database
	Service string // "host/localhost"; in the database unless Key is given

	AuthTime  time.Time // now by the KDC's clock
	StartTime time.Time // AuthTime
	EndTime   time.Time // 10 hours after StartTime
	RenewTill time.Time // absent

	Flags TicketFlags // Forwardable|PreAuthent, for a krbtgt with Initial

	Enctype    int32 // of the service's key: its first
	KVNO       int   // number put on the ticket; which key seals it does not change
	Key        Key   // seals the ticket instead of the service's key
	SessionKey Key   // random, of the sealing key's type

	Addresses         []net.IP // none
	Transited         []string // realms, for the encoding DOMAIN-X500-COMPRESS; none
	AuthorizationData []AuthorizationData
}

// AuthorizationData is an element of RFC 4120, section 5.2.6.
type AuthorizationData struct {
	Type int32
	Data []byte
}

// A Ticket is what a client holds: the ticket and what the client knows of it.
// Printing it shows names and the end, neither ticket nor key.
type Ticket struct {
	DER        []byte // Ticket of RFC 4120, section 5.3
	SessionKey Key
	Client     string // with its realm
	Service    string // with its realm
	Flags      TicketFlags
	AuthTime   time.Time
	StartTime  time.Time
	EndTime    time.Time
	RenewTill  time.Time // zero when the ticket has none

	client    types.PrincipalName
	crealm    string
	service   types.PrincipalName
	srealm    string
	addresses types.HostAddresses
}

// String names client, service and end of a ticket.
func (t Ticket) String() string {
	return fmt.Sprintf("ticket for %s to %s until %s", t.Client, t.Service, t.EndTime.Format(time.RFC3339))
}

// GoString is String.
func (t Ticket) GoString() string { return t.String() }

// MintTicket makes a ticket without asking the KDC, with whatever lies the
// options hold: not yet valid, expired, of another realm's client, under
// another kvno or key. Of the faults only the clock's offset applies, to the
// default times. It fails for malformed names, for a service that is not in the
// database when no Key is given, and for keys that do not fit their encryption
// types.
func (r *Realm) MintTicket(options TicketOptions) (*Ticket, error) {
	ticket, err := r.mint(options)
	if err != nil {
		return nil, fmt.Errorf("gsstest: mint ticket for %q to %q: %w", options.Client, options.Service, err)
	}
	return ticket, nil
}

func (r *Realm) mint(o TicketOptions) (*Ticket, error) {
	client, crealm, err := r.parseName(o.Client)
	if err != nil {
		return nil, err
	}
	service, srealm, err := r.parseName(o.Service)
	if err != nil {
		return nil, err
	}
	sealing := storedKey{kvno: 1, Key: o.Key}
	if o.Key.Value == nil {
		if sealing, err = r.serviceKey(o.Service, o.Enctype); err != nil {
			return nil, err
		}
	}
	if o.KVNO != 0 {
		sealing.kvno = o.KVNO
	}
	session := o.SessionKey
	if session.Value == nil {
		if session, err = NewKey(sealing.Enctype); err != nil {
			return nil, err
		}
	}
	for _, key := range []Key{sealing.Key, session} {
		if err := key.check(); err != nil {
			return nil, err
		}
	}
	if o.AuthTime.IsZero() {
		o.AuthTime = r.now()
	}
	if o.StartTime.IsZero() {
		o.StartTime = o.AuthTime
	}
	if o.EndTime.IsZero() {
		o.EndTime = o.StartTime.Add(10 * time.Hour)
	}
	if o.Flags == 0 {
		o.Flags = Forwardable | PreAuthent
		if service.NameString[0] == "krbtgt" {
			o.Flags |= Initial
		}
	}
	part := messages.EncTicketPart{
		Flags:     o.Flags.bits(),
		Key:       session.wire(),
		CRealm:    crealm,
		CName:     client,
		Transited: transited(o.Transited),
		AuthTime:  kerberosTime(o.AuthTime),
		StartTime: kerberosTime(o.StartTime),
		EndTime:   kerberosTime(o.EndTime),
		RenewTill: kerberosTime(o.RenewTill),
		CAddr:     types.HostAddressesFromNetIPs(o.Addresses),
	}
	for _, ad := range o.AuthorizationData {
		part.AuthorizationData = append(part.AuthorizationData, types.AuthorizationDataEntry{ADType: ad.Type, ADData: ad.Data})
	}
	sealed, err := seal(part, service, srealm, sealing)
	if err != nil {
		return nil, err
	}
	der, err := sealed.Marshal()
	if err != nil {
		return nil, err
	}
	return &Ticket{
		DER:        der,
		SessionKey: session,
		Client:     displayName(client, crealm),
		Service:    displayName(service, srealm),
		Flags:      o.Flags,
		AuthTime:   part.AuthTime,
		StartTime:  part.StartTime,
		EndTime:    part.EndTime,
		RenewTill:  part.RenewTill,
		client:     client,
		crealm:     crealm,
		service:    service,
		srealm:     srealm,
		addresses:  part.CAddr,
	}, nil
}

// serviceKey finds the newest key that tickets to a service are sealed in.
func (r *Realm) serviceKey(service string, enctype int32) (storedKey, error) {
	p, err := r.find(service)
	if err != nil {
		return storedKey{}, err
	}
	if enctype == 0 {
		enctype = p.enctypes[0]
	}
	key, ok := p.key(enctype)
	if !ok {
		return storedKey{}, fmt.Errorf("the service has no key of encryption type %d", enctype)
	}
	return key, nil
}

// seal encrypts the part that only the service can read.
func seal(part messages.EncTicketPart, service types.PrincipalName, srealm string, key storedKey) (messages.Ticket, error) {
	b, err := asn1.Marshal(part)
	if err != nil {
		return messages.Ticket{}, err
	}
	b = asn1tools.AddASNAppTag(b, asnAppTag.EncTicketPart)
	enc, err := crypto.GetEncryptedData(b, key.wire(), keyusage.KDC_REP_TICKET, key.kvno)
	if err != nil {
		return messages.Ticket{}, err
	}
	return messages.Ticket{TktVNO: 5, Realm: srealm, SName: service, EncPart: enc}, nil
}

// open decrypts a ticket-granting ticket of this realm.
func (r *Realm) open(ticket messages.Ticket) (messages.EncTicketPart, error) {
	var part messages.EncTicketPart
	tgs := r.lookup(ticket.SName, ticket.Realm, Faults{})
	if tgs == nil || !ticket.SName.Equal(r.tgsName()) {
		return part, errNotOurs
	}
	key, ok := tgs.version(ticket.EncPart.EType, ticket.EncPart.KVNO)
	if !ok {
		return part, errNoKey
	}
	b, err := decrypt(ticket.EncPart, key.wire(), keyusage.KDC_REP_TICKET)
	if err != nil {
		return part, err
	}
	if err := part.Unmarshal(b); err != nil {
		return part, err
	}
	return part, checkTicketPart(part)
}

var (
	errNotOurs = errors.New("not a ticket-granting ticket of this realm")
	errNoKey   = errors.New("no such key version or encryption type")
)

func (r *Realm) tgsName() types.PrincipalName {
	return types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: []string{"krbtgt", r.config.Name}}
}

// transited encodes RFC 4120, section 3.3.3.2, without compression.
func transited(realms []string) messages.TransitedEncoding {
	var contents []byte
	for i, realm := range realms {
		if i > 0 {
			contents = append(contents, ',')
		}
		contents = append(contents, realm...)
	}
	return messages.TransitedEncoding{TRType: 1, Contents: contents}
}

// kerberosTime cuts a time to what KerberosTime holds: UTC and whole seconds.
func kerberosTime(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

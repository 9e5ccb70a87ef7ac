package kdc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/countersign-go/countersign/gss/krb5/internal/fence"
)

// Kerberos version and message types, RFC 4120 section 5.10.
const (
	pvno      = 5
	msgASReq  = 10
	msgTGSReq = 12
)

// body is a KDC-REQ-BODY in this package's types.
type body struct {
	options   uint32
	client    Principal
	service   Principal // its realm is the KDC's
	till      time.Time
	rtime     time.Time // zero unless a renewable ticket is asked for
	nonce     int
	etypes    []int32
	addresses []Address
	asReq     bool
}

func (b *body) encode() messages.KDCReqBody {
	m := messages.KDCReqBody{
		KDCOptions: asn1.BitString{Bytes: binary.BigEndian.AppendUint32(nil, b.options), BitLength: 32},
		Realm:      b.service.Realm,
		SName:      principalName(b.service),
		Till:       b.till.UTC().Truncate(time.Second),
		Nonce:      b.nonce,
		EType:      b.etypes,
	}
	if b.asReq {
		m.CName = principalName(b.client)
	}
	if !b.rtime.IsZero() {
		m.RTime = b.rtime.UTC().Truncate(time.Second)
	}
	for _, a := range b.addresses {
		m.Addresses = append(m.Addresses, types.HostAddress{AddrType: a.Type, Address: a.Data})
	}
	return m
}

func principalName(p Principal) types.PrincipalName {
	t := p.Type
	if t == 0 {
		t = NTPrincipal
	}
	return types.PrincipalName{NameType: t, NameString: p.Components}
}

func principal(n types.PrincipalName, realm string) Principal {
	return Principal{Type: n.NameType, Components: n.NameString, Realm: realm}
}

// parseError reads a KRB-ERROR in answer to a request for service by client.
func parseError(msg []byte, client, service Principal) (*Error, error) {
	var m messages.KRBError
	if err := fence.Run(func() error { return m.Unmarshal(msg) }); err != nil {
		return nil, badReply("KRB-ERROR", err)
	}
	return &Error{
		Code:       m.ErrorCode,
		Client:     client,
		Server:     service,
		Detail:     m.EText,
		ServerTime: m.STime.Add(time.Duration(min(max(m.Susec, 0), 999999)) * time.Microsecond),
		data:       m.EData,
		crealm:     m.CRealm,
	}, nil
}

var errWrongMessage = errors.New("message type is another")

// parseReply reads an AS-REP or TGS-REP, and the ticket's own bytes.
func parseReply(msg []byte, as bool) (rep messages.KDCRepFields, ticket []byte, err error) {
	if ticket, err = rawTicket(msg); err != nil {
		return rep, nil, badReply("ticket", err)
	}
	err = fence.Run(func() error {
		if as {
			var m messages.ASRep
			err := m.Unmarshal(msg)
			rep = m.KDCRepFields
			return err
		}
		var m messages.TGSRep
		err := m.Unmarshal(msg)
		rep = m.KDCRepFields
		return err
	})
	if err == nil && rep.PVNO != pvno {
		err = errWrongMessage
	}
	if err != nil {
		return rep, nil, badReply("KDC-REP", err)
	}
	return rep, ticket, nil
}

// check compares a reply, whose encrypted part is plain, with the request that
// it answers, and makes a ticket of it. serverOK says whether the reply may be
// for the server that it names. RFC 4120 sections 3.1.5 and 3.3.4.
func (b *body) check(rep messages.KDCRepFields, ticket, plain []byte, serverOK func(Principal) bool) (Ticket, error) {
	var part messages.EncKDCRepPart
	if err := fence.Run(func() error { return part.Unmarshal(plain) }); err != nil {
		return Ticket{}, badReply("encrypted part", err)
	}
	server := principal(part.SName, part.SRealm)
	key := Key{Etype: part.Key.KeyType, Value: part.Key.KeyValue}
	flags := flagBits(part.Flags)
	switch {
	case part.Nonce != b.nonce:
		return Ticket{}, badReply("nonce is another", nil)
	case !server.Equal(principal(rep.Ticket.SName, rep.Ticket.Realm)):
		return Ticket{}, badReply("ticket names another server than its encrypted part", nil)
	case !serverOK(server):
		return Ticket{}, badReply(fmt.Sprintf("it is for %v", server), nil)
	case !slices.Contains(b.etypes, key.Etype):
		return Ticket{}, badReply(fmt.Sprintf("session key has encryption type %d, which was not asked for", key.Etype), nil)
	case checkKey(key) != nil:
		return Ticket{}, badReply("session key", checkKey(key))
	case part.AuthTime.IsZero() || part.EndTime.IsZero():
		return Ticket{}, badReply("times are missing", nil)
	case part.EndTime.After(b.till.Add(time.Second)):
		return Ticket{}, badReply("ticket lives longer than was asked for", nil)
	case b.options&FlagRenewable != 0 && !b.rtime.IsZero() && part.RenewTill.After(b.rtime.Add(time.Second)):
		return Ticket{}, badReply("ticket is renewable for longer than was asked for", nil)
	}
	t := Ticket{
		Client:    principal(rep.CName, rep.CRealm),
		Server:    server,
		Key:       key,
		Ticket:    ticket,
		Flags:     flags,
		AuthTime:  part.AuthTime,
		StartTime: part.StartTime,
		EndTime:   part.EndTime,
		RenewTill: part.RenewTill,
	}
	if t.StartTime.IsZero() {
		t.StartTime = t.AuthTime
	}
	for _, a := range part.CAddr {
		t.Addresses = append(t.Addresses, Address{Type: a.AddrType, Data: a.Address})
	}
	return t, nil
}

func flagBits(s asn1.BitString) uint32 {
	var b [4]byte
	copy(b[:], s.Bytes)
	return binary.BigEndian.Uint32(b[:])
}

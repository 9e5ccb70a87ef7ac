package gsstest

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// exchange is one request on its way through the KDC.
type exchange struct {
	realm  *Realm
	faults Faults
	now    time.Time // UTC, by the KDC's clock
	event  *Event

	// For the KRB-ERROR, once known.
	client  types.PrincipalName
	crealm  string
	service types.PrincipalName
}

// refusal is an error that the client gets to see.
type refusal struct {
	code  int32
	text  string // e-text, in the words of MIT's KDC
	data  []byte // e-data
	cause error  // for the event; not sent
}

func (e *refusal) Error() string {
	text := fmt.Sprintf("%s: %s", e.text, errorcode.Lookup(e.code))
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

func (e *refusal) Unwrap() error { return e.cause }

func refuse(code int32, text string) error { return &refusal{code: code, text: text} }

func refuseBecause(code int32, text string, cause error) error {
	return &refusal{code: code, text: text, cause: cause}
}

// answer deals with one request and returns the reply, or nil for none.
func (r *Realm) answer(request []byte, transport string, peer net.Addr) []byte {
	r.count(func(s *Stats) {
		if transport == "udp" {
			s.UDP++
		} else {
			s.TCP++
		}
	})
	event := Event{Transport: transport, Peer: peer}
	reply := r.fenced(request, &event)
	r.report(event)
	return reply
}

// fenced is the fence: a panic below it costs this request alone.
func (r *Realm) fenced(request []byte, event *Event) (reply []byte) {
	defer func() {
		if p := recover(); p != nil {
			reply = nil
			event.Err = fmt.Errorf("panic while answering: %v", p)
			r.count(func(s *Stats) { s.Panics++ })
		}
	}()
	x := &exchange{realm: r, faults: r.currentFaults(), now: r.now(), event: event}
	if x.faults.Drop {
		event.Err = errors.New("dropped as ordered")
		return nil
	}
	reply, err := x.run(request)
	if err == nil && event.Transport == "udp" && (x.faults.TooBigForUDP || len(reply) > maxDatagram) {
		err = refuse(errorcode.KRB_ERR_RESPONSE_TOO_BIG, "RESPONSE_TOO_BIG")
	}
	var refused *refusal
	if err != nil && event.Exchange != "" && !errors.As(err, &refused) {
		err = refuseBecause(errorcode.KRB_ERR_GENERIC, "INTERNAL_ERROR", err)
	}
	event.Client = displayName(x.client, x.crealm)
	event.Service = displayName(x.service, r.config.Name)
	event.Err = err
	switch {
	case errors.As(err, &refused):
		event.Code = refused.code
		r.count(func(s *Stats) { s.Errors++ })
		return x.krbError(refused)
	case err != nil:
		r.count(func(s *Stats) { s.Malformed++ })
		return nil
	}
	return reply
}

// run decodes a request and carries out its exchange. An error that is not a
// refusal means that the request made no sense, and gets no reply.
func (x *exchange) run(request []byte) ([]byte, error) {
	shape, err := readKDCReq(request)
	if err != nil {
		return nil, err
	}
	if shape.pvno != 5 {
		return nil, refuse(errorcode.KRB_AP_ERR_BADVERSION, "BAD_VERSION")
	}
	if shape.tag == tagASReq {
		var req messages.ASReq
		if err := req.Unmarshal(request); err != nil {
			return nil, err
		}
		x.event.Exchange = "AS"
		x.realm.count(func(s *Stats) { s.AS++ })
		if err := x.begin(req.KDCReqFields); err != nil {
			return nil, err
		}
		return x.as(req)
	}
	var req messages.TGSReq
	if err := req.Unmarshal(request); err != nil {
		return nil, err
	}
	x.event.Exchange = "TGS"
	x.realm.count(func(s *Stats) { s.TGS++ })
	if err := x.begin(req.KDCReqFields); err != nil {
		return nil, err
	}
	return x.tgs(req, shape.body)
}

// begin checks what both exchanges have in common.
func (x *exchange) begin(req messages.KDCReqFields) error {
	for _, name := range []types.PrincipalName{req.ReqBody.CName, req.ReqBody.SName} {
		length := len(req.ReqBody.Realm)
		for _, component := range name.NameString {
			length += len(component)
		}
		if len(name.NameString) > maxComponents || length > maxNameLength {
			return refuse(errorcode.KRB_ERR_FIELD_TOOLONG, "NAME_TOO_LONG")
		}
	}
	x.service = req.ReqBody.SName
	if x.event.Exchange == "AS" {
		x.client, x.crealm = req.ReqBody.CName, req.ReqBody.Realm
	}
	if x.faults.ErrorCode != 0 {
		return refuse(x.faults.ErrorCode, "ORDERED_BY_TEST")
	}
	if len(req.ReqBody.SName.NameString) == 0 {
		return refuse(errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, "NULL_SERVER")
	}
	return nil
}

// krbError encodes RFC 4120, section 5.9.1.
func (x *exchange) krbError(refused *refusal) []byte {
	msg := messages.KRBError{
		PVNO:      5,
		MsgType:   30,
		STime:     x.now,
		Susec:     x.now.Nanosecond() / 1000,
		ErrorCode: refused.code,
		Realm:     x.realm.config.Name,
		SName:     x.service,
		EText:     refused.text,
		EData:     refused.data,
	}
	if len(x.client.NameString) > 0 {
		msg.CRealm, msg.CName = x.crealm, x.client
	}
	if len(msg.SName.NameString) == 0 {
		msg.SName = x.realm.tgsName()
	}
	b, err := msg.Marshal()
	if err != nil {
		return nil
	}
	return b
}

// tooLong is the reply to a record that is too long to be read: RFC 4120,
// section 7.2.2.
func (r *Realm) tooLong() []byte {
	x := &exchange{realm: r, now: r.now()}
	return x.krbError(&refusal{code: errorcode.KRB_ERR_FIELD_TOOLONG, text: "FIELD_TOOLONG"})
}

// flagSet reports on a bit of KDCOptions or TicketFlags, however short.
func flagSet(bits asn1.BitString, flag int) bool { return bits.At(flag) == 1 }

package gsstest

import (
	"errors"
	"slices"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// as carries out RFC 4120, section 3.1.3.
func (x *exchange) as(req messages.ASReq) ([]byte, error) {
	body := req.ReqBody
	if len(body.CName.NameString) == 0 {
		return nil, refuse(errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, "NULL_CLIENT")
	}
	client := x.realm.lookup(body.CName, body.Realm, x.faults)
	if client == nil {
		return nil, refuse(errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, "CLIENT_NOT_FOUND")
	}
	server := x.realm.lookup(body.SName, body.Realm, x.faults)
	if server == nil {
		return nil, refuse(errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, "SERVER_NOT_FOUND")
	}
	replyKey, ok := firstCommonKey(body.EType, client)
	if !ok {
		return nil, refuse(errorcode.KDC_ERR_ETYPE_NOSUPP, "CANT_FIND_CLIENT_KEY")
	}
	hints, err := etypeInfo2(body.EType, client, x.realm.config.Name)
	if err != nil {
		return nil, err
	}
	if err := x.preauthenticate(req.PAData, client, hints); err != nil {
		return nil, err
	}
	part, err := x.initialTicket(body, server)
	if err != nil {
		return nil, err
	}
	ticket, err := x.sealFor(server, body.SName, part)
	if err != nil {
		return nil, err
	}
	enc, err := replyPart(part, body, x.realm.config.Name, replyKey, keyusage.AS_REP_ENCPART)
	if err != nil {
		return nil, err
	}
	reply := messages.ASRep{KDCRepFields: messages.KDCRepFields{
		PVNO:    5,
		MsgType: 11,
		PAData:  []types.PAData{hints},
		CRealm:  x.realm.config.Name,
		CName:   body.CName,
		Ticket:  ticket,
		EncPart: enc,
	}}
	return reply.Marshal()
}

// firstCommonKey follows the client's preference, RFC 4120, section 3.1.3.
func firstCommonKey(wanted []int32, p *principal) (storedKey, bool) {
	for _, enctype := range wanted {
		if key, ok := p.key(enctype); ok {
			return key, true
		}
	}
	return storedKey{}, false
}

// etypeInfo2 tells the client the salt for each of its encryption types that
// the principal has a key of: RFC 4120, section 5.2.7.5. String-to-key
// parameters are the default ones, and so left out.
func etypeInfo2(wanted []int32, p *principal, realm string) (types.PAData, error) {
	var info types.ETypeInfo2
	var done []int32
	for _, enctype := range wanted {
		if _, ok := p.key(enctype); ok && !slices.Contains(done, enctype) {
			info = append(info, types.ETypeInfo2Entry{EType: enctype, Salt: p.name.GetSalt(realm)})
			done = append(done, enctype)
		}
	}
	b, err := asn1.Marshal(info)
	return types.PAData{PADataType: patype.PA_ETYPE_INFO2, PADataValue: b}, err
}

// preauthenticate demands an encrypted timestamp: RFC 4120, section 5.2.7.2.
// Other pre-authentication types are ignored.
func (x *exchange) preauthenticate(offered types.PADataSequence, client *principal, hints types.PAData) error {
	methods, err := asn1.Marshal([]types.PAData{hints, {PADataType: patype.PA_ENC_TIMESTAMP}})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(offered, func(pa types.PAData) bool { return pa.PADataType == patype.PA_ENC_TIMESTAMP })
	if i < 0 {
		return &refusal{code: errorcode.KDC_ERR_PREAUTH_REQUIRED, text: "NEEDED_PREAUTH", data: methods}
	}
	failed := func(cause error) error {
		return &refusal{code: errorcode.KDC_ERR_PREAUTH_FAILED, text: "PREAUTH_FAILED", data: methods, cause: cause}
	}
	var enc types.EncryptedData
	if err := enc.Unmarshal(offered[i].PADataValue); err != nil {
		return failed(err)
	}
	key, ok := client.key(enc.EType)
	if !ok {
		return failed(errNoKey)
	}
	b, err := decrypt(enc, key.wire(), keyusage.AS_REQ_PA_ENC_TIMESTAMP)
	if err != nil {
		return failed(err)
	}
	var stamp types.PAEncTSEnc
	if err := stamp.Unmarshal(b); err != nil {
		return failed(err)
	}
	if x.now.Sub(stamp.PATimestamp).Abs() > clockSkew {
		return refuseBecause(errorcode.KRB_AP_ERR_SKEW, "PREAUTH_FAILED", errors.New("clock skew too great"))
	}
	return nil
}

// initialTicket decides on options, times and session key of an initial ticket.
func (x *exchange) initialTicket(body messages.KDCReqBody, server *principal) (messages.EncTicketPart, error) {
	part := messages.EncTicketPart{
		CRealm:    x.realm.config.Name,
		CName:     body.CName,
		Transited: transited(nil),
		AuthTime:  kerberosTime(x.now),
		CAddr:     body.Addresses,
	}
	for _, option := range []int{flags.Forwarded, flags.Proxy, flags.PostDated, flags.EncTktInSkey, flags.Renew, flags.Validate} {
		if flagSet(body.KDCOptions, option) {
			return part, refuse(errorcode.KDC_ERR_BADOPTION, "BAD_OPTION")
		}
	}
	granted := Initial | PreAuthent
	if flagSet(body.KDCOptions, flags.Forwardable) {
		granted |= Forwardable
	}
	if flagSet(body.KDCOptions, flags.Proxiable) {
		granted |= Proxiable
	}
	if err := x.setTimes(&part, &granted, body); err != nil {
		return part, err
	}
	part.Flags = granted.bits()
	return part, x.setSessionKey(&part, body.EType, server)
}

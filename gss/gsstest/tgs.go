package gsstest

import (
	"errors"
	"net"
	"slices"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// tgs carries out RFC 4120, section 3.3.3. Body is the KDC-REQ-BODY as sent,
// which the authenticator's checksum covers.
func (x *exchange) tgs(req messages.TGSReq, body []byte) ([]byte, error) {
	tgt, auth, err := x.readAPReq(req.PAData, body)
	if err != nil {
		return nil, err
	}
	x.client, x.crealm = tgt.CName, tgt.CRealm
	server := x.realm.lookup(req.ReqBody.SName, req.ReqBody.Realm, x.faults)
	if server == nil {
		return nil, refuse(errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, "LOOKING_UP_SERVER")
	}
	part, err := x.derivedTicket(req.ReqBody, tgt, server)
	if err != nil {
		return nil, err
	}
	replyKey, usage := storedKey{Key: Key{tgt.Key.KeyType, tgt.Key.KeyValue}}, keyusage.TGS_REP_ENCPART_SESSION_KEY
	adUsage := keyusage.TGS_REQ_KDC_REQ_BODY_AUTHDATA_SESSION_KEY
	if len(auth.SubKey.KeyValue) > 0 {
		replyKey.Key = Key{auth.SubKey.KeyType, auth.SubKey.KeyValue}
		usage = keyusage.TGS_REP_ENCPART_AUTHENTICATOR_SUB_KEY
		adUsage = keyusage.TGS_REQ_KDC_REQ_BODY_AUTHDATA_SUB_KEY
	}
	if len(req.ReqBody.EncAuthData.Cipher) > 0 {
		added, err := readAuthorizationData(req.ReqBody.EncAuthData, replyKey.wire(), uint32(adUsage))
		if err != nil {
			return nil, refuseBecause(errorcode.KRB_AP_ERR_BAD_INTEGRITY, "AUTH_DATA", err)
		}
		part.AuthorizationData = slices.Concat(added, part.AuthorizationData)
	}
	ticket, err := x.sealFor(server, req.ReqBody.SName, part)
	if err != nil {
		return nil, err
	}
	enc, err := replyPart(part, req.ReqBody, x.realm.config.Name, replyKey, uint32(usage))
	if err != nil {
		return nil, err
	}
	reply := messages.TGSRep{KDCRepFields: messages.KDCRepFields{
		PVNO:    5,
		MsgType: 13,
		CRealm:  part.CRealm,
		CName:   part.CName,
		Ticket:  ticket,
		EncPart: enc,
	}}
	return reply.Marshal()
}

// readAPReq verifies the AP-REQ in PA-TGS-REQ: ticket, authenticator and the
// checksum over the body. Replays are not looked for.
func (x *exchange) readAPReq(offered types.PADataSequence, body []byte) (messages.EncTicketPart, types.Authenticator, error) {
	var none messages.EncTicketPart
	fail := func(code int32, text string, cause error) (messages.EncTicketPart, types.Authenticator, error) {
		return none, types.Authenticator{}, refuseBecause(code, text, cause)
	}
	i := slices.IndexFunc(offered, func(pa types.PAData) bool { return pa.PADataType == patype.PA_TGS_REQ })
	if i < 0 {
		return fail(errorcode.KDC_ERR_PADATA_TYPE_NOSUPP, "PROCESS_TGS", errors.New("no PA-TGS-REQ"))
	}
	var req messages.APReq
	if err := req.Unmarshal(offered[i].PADataValue); err != nil {
		return fail(errorcode.KRB_AP_ERR_MSG_TYPE, "PROCESS_TGS", err)
	}
	tgt, err := x.realm.open(req.Ticket)
	switch {
	case errors.Is(err, errNotOurs):
		return fail(errorcode.KRB_AP_ERR_NOT_US, "PROCESS_TGS", err)
	case errors.Is(err, errNoKey):
		return fail(errorcode.KRB_AP_ERR_BADKEYVER, "PROCESS_TGS", err)
	case err != nil:
		return fail(errorcode.KRB_AP_ERR_BAD_INTEGRITY, "PROCESS_TGS", err)
	}
	b, err := decrypt(req.EncryptedAuthenticator, tgt.Key, keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR)
	if err != nil {
		return fail(errorcode.KRB_AP_ERR_BAD_INTEGRITY, "PROCESS_TGS", err)
	}
	var auth types.Authenticator
	if err := auth.Unmarshal(b); err != nil {
		return fail(errorcode.KRB_AP_ERR_MODIFIED, "PROCESS_TGS", err)
	}
	if !auth.CName.Equal(tgt.CName) || auth.CRealm != tgt.CRealm {
		return fail(errorcode.KRB_AP_ERR_BADMATCH, "PROCESS_TGS", errors.New("ticket and authenticator name different clients"))
	}
	if len(auth.SubKey.KeyValue) > 0 {
		if err := checkKey(auth.SubKey); err != nil {
			return fail(errorcode.KDC_ERR_ETYPE_NOSUPP, "PROCESS_TGS", err)
		}
	}
	et, err := crypto.GetEtype(tgt.Key.KeyType)
	if err != nil {
		return fail(errorcode.KDC_ERR_ETYPE_NOSUPP, "PROCESS_TGS", err)
	}
	if auth.Cksum.CksumType != et.GetHashID() {
		return fail(errorcode.KRB_AP_ERR_INAPP_CKSUM, "PROCESS_TGS", errors.New("checksum type does not belong to the session key"))
	}
	if !et.VerifyChecksum(tgt.Key.KeyValue, body, auth.Cksum.Checksum, keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR_CHKSUM) {
		return fail(errorcode.KRB_AP_ERR_MODIFIED, "PROCESS_TGS", errors.New("checksum does not cover this body"))
	}
	if x.now.Sub(auth.CTime).Abs() > clockSkew {
		return fail(errorcode.KRB_AP_ERR_SKEW, "PROCESS_TGS", errors.New("clock skew too great"))
	}
	start := tgt.StartTime
	if start.IsZero() {
		start = tgt.AuthTime
	}
	if flagSet(tgt.Flags, flags.Invalid) || start.Sub(x.now) > clockSkew {
		return fail(errorcode.KRB_AP_ERR_TKT_NYV, "PROCESS_TGS", errors.New("ticket not yet valid"))
	}
	if x.now.Sub(tgt.EndTime) > clockSkew {
		return fail(errorcode.KRB_AP_ERR_TKT_EXPIRED, "PROCESS_TGS", errors.New("ticket expired"))
	}
	if len(tgt.CAddr) > 0 && !tgt.CAddr.Contains(hostAddress(x.event.Peer)) {
		return fail(errorcode.KRB_AP_ERR_BADADDR, "PROCESS_TGS", errors.New("ticket is for another address"))
	}
	return tgt, auth, nil
}

// derivedTicket decides what of the ticket-granting ticket and of the request
// goes into the new ticket.
func (x *exchange) derivedTicket(body messages.KDCReqBody, tgt messages.EncTicketPart, server *principal) (messages.EncTicketPart, error) {
	part := messages.EncTicketPart{
		CRealm:            tgt.CRealm,
		CName:             tgt.CName,
		Transited:         tgt.Transited,
		AuthTime:          tgt.AuthTime,
		CAddr:             tgt.CAddr,
		AuthorizationData: tgt.AuthorizationData,
	}
	for _, option := range []int{flags.PostDated, flags.EncTktInSkey, flags.Validate} {
		if flagSet(body.KDCOptions, option) {
			return part, refuse(errorcode.KDC_ERR_BADOPTION, "BAD_OPTION")
		}
	}
	held := flagsOf(tgt.Flags)
	granted := held&(PreAuthent|HWAuthent|Forwarded|Proxy) | TransitedPolicyChecked
	for _, o := range []struct {
		option         int
		needed, grants TicketFlags
		text           string
		readdressed    bool
	}{
		{flags.Forwardable, Forwardable, Forwardable, "TGT NOT FORWARDABLE", false},
		{flags.Forwarded, Forwardable, Forwarded, "TGT NOT FORWARDABLE", true},
		{flags.Proxiable, Proxiable, Proxiable, "TGT NOT PROXIABLE", false},
		{flags.Proxy, Proxiable, Proxy, "TGT NOT PROXIABLE", true},
		{flags.Renewable, Renewable, 0, "TGT NOT RENEWABLE", false}, // granted by setTimes
		{flags.Renew, Renewable, 0, "TGT NOT RENEWABLE", false},
	} {
		if !flagSet(body.KDCOptions, o.option) {
			continue
		}
		if held&o.needed == 0 {
			return part, refuse(errorcode.KDC_ERR_BADOPTION, o.text)
		}
		granted |= o.grants
		if o.readdressed {
			part.CAddr = body.Addresses
		}
	}
	var err error
	if flagSet(body.KDCOptions, flags.Renew) {
		granted |= held & (Forwardable | Proxiable)
		err = x.renewTimes(&part, &granted, body, tgt)
	} else if err = x.setTimes(&part, &granted, body); err == nil {
		part.EndTime = earlier(part.EndTime, tgt.EndTime)
		if !part.EndTime.After(part.StartTime) { // within the skew only
			return part, refuse(errorcode.KRB_AP_ERR_TKT_EXPIRED, "TKT_EXPIRED")
		}
		if !tgt.RenewTill.IsZero() && !part.RenewTill.IsZero() {
			part.RenewTill = earlier(part.RenewTill, tgt.RenewTill)
		}
		if !flagSet(body.KDCOptions, flags.Renewable) {
			granted &^= Renewable
			part.RenewTill = time.Time{}
		}
	}
	if err != nil {
		return part, err
	}
	part.Flags = granted.bits()
	return part, x.setSessionKey(&part, body.EType, server)
}

// setTimes grants what was asked for within the realm's bounds.
func (x *exchange) setTimes(part *messages.EncTicketPart, granted *TicketFlags, body messages.KDCReqBody) error {
	if body.From.Sub(x.now) > clockSkew {
		return refuse(errorcode.KDC_ERR_CANNOT_POSTDATE, "CANT_POSTDATE")
	}
	part.StartTime = kerberosTime(x.now)
	end := part.StartTime.Add(x.realm.config.MaxLifetime)
	if x.faults.MaxLifetime > 0 {
		end = earlier(end, part.StartTime.Add(x.faults.MaxLifetime))
	}
	part.EndTime = kerberosTime(earlier(end, unlimited(body.Till)))
	if !part.EndTime.After(part.StartTime) {
		return refuse(errorcode.KDC_ERR_NEVER_VALID, "REQUESTED_ENDTIME_IN_PAST")
	}
	until := time.Time{}
	switch {
	case flagSet(body.KDCOptions, flags.Renewable):
		until = unlimited(body.RTime)
	case flagSet(body.KDCOptions, flags.RenewableOK) && part.EndTime.Before(unlimited(body.Till)):
		until = unlimited(body.Till)
	default:
		return nil
	}
	*granted |= Renewable
	part.RenewTill = kerberosTime(earlier(until, part.StartTime.Add(x.realm.config.MaxRenewable)))
	return nil
}

// renewTimes gives a ticket another life of the same length.
func (x *exchange) renewTimes(part *messages.EncTicketPart, granted *TicketFlags, body messages.KDCReqBody, tgt messages.EncTicketPart) error {
	if !body.SName.Equal(x.realm.tgsName()) {
		return refuse(errorcode.KDC_ERR_SERVER_NOMATCH, "SERVER_NOMATCH")
	}
	if !x.now.Before(tgt.RenewTill) {
		return refuse(errorcode.KRB_AP_ERR_TKT_EXPIRED, "TKT_EXPIRED")
	}
	*granted |= Renewable
	start := tgt.StartTime
	if start.IsZero() {
		start = tgt.AuthTime
	}
	part.StartTime = kerberosTime(x.now)
	part.EndTime = earlier(tgt.RenewTill, part.StartTime.Add(tgt.EndTime.Sub(start)))
	part.RenewTill = tgt.RenewTill
	return nil
}

// setSessionKey makes a key of the first type on the client's list that the
// service has a key of too.
func (x *exchange) setSessionKey(part *messages.EncTicketPart, wanted []int32, server *principal) error {
	like, ok := firstCommonKey(wanted, server)
	if !ok {
		return refuse(errorcode.KDC_ERR_ETYPE_NOSUPP, "BAD_ENCRYPTION_TYPE")
	}
	key, err := NewKey(like.Enctype)
	part.Key = key.wire()
	return err
}

// sealFor encrypts a ticket in the service's preferred key, under the name that
// the client asked for.
func (x *exchange) sealFor(server *principal, name types.PrincipalName, part messages.EncTicketPart) (messages.Ticket, error) {
	key, _ := server.key(server.enctypes[0])
	if x.faults.WrongKey && !server.name.Equal(x.realm.tgsName()) {
		wrong, err := NewKey(key.Enctype)
		if err != nil {
			return messages.Ticket{}, err
		}
		key.Key = wrong
	}
	return seal(part, name, x.realm.config.Name, key)
}

// replyPart encrypts EncKDCRepPart of RFC 4120, section 5.4.2. A key without a
// version (kvno 0) goes unnumbered.
func replyPart(part messages.EncTicketPart, body messages.KDCReqBody, srealm string, key storedKey, usage uint32) (types.EncryptedData, error) {
	rep := messages.EncKDCRepPart{
		Key:       part.Key,
		LastReqs:  []messages.LastReq{{LRType: 0, LRValue: part.StartTime}},
		Nonce:     body.Nonce,
		Flags:     part.Flags,
		AuthTime:  part.AuthTime,
		StartTime: part.StartTime,
		EndTime:   part.EndTime,
		RenewTill: part.RenewTill,
		SRealm:    srealm,
		SName:     body.SName,
		CAddr:     part.CAddr,
	}
	b, err := asn1.Marshal(rep)
	if err != nil {
		return types.EncryptedData{}, err
	}
	tag := asnAppTag.EncTGSRepPart
	if usage == keyusage.AS_REP_ENCPART {
		tag = asnAppTag.EncASRepPart
	}
	return crypto.GetEncryptedData(asn1tools.AddASNAppTag(b, tag), key.wire(), usage, key.kvno)
}

func readAuthorizationData(enc types.EncryptedData, key types.EncryptionKey, usage uint32) (types.AuthorizationData, error) {
	b, err := decrypt(enc, key, usage)
	if err != nil {
		return nil, err
	}
	var data types.AuthorizationData
	return data, data.Unmarshal(b)
}

func hostAddress(peer net.Addr) types.HostAddress {
	switch addr := peer.(type) {
	case *net.UDPAddr:
		return types.HostAddressFromNetIP(addr.IP)
	case *net.TCPAddr:
		return types.HostAddressFromNetIP(addr.IP)
	}
	return types.HostAddress{}
}

// unlimited reads a requested time: none and the epoch ask for as long as the
// KDC allows, RFC 4120, section 5.4.1.
func unlimited(t time.Time) time.Time {
	if t.IsZero() || t.Unix() == 0 {
		return time.Unix(1<<31-1, 0)
	}
	return t
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

package krb5

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
	"github.com/countersign-go/countersign/gss/krb5/internal/rcache"
)

// Key usages of the AP exchange (RFC 4120, section 7.5.1).
const (
	usageAuthenticator = 11
	usageAPRepPart     = 12
)

// acceptHandshake is the acceptor's side: AP-REQ in, AP-REP out. Its steps
// follow RFC 4120, section 3.2.3, and RFC 4121, section 4.1.
type acceptHandshake struct {
	acceptor *Acceptor
	bindings *gss.ChannelBindings
	mech     gss.OID // MechKrb5, or MechIAKERB

	// conversation is what went before by IAKERB, which the initiator must show
	// to have seen alike; nil when nothing did.
	conversation []byte

	now        time.Time
	req        kmsg.APReq
	key        *serviceKey
	secrets    *secretRoom // of ticket and auth, while they are needed; nil before
	ticket     kmsg.EncTicketPart
	session    *etype.Profile // of the ticket's session key
	sessionKey etype.BaseKey
	auth       kmsg.Authenticator
	flags      gss.Flags

	delegation []byte // the KRB-CRED in the checksum
	delegated  *Credential
	attributes *ticketAttributes
	dce        bool        // tokens are not framed, and a third one is due
	seq        uint32      // this end's first sequence number
	awaiting   *protection // what the third token of DCE style establishes
}

func (h *acceptHandshake) step(token []byte) (reply []byte, prot *protection, err error) {
	h.now = h.acceptor.now()
	if h.awaiting != nil {
		if err := h.readThirdLeg(token); err != nil {
			return h.errorToken(err), nil, err
		}
		prot, h.awaiting = h.awaiting, nil
		return nil, prot, nil
	}
	for _, step := range []func() error{
		func() error { return h.readAPReq(token) },
		h.decryptTicket,
		h.decryptAuthenticator,
		h.checkNames,
		h.checkTimes,
		h.checkAddress,
		h.checkTransited,
		h.checkChecksum,
		h.checkReplay,
		h.takeDelegated,
		h.takeAttributes,
	} {
		if err := step(); err != nil {
			return h.errorToken(err), nil, err
		}
	}
	reply, prot, err = h.buildAPRep()
	if err != nil {
		return h.errorToken(err), nil, err
	}
	if h.dce {
		h.awaiting, prot = prot, nil
	}
	return reply, prot, nil
}

func (h *acceptHandshake) readAPReq(token []byte) error {
	id, message, err := uint16(tokAPReq), token, error(nil)
	if h.dce = len(token) > 0 && token[0] == tagAPReq; !h.dce {
		id, message, err = unframeToken(h.mech, token)
	}
	if err != nil {
		return err
	}
	if id != tokAPReq {
		return defective(fmt.Errorf("token identifier %04x where an AP-REQ (0100) is due", id))
	}
	if h.req, err = kmsg.ParseAPReq(message); err != nil {
		return defective(err)
	}
	if len(h.req.Ticket.SName.Components) == 0 {
		return defective(errors.New("the ticket names no service"))
	}
	if h.req.Options&kmsg.APUseSessionKey != 0 {
		return &gss.Error{Major: gss.ErrUnavailable, Mech: gss.MechKrb5, Err: errors.New("user-to-user authentication is not supported")}
	}
	return nil
}

func (h *acceptHandshake) decryptTicket() error {
	h.secrets = takeSecretRoom(len(h.req.Ticket.EncPart.Cipher) + len(h.req.Authenticator.Cipher) + apRepRoom)
	plain, key, err := h.acceptor.decryptTicket(h.secrets, &h.req.Ticket)
	if err != nil {
		return err
	}
	if h.ticket, err = kmsg.ParseEncTicketPart(plain); err != nil {
		return defective(err)
	}
	h.key = key
	if err := h.acceptor.permit(h.ticket.Key.Type, "session key"); err != nil {
		return err
	}
	h.session, err = etype.Lookup(etype.ID(h.ticket.Key.Type))
	if err != nil {
		return failure(err)
	}
	return nil
}

func (h *acceptHandshake) decryptAuthenticator() error {
	enc := &h.req.Authenticator
	if enc.Etype != h.ticket.Key.Type {
		return defective(fmt.Errorf("the authenticator is of %s, the session key of %s", etype.ID(enc.Etype), h.session.ID()))
	}
	if err := h.sessionKey.Set(h.session, h.ticket.Key.Value); err != nil {
		return defective(err)
	}
	plain, err := h.secrets.add(func(dst []byte) ([]byte, error) {
		return h.sessionKey.Open(dst, enc.Cipher, usageAuthenticator)
	})
	if err != nil {
		return protocolError(gss.ErrFailure, kmsg.APErrBadIntegrity, errors.New("the authenticator is not sealed by the ticket's session key"))
	}
	if h.auth, err = kmsg.ParseAuthenticator(plain); err != nil {
		return defective(err)
	}
	if sub := h.auth.SubKey; sub != nil {
		return h.acceptor.permit(sub.Type, "subkey")
	}
	return nil
}

// checkNames compares name and realm. Only the ticket's are the KDC's word.
func (h *acceptHandshake) checkNames() error {
	if len(h.ticket.CName.Components) == 0 {
		return defective(errors.New("the ticket names no client"))
	}
	if h.ticket.CRealm != h.auth.CRealm || !h.ticket.CName.Equal(h.auth.CName) {
		return protocolError(gss.ErrFailure, kmsg.APErrBadMatch, fmt.Errorf("the ticket is of %q, the authenticator of %q",
			claimedName(h.ticket.CName, h.ticket.CRealm), claimedName(h.auth.CName, h.auth.CRealm)))
	}
	return nil
}

func (h *acceptHandshake) clientTime() time.Time {
	return h.auth.CTime.Add(time.Duration(h.auth.CUsec) * time.Microsecond)
}

func (h *acceptHandshake) checkTimes() error {
	skew := h.acceptor.skew
	if diff := h.clientTime().Sub(h.now); diff > skew || diff < -skew {
		return protocolError(gss.ErrFailure, kmsg.APErrSkew,
			fmt.Errorf("the client's clock differs by %s, more than %s", diff.Round(time.Second), skew))
	}
	start := h.ticket.StartTime
	if start.IsZero() {
		start = h.ticket.AuthTime
	}
	if h.ticket.Flags&kmsg.TicketInvalid != 0 {
		return protocolError(gss.ErrFailure, kmsg.APErrTktNYV, errors.New("the ticket is marked invalid"))
	}
	if start.Sub(h.now) > skew {
		return protocolError(gss.ErrFailure, kmsg.APErrTktNYV, fmt.Errorf("it starts at %s", start.UTC().Format(time.RFC3339)))
	}
	if h.now.Sub(h.ticket.EndTime) > skew {
		return protocolError(gss.ErrCredentialsExpired, kmsg.APErrTktExpired, fmt.Errorf("it ended at %s", h.ticket.EndTime.UTC().Format(time.RFC3339)))
	}
	return nil
}

// Address types (RFC 4120, section 7.5.3), which are those of RFC 2744 too.
const (
	addressIPv4 = 2
	addressIPv6 = 24
)

// checkAddress holds a ticket that is bound to addresses against the client's
// address, where the channel bindings tell it. Without it the ticket is
// accepted, as by MIT's library: tickets are hardly ever bound.
func (h *acceptHandshake) checkAddress() error {
	cb := h.bindings
	if len(h.ticket.CAddr) == 0 || cb == nil || cb.InitiatorAddressType != addressIPv4 && cb.InitiatorAddressType != addressIPv6 {
		return nil
	}
	from, _ := netip.AddrFromSlice(cb.InitiatorAddress)
	if slices.ContainsFunc(h.ticket.CAddr, func(a kmsg.HostAddress) bool {
		bound, ok := netip.AddrFromSlice(a.Address)
		return ok && (a.Type == addressIPv4 || a.Type == addressIPv6) && bound.Unmap() == from.Unmap()
	}) {
		return nil
	}
	return protocolError(gss.ErrFailure, kmsg.APErrBadAddr, fmt.Errorf("the ticket is not for %s", from))
}

// acceptedFlags are the initiator's wishes that come true as they are,
// alwaysFlags what every context of this mechanism has.
const (
	acceptedFlags = gss.Mutual | gss.ReplayDetection | gss.Sequencing | gss.DCEStyle
	alwaysFlags   = gss.Confidentiality | gss.Integrity | gss.ProtReady | gss.Transferable
)

func (h *acceptHandshake) checkChecksum() error {
	sum, err := parseGSSChecksum(h.auth.Checksum)
	if err != nil {
		return protocolError(gss.ErrDefectiveToken, kmsg.APErrInappCksum, err)
	}
	if h.dce && sum.flags&(gss.DCEStyle|gss.Mutual) != gss.DCEStyle|gss.Mutual {
		return defective(errNotFramed)
	}
	if err := h.checkFinished(sum.extensions); err != nil {
		return err
	}
	h.dce = sum.flags&gss.DCEStyle != 0
	h.delegation = slices.Clone(sum.delegation) // its tickets are kept
	h.flags = sum.flags&acceptedFlags | alwaysFlags
	bound, err := h.acceptor.checkBindings(sum.bindings, h.bindings, assertsBindings(h.auth.AuthorizationData))
	if err != nil {
		return err
	}
	if bound {
		h.flags |= gss.ChannelBound
	}
	if h.ticket.Flags&kmsg.TicketAnonymous != 0 {
		h.flags |= gss.Anonymous // RFC 8062: whoever it is, the KDC does not say
	}
	return nil
}

// checkReplay comes after every other check, so that only what is otherwise
// acceptable takes room in the cache. The tag is the authenticator's MAC: it
// differs for every authenticator, and nobody without the session key can
// make another for the same one.
func (h *acceptHandshake) checkReplay() error {
	c := h.req.Authenticator.Cipher
	tag := c[len(c)-h.session.MACSize():]
	switch err := h.acceptor.replays.cache.Store(tag, h.clientTime()); {
	case err == nil:
		return nil
	case errors.Is(err, rcache.ErrReplay):
		return protocolError(gss.ErrDuplicateToken, kmsg.APErrRepeat, nil)
	default:
		return replayCacheError(err)
	}
}

// buildAPRep settles the keys and, for mutual authentication, answers with a
// subkey and a sequence number of its own.
func (h *acceptHandshake) buildAPRep() ([]byte, *protection, error) {
	base := &h.ticket.Key
	if h.auth.SubKey != nil {
		base = h.auth.SubKey
	}
	profile, err := etype.Lookup(etype.ID(base.Type))
	if err != nil {
		return nil, nil, failure(err)
	}
	if len(base.Value) != profile.KeySize() {
		return nil, nil, defective(errKeyLength)
	}
	n := profile.KeySize()
	room := make([]byte, 2*n+seqNumberSize) // one after the other: subkeys of both sides, sequence number
	initiators, own, number := room[:n:n], room[n:2*n:2*n], room[2*n:]
	copy(initiators, base.Value)
	cfg := protectionConfig{
		flags:   h.flags,
		profile: profile,
		partial: kmsg.EncryptionKey{Type: base.Type, Value: initiators},
		recvSeq: uint64(h.auth.SeqNumber),
	}
	if h.flags&gss.Mutual == 0 {
		copy(own, base.Value)
		cfg.key, cfg.sendSeq = own, cfg.recvSeq
		return nil, newProtection(cfg), nil
	}
	if _, err := io.ReadFull(h.acceptor.random, room[n:]); err != nil {
		return nil, nil, failure(fmt.Errorf("no random bytes for a key: %w", err))
	}
	h.seq = seqNumber(number)
	cfg.key, cfg.acceptorSubkey, cfg.sendSeq = own, true, uint64(h.seq)
	der, err := sealAPRep(h.secrets, &kmsg.EncAPRepPart{
		CTime:        h.auth.CTime,
		CUsec:        h.auth.CUsec,
		SubKey:       &kmsg.EncryptionKey{Type: int32(profile.ID()), Value: own},
		SeqNumber:    h.seq,
		HasSeqNumber: true,
	}, &h.sessionKey, h.session.ID(), h.acceptor.random)
	if err != nil {
		return nil, nil, err
	}
	if h.dce {
		return bytes.Clone(der), newProtection(cfg), nil
	}
	return frameToken(h.mech, tokAPRep, der), newProtection(cfg), nil
}

// readThirdLeg verifies the initiator's AP-REP of DCE style, which shows that
// it read ours: it repeats our sequence number (MS-KILE, section 3.4.5.1).
func (h *acceptHandshake) readThirdLeg(token []byte) error {
	rep, err := kmsg.ParseAPRep(token)
	if err != nil {
		return defective(err)
	}
	plain, err := openAPRep(&rep, &h.sessionKey, h.session.ID())
	if err != nil {
		return err
	}
	part, err := kmsg.ParseEncAPRepPart(plain)
	if err != nil {
		return defective(err)
	}
	if !part.HasSeqNumber || part.SeqNumber != h.seq {
		return protocolError(gss.ErrFailure, kmsg.APErrMutFail, errors.New("the third token answers another AP-REP"))
	}
	return nil
}

// maxInitialSeq keeps first sequence numbers below 2^30, as other
// implementations do for the sake of peers that read them as signed.
const maxInitialSeq = 1<<30 - 1

// seqNumberSize is how many random bytes a first sequence number is made of.
const seqNumberSize = 4

func seqNumber(random []byte) uint32 { return binary.BigEndian.Uint32(random) & maxInitialSeq }

// errorToken makes the KRB-ERROR that tells the initiator why (RFC 4121,
// section 4.1). It carries this side's time, by which a client whose clock is
// wrong can see by how much, and no text: what is in the log may not be the
// client's to know.
func (h *acceptHandshake) errorToken(err error) []byte {
	code := kmsg.ErrGeneric
	if c, ok := errors.AsType[kmsg.ErrorCode](err); ok {
		code = c
	}
	now := h.now.UTC()
	e := kmsg.KRBError{
		STime:     now.Truncate(time.Second),
		SUsec:     now.Nanosecond() / 1000,
		ErrorCode: code,
	}
	if h.key != nil { // until then nobody vouches for the service's name
		e.Realm, e.SName = h.key.realm, h.key.name
	}
	der, err := e.Append(nil)
	if err != nil {
		return nil
	}
	if h.dce {
		return der
	}
	return frameToken(h.mech, tokError, der)
}

func (h *acceptHandshake) clear() {
	h.sessionKey.Clear()
	h.secrets.giveBack()
	h.secrets = nil
	if h.awaiting != nil {
		h.awaiting.clear()
	}
}

func (h *acceptHandshake) inquire() gss.Info {
	info := gss.Info{Mechanism: h.mech, Flags: h.flags}
	if h.key != nil {
		info.Acceptor = h.key.text
	}
	// The client is nobody until the authenticator proved it.
	if h.flags != 0 {
		info.Initiator = principalName(h.ticket.CName, h.ticket.CRealm)
		info.Expires = h.ticket.EndTime
		if h.delegated != nil {
			info.Delegated = h.delegated
		}
		if h.attributes != nil {
			info.Attributes = h.attributes
		}
	}
	return info
}

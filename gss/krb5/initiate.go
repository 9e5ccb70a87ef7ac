package krb5

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// initiateHandshake is the initiator's side: AP-REQ out, AP-REP in (RFC 4120,
// sections 3.2.2 and 3.2.5; RFC 4121, section 4.1).
type initiateHandshake struct {
	initiator *Initiator
	mech      gss.OID // MechKrb5, or MechIAKERB
	ticket    *ccache.Credential
	session   *etype.Profile // of the ticket's session key
	reply     *etype.Cipher  // of AP-REPs, under that key
	names     gss.Info       // what inquire tells of the ticket
	offset    time.Duration  // of the KDC's clock to ours
	bindings  *gss.ChannelBindings
	flags     gss.Flags

	delegation []byte // KRB-CRED to put into the checksum

	// conversation is what went before by IAKERB; nil when nothing did.
	conversation []byte

	begun  bool
	ctime  time.Time // of the authenticator, to the second
	cusec  int
	subkey []byte
	seq    uint32
}

func (h *initiateHandshake) step(token []byte) (reply []byte, prot *protection, err error) {
	if h.begun {
		return h.readReply(token)
	}
	if len(token) > 0 {
		return nil, nil, defective(errors.New("a token where the initiator speaks first"))
	}
	h.begun = true
	if reply, err = h.buildAPReq(); err != nil {
		return nil, nil, err
	}
	if h.flags&gss.Mutual != 0 {
		return reply, nil, nil
	}
	return reply, newProtection(protectionConfig{
		initiator: true,
		flags:     h.flags,
		profile:   h.session,
		key:       slices.Clone(h.subkey),
		partial:   h.partialKey(),
		sendSeq:   uint64(h.seq),
		recvSeq:   uint64(h.seq),
	}), nil
}

// partialKey hands the subkey over to the protection to be.
func (h *initiateHandshake) partialKey() kmsg.EncryptionKey {
	key := kmsg.EncryptionKey{Type: h.ticket.KeyType, Value: h.subkey}
	h.subkey = nil
	return key
}

// buildAPReq presents the ticket with a fresh subkey and sequence number.
func (h *initiateHandshake) buildAPReq() ([]byte, error) {
	random := h.initiator.random
	var err error
	if h.subkey, err = h.session.RandomKey(random); err != nil {
		return nil, failure(err)
	}
	if h.seq, err = randomSeqNumber(random); err != nil {
		return nil, failure(err)
	}
	now := h.initiator.now().Add(h.offset).UTC()
	h.ctime, h.cusec = now.Truncate(time.Second), now.Nanosecond()/1000
	bindings, err := hashBindings(h.bindings)
	if err != nil {
		return nil, err
	}
	sum := gssChecksum{bindings: bindings, flags: h.flags &^ gss.ProtReady, delegation: h.delegation}
	if sum.extensions, err = h.finished(); err != nil {
		return nil, err
	}
	auth := kmsg.Authenticator{
		CRealm:       h.ticket.Client.Realm,
		CName:        kmsg.PrincipalName{Type: h.ticket.Client.NameType, Components: h.ticket.Client.Components},
		Checksum:     &kmsg.Checksum{Type: checksumTypeGSS, Value: sum.marshal()},
		CTime:        h.ctime,
		CUsec:        h.cusec,
		SubKey:       &kmsg.EncryptionKey{Type: h.ticket.KeyType, Value: h.subkey},
		SeqNumber:    h.seq,
		HasSeqNumber: true,
	}
	if h.bindings != nil || h.initiator.assertBindings {
		auth.AuthorizationData = channelBindingsOption
	}
	plain, err := auth.Append(nil)
	if err != nil {
		return nil, failure(err)
	}
	var cipher *etype.Cipher
	cipher, h.reply, err = h.session.NewCiphers(h.ticket.Key, usageAuthenticator, usageAPRepPart)
	if err != nil {
		return nil, failure(err)
	}
	sealed, err := cipher.Seal(nil, plain, random)
	if err != nil {
		return nil, failure(err)
	}
	clear(plain) // it held the subkey
	req := kmsg.APReq{
		RawTicket:     h.ticket.Ticket,
		Authenticator: kmsg.EncryptedData{Etype: h.ticket.KeyType, Cipher: sealed},
	}
	if h.flags&gss.Mutual != 0 {
		req.Options |= kmsg.APMutualRequired
	}
	der, err := req.Append(nil)
	if err != nil {
		return nil, failure(err)
	}
	if h.flags&gss.DCEStyle != 0 {
		return der, nil
	}
	return frameToken(h.mech, tokAPReq, der), nil
}

// readReply verifies the AP-REP, or tells what the acceptor's KRB-ERROR says.
func (h *initiateHandshake) readReply(token []byte) (reply []byte, prot *protection, err error) {
	dce := h.flags&gss.DCEStyle != 0
	id, message := uint16(tokAPRep), token
	if !dce {
		if id, message, err = unframeToken(h.mech, token); err != nil {
			return nil, nil, err
		}
	} else if len(token) > 0 && token[0] == tagKRBError {
		id = tokError
	}
	switch id {
	case tokAPRep:
		prot, part, err := h.readAPRep(message)
		if err != nil {
			return nil, nil, err
		}
		if dce {
			if reply, err = h.buildThirdLeg(part.SeqNumber); err != nil {
				prot.clear()
				return nil, nil, err
			}
		}
		return reply, prot, nil
	case tokError:
		return nil, nil, remoteError(message, h.ctime)
	default:
		return nil, nil, defective(fmt.Errorf("token identifier %04x where an AP-REP (0200) is due", id))
	}
}

func (h *initiateHandshake) readAPRep(message []byte) (*protection, *kmsg.EncAPRepPart, error) {
	rep, err := kmsg.ParseAPRep(message)
	if err != nil {
		return nil, nil, defective(err)
	}
	plain, err := openAPRep(&rep, h.reply, h.session.ID())
	if err != nil {
		return nil, nil, err
	}
	part, err := kmsg.ParseEncAPRepPart(plain)
	if err != nil {
		return nil, nil, defective(err)
	}
	if !part.CTime.Equal(h.ctime) || part.CUsec != h.cusec {
		return nil, nil, protocolError(gss.ErrFailure, kmsg.APErrMutFail, errors.New("the AP-REP answers another AP-REQ"))
	}
	cfg := protectionConfig{
		initiator: true,
		flags:     h.flags,
		profile:   h.session,
		sendSeq:   uint64(h.seq),
		recvSeq:   uint64(part.SeqNumber),
	}
	if sub := part.SubKey; sub != nil {
		if cfg.profile, err = etype.Lookup(etype.ID(sub.Type)); err != nil {
			return nil, nil, protocolError(gss.ErrFailure, kmsg.KDCErrEtypeNoSupp, fmt.Errorf("the acceptor's subkey: %w", err))
		}
		if !slices.Contains(h.initiator.etypes, sub.Type) {
			return nil, nil, protocolError(gss.ErrFailure, kmsg.KDCErrEtypeNoSupp, fmt.Errorf("the acceptor's subkey: %w: %s", errNotPermitted, etype.ID(sub.Type)))
		}
		if len(sub.Value) != cfg.profile.KeySize() {
			return nil, nil, defective(errKeyLength)
		}
		cfg.key, cfg.acceptorSubkey = slices.Clone(sub.Value), true
	} else {
		cfg.key = slices.Clone(h.subkey)
	}
	cfg.partial = h.partialKey()
	clear(plain)
	return newProtection(cfg), &part, nil
}

// openAPRep decrypts the part of an AP-REP that the session key, of enctype id,
// seals.
func openAPRep(rep *kmsg.APRep, cipher *etype.Cipher, id etype.ID) ([]byte, error) {
	if got := etype.ID(rep.EncPart.Etype); got != id {
		return nil, defective(fmt.Errorf("the AP-REP is of %s, the session key of %s", got, id))
	}
	plain, err := cipher.Open(nil, rep.EncPart.Cipher)
	if err != nil {
		return nil, protocolError(gss.ErrFailure, kmsg.APErrMutFail, err)
	}
	return plain, nil
}

// sealAPRep makes an AP-REP of its inner part.
func sealAPRep(part *kmsg.EncAPRepPart, cipher *etype.Cipher, id etype.ID, random io.Reader) ([]byte, error) {
	const most = 192 // bytes that a part and an AP-REP take, of the enctypes here
	plain, err := part.Append(make([]byte, 0, most))
	if err != nil {
		return nil, failure(err)
	}
	sealed, err := cipher.Seal(nil, plain, random)
	if err != nil {
		return nil, failure(err)
	}
	clear(plain)
	rep := kmsg.APRep{EncPart: kmsg.EncryptedData{Etype: int32(id), Cipher: sealed}}
	return rep.Append(make([]byte, 0, most))
}

// buildThirdLeg answers the AP-REP in DCE style by one that repeats the
// acceptor's sequence number (MS-KILE, section 3.4.5.1).
func (h *initiateHandshake) buildThirdLeg(acceptorSeq uint32) ([]byte, error) {
	now := h.initiator.now().Add(h.offset).UTC()
	return sealAPRep(&kmsg.EncAPRepPart{
		CTime:        now.Truncate(time.Second),
		CUsec:        now.Nanosecond() / 1000,
		SeqNumber:    acceptorSeq,
		HasSeqNumber: true,
	}, h.reply, h.session.ID(), h.initiator.random)
}

var errKeyLength = errors.New("the subkey has the wrong length")

// remoteError is what the acceptor's KRB-ERROR says about a request of the given
// time, zero where that is not known any more. Nothing protects that message, so
// it ends the handshake and is believed no further.
func remoteError(message []byte, ctime time.Time) error {
	ke, err := kmsg.ParseKRBError(message)
	if err != nil {
		return defective(err)
	}
	e := protocolError(gss.ErrFailure, ke.ErrorCode, nil)
	e.Remote = true
	e.Err = &ke
	if ke.ErrorCode == kmsg.APErrSkew && !ctime.IsZero() {
		ahead, where := ke.STime.Sub(ctime).Round(time.Second), "ahead of"
		if ahead < 0 {
			where = "behind"
		}
		e.Err = fmt.Errorf("%w: the service's clock is %s %s this one", &ke, ahead.Abs(), where)
	}
	if ke.ErrorCode == kmsg.ErrGeneric && ke.EText == "" {
		e.Hint = "the service's log tells why"
	}
	return e
}

func (h *initiateHandshake) clear() {
	clear(h.subkey)
	if h.reply != nil {
		h.reply.Clear()
	}
}

func (h *initiateHandshake) inquire() gss.Info {
	info := h.names
	info.Mechanism, info.Flags = h.mech, h.flags
	return info
}

// ticketInfo is what a ticket tells about the context that it will establish.
func ticketInfo(c *ccache.Credential, offset time.Duration) gss.Info {
	return gss.Info{
		Initiator: principalName(kmsg.PrincipalName{Type: c.Client.NameType, Components: c.Client.Components}, c.Client.Realm),
		Acceptor:  principalName(kmsg.PrincipalName{Type: c.Server.NameType, Components: c.Server.Components}, c.Server.Realm),
		Local:     true,
		Expires:   c.EndTime.Add(-offset),
	}
}

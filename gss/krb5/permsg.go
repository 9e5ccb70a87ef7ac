package krb5

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// Key usages of per-message tokens (RFC 4121, section 2).
const (
	usageAcceptorSeal  = 22
	usageAcceptorSign  = 23
	usageInitiatorSeal = 24
	usageInitiatorSign = 25
)

// Token identifiers (RFC 4121, sections 4.1 and 4.2).
const (
	tokAPReq = 0x0100
	tokAPRep = 0x0200
	tokError = 0x0300
	tokMIC   = 0x0404
	tokWrap  = 0x0504
)

// Flags of per-message tokens (RFC 4121, section 4.2.2). Others are ignored,
// as that section demands.
const (
	flagSentByAcceptor = 0x01
	flagSealed         = 0x02
	flagAcceptorSubkey = 0x04
)

// headerSize is the length of a per-message token's header.
const headerSize = 16

// protection makes and checks the per-message tokens of an established context
// (RFC 4121, section 4.2). It may be used by many goroutines.
type protection struct {
	profile   *etype.Profile
	base      []byte             // the key that everything is derived from
	partial   kmsg.EncryptionKey // the key before the acceptor's subkey; equal to base without one
	subkey    bool               // base is the acceptor's subkey
	dce       bool               // the context is of DCE style
	sendFlags byte               // SentByAcceptor and AcceptorSubkey, as this end sends them
	recvFlags byte               // the same two as the peer must send them

	keys [2]directionKeys // by direction: sent, received

	sendSeq atomic.Uint64
	mu      sync.Mutex // guards what changes of window
	window  seqWindow
}

// The two directions of protection.keys.
const (
	sent = iota
	received
)

// directionKeys are what protects one direction. Each is derived from the base
// key when first needed: a session that only seals and signs uses three of six.
type directionKeys struct {
	sealUse uint32
	signUse uint32
	seal    atomic.Pointer[etype.Cipher]   // Wrap with confidentiality
	sealSum atomic.Pointer[etype.Checksum] // Wrap without, under the seal usage
	sign    atomic.Pointer[etype.Checksum] // MIC
}

func (p *protection) cipher(direction int) (*etype.Cipher, error) {
	d := &p.keys[direction]
	if c := d.seal.Load(); c != nil {
		return c, nil
	}
	return derive(&d.seal, p.profile.NewCipher, p.base, d.sealUse)
}

func (p *protection) wrapChecksum(direction int) (*etype.Checksum, error) {
	d := &p.keys[direction]
	if c := d.sealSum.Load(); c != nil {
		return c, nil
	}
	return derive(&d.sealSum, p.profile.NewChecksum, p.base, d.sealUse)
}

func (p *protection) micChecksum(direction int) (*etype.Checksum, error) {
	d := &p.keys[direction]
	if c := d.sign.Load(); c != nil {
		return c, nil
	}
	return derive(&d.sign, p.profile.NewChecksum, p.base, d.signUse)
}

// derive fills slot. Where two derive at once, both get the same key.
func derive[K any](slot *atomic.Pointer[K], newKey func([]byte, uint32) (*K, error), base []byte, usage uint32) (*K, error) {
	k, err := newKey(base, usage)
	if err != nil {
		return nil, failure(err)
	}
	slot.CompareAndSwap(nil, k)
	return slot.Load(), nil
}

func (d *directionKeys) clear() {
	if c := d.seal.Load(); c != nil {
		c.Clear()
	}
	if c := d.sealSum.Load(); c != nil {
		c.Clear()
	}
	if c := d.sign.Load(); c != nil {
		c.Clear()
	}
}

// protectionConfig is what a handshake settled.
type protectionConfig struct {
	initiator      bool
	flags          gss.Flags
	profile        *etype.Profile
	key            []byte             // the context's base key; protection owns it from here on
	acceptorSubkey bool               // key is the subkey that the acceptor asserted
	partial        kmsg.EncryptionKey // the key before that; protection owns it, too
	sendSeq        uint64
	recvSeq        uint64
}

func newProtection(cfg protectionConfig) *protection {
	p := &protection{
		profile: cfg.profile,
		base:    cfg.key,
		partial: cfg.partial,
		subkey:  cfg.acceptorSubkey,
		dce:     cfg.flags&gss.DCEStyle != 0,
		window:  newSeqWindow(cfg.recvSeq, cfg.flags),
	}
	p.sendSeq.Store(cfg.sendSeq)
	own, peer := &p.keys[sent], &p.keys[received]
	var subkey byte
	if cfg.acceptorSubkey {
		subkey = flagAcceptorSubkey
	}
	p.sendFlags, p.recvFlags = subkey, subkey|flagSentByAcceptor
	initiator, acceptor := own, peer
	if !cfg.initiator {
		p.sendFlags, p.recvFlags = p.recvFlags, p.sendFlags
		initiator, acceptor = peer, own
	}
	initiator.sealUse, initiator.signUse = usageInitiatorSeal, usageInitiatorSign
	acceptor.sealUse, acceptor.signUse = usageAcceptorSeal, usageAcceptorSign
	return p
}

// clear wipes the keys. No other call may be under way.
func (p *protection) clear() {
	p.keys[sent].clear()
	p.keys[received].clear()
	clear(p.base)
	p.partial.Clear()
}

// putHeader writes a token's header. For a MIC, ec and rrc are the filler ones.
func putHeader(b []byte, tokenID uint16, flags byte, ec, rrc uint16, seq uint64) {
	binary.BigEndian.PutUint16(b, tokenID)
	b[2] = flags
	b[3] = 0xff
	binary.BigEndian.PutUint16(b[4:], ec)
	binary.BigEndian.PutUint16(b[6:], rrc)
	binary.BigEndian.PutUint64(b[8:], seq)
}

var (
	errTokenShort     = errors.New("Token is missing data")
	errTokenHeader    = errors.New("Token header is malformed or corrupt")
	errTokenReflected = errors.New("Token was reflected")
	errTokenSubkey    = errors.New("Token is not protected by the key that the context agreed on")
)

// checkHeader checks what MIC and Wrap tokens have in common: identifier,
// filler and the flags that tell direction and key.
func (p *protection) checkHeader(token []byte, tokenID uint16) error {
	switch {
	case len(token) < headerSize:
		return defective(errTokenShort)
	case binary.BigEndian.Uint16(token) != tokenID, token[3] != 0xff:
		return defective(errTokenHeader)
	case (token[2]^p.recvFlags)&flagSentByAcceptor != 0:
		return &gss.Error{Major: gss.ErrBadMIC, Mech: gss.MechKrb5, Err: errTokenReflected}
	case (token[2]^p.recvFlags)&flagAcceptorSubkey != 0:
		return &gss.Error{Major: gss.ErrBadMIC, Mech: gss.MechKrb5, Err: errTokenSubkey}
	}
	return nil
}

// checkSequence records an authentic token's sequence number.
func (p *protection) checkSequence(token []byte) gss.Major {
	if !p.window.watches() {
		return 0
	}
	seq := binary.BigEndian.Uint64(token[8:headerSize])
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.window.check(seq)
}

func defective(err error) error {
	return &gss.Error{Major: gss.ErrDefectiveToken, Mech: gss.MechKrb5, Err: err}
}

func badMIC(err error) error {
	return &gss.Error{Major: gss.ErrBadMIC, Mech: gss.MechKrb5, Err: err}
}

func sequenceError(m gss.Major) error {
	return &gss.Error{Major: m, Mech: gss.MechKrb5}
}

func failure(err error) error {
	return &gss.Error{Major: gss.ErrFailure, Mech: gss.MechKrb5, Err: err}
}

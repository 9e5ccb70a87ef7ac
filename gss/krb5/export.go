package krb5

import (
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// An exported context is
//
//	magic(8) | version(1) | body, length-prefixed | SHA-256 of all before
//
// The digest finds truncation and accidents. It is no protection against who
// can write the token: that one holds the keys anyway.
const (
	exportMagic   = "csgn-ctx"
	exportVersion = 1

	// maxExportSize bounds what is imported: two principals, two keys and some
	// numbers.
	maxExportSize = 1 << 18
)

func (c *secContext) export() ([]byte, error) {
	p := c.prot
	p.mu.Lock()
	window := p.window
	p.mu.Unlock()
	var b cryptobyte.Builder
	b.AddBytes([]byte(exportMagic))
	b.AddUint8(exportVersion)
	b.AddUint32LengthPrefixed(func(b *cryptobyte.Builder) {
		addBool(b, c.info.Local)
		addBool(b, c.info.Mechanism == gss.MechIAKERB)
		addBool(b, p.subkey)
		b.AddUint32(uint32(c.info.Flags &^ gss.Delegation)) // the credential stays behind
		addString(b, c.info.Initiator.String())
		addString(b, c.info.Acceptor.String())
		b.AddUint64(uint64(c.info.Expires.Unix()))
		b.AddUint64(uint64(c.grace / time.Second))
		addKey(b, int32(p.profile.ID()), p.base)
		addKey(b, p.partial.Type, p.partial.Value)
		b.AddUint64(p.sendSeq.Load())
		b.AddUint64(window.base)
		b.AddUint64(window.next)
		b.AddUint64(window.seen)
	})
	token, err := b.Bytes()
	if err != nil {
		return nil, failure(err)
	}
	sum := sha256.Sum256(token)
	return append(token, sum[:]...), nil
}

func addBool(b *cryptobyte.Builder, v bool) {
	if v {
		b.AddUint8(1)
	} else {
		b.AddUint8(0)
	}
}

func addString(b *cryptobyte.Builder, s string) {
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
}

func addKey(b *cryptobyte.Builder, keyType int32, key []byte) {
	b.AddUint32(uint32(keyType))
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(key) })
}

// ImportConfig says how an imported context goes on. The zero value will do.
type ImportConfig struct {
	Time func() time.Time // nil means time.Now
	Rand io.Reader        // nil means crypto/rand; must be safe for concurrent use
}

var errExported = errors.New("not an exported context, or a truncated or altered one")

// ImportContext makes a context of a token that Export gave
// (GSS_Import_sec_context). It goes on where the exported one stopped, sequence
// numbers included; a delegated credential and the initiator's attributes do not
// come along. The caller must see to it that a token is imported once.
func ImportContext(token []byte, cfg ImportConfig) (gss.Context, error) {
	c, err := parseExported(token)
	if err != nil {
		return nil, err
	}
	if c.random = cfg.Rand; c.random == nil {
		c.random = systemRandom{}
	}
	c.clock = cfg.Time
	c.setDeadline()
	return c, nil
}

func parseExported(token []byte) (*secContext, error) {
	if len(token) > maxExportSize || len(token) < len(exportMagic)+sha256.Size {
		return nil, defective(errExported)
	}
	signed, digest := token[:len(token)-sha256.Size], token[len(token)-sha256.Size:]
	if sum := sha256.Sum256(signed); string(sum[:]) != string(digest) {
		return nil, defective(errExported)
	}
	var (
		s                  = cryptobyte.String(signed)
		magic              []byte
		version            uint8
		body               cryptobyte.String
		local, subkey      bool
		iakerb             bool
		flags              uint32
		initiator          string
		acceptor           string
		expires, grace     uint64
		full, partial      kmsg.EncryptionKey
		send               uint64
		base, next, window uint64
	)
	if !s.ReadBytes(&magic, len(exportMagic)) || string(magic) != exportMagic || !s.ReadUint8(&version) {
		return nil, defective(errExported)
	}
	if version != exportVersion {
		return nil, defective(errors.New("the exported context is of another version"))
	}
	if !readUint32LengthPrefixed(&s, &body) || !s.Empty() ||
		!readBool(&body, &local) || !readBool(&body, &iakerb) || !readBool(&body, &subkey) || !body.ReadUint32(&flags) ||
		!readString(&body, &initiator) || !readString(&body, &acceptor) ||
		!body.ReadUint64(&expires) || !body.ReadUint64(&grace) ||
		!readKey(&body, &full) || !readKey(&body, &partial) ||
		!body.ReadUint64(&send) || !body.ReadUint64(&base) || !body.ReadUint64(&next) || !body.ReadUint64(&window) ||
		!body.Empty() || gss.Flags(flags)&gss.Delegation != 0 || grace > uint64(maxGrace/time.Second) {
		return nil, defective(errExported)
	}
	profile, err := etype.Lookup(etype.ID(full.Type))
	if err != nil {
		return nil, protocolError(gss.ErrFailure, kmsg.KDCErrEtypeNoSupp, err)
	}
	partialProfile, err := etype.Lookup(etype.ID(partial.Type))
	if err != nil || len(full.Value) != profile.KeySize() || len(partial.Value) != partialProfile.KeySize() {
		return nil, defective(errKeyLength)
	}
	c := &secContext{
		prot: newProtection(protectionConfig{
			initiator:      local,
			flags:          gss.Flags(flags),
			profile:        profile,
			key:            full.Value,
			acceptorSubkey: subkey,
			partial:        partial,
			sendSeq:        send,
			recvSeq:        base,
		}),
		info: gss.Info{
			Mechanism:   gss.MechKrb5,
			Initiator:   gss.MechanismName(gss.MechKrb5, gss.NTKrb5Principal, initiator),
			Acceptor:    gss.MechanismName(gss.MechKrb5, gss.NTKrb5Principal, acceptor),
			Local:       local,
			Established: true,
			Flags:       gss.Flags(flags),
			Expires:     time.Unix(int64(expires), 0),
		},
		grace: time.Duration(grace) * time.Second,
	}
	if iakerb {
		c.info.Mechanism = gss.MechIAKERB
	}
	c.prot.window.next, c.prot.window.seen = next, window
	return c, nil
}

func readBool(s *cryptobyte.String, v *bool) bool {
	var b uint8
	if !s.ReadUint8(&b) || b > 1 {
		return false
	}
	*v = b == 1
	return true
}

func readString(s *cryptobyte.String, v *string) bool {
	var b cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&b) {
		return false
	}
	*v = string(b)
	return true
}

func readUint32LengthPrefixed(s, v *cryptobyte.String) bool {
	var n uint32
	return s.ReadUint32(&n) && uint64(n) <= uint64(len(*s)) && s.ReadBytes((*[]byte)(v), int(n))
}

func readKey(s *cryptobyte.String, k *kmsg.EncryptionKey) bool {
	var t uint32
	var b cryptobyte.String
	if !s.ReadUint32(&t) || !s.ReadUint8LengthPrefixed(&b) {
		return false
	}
	k.Type, k.Value = int32(t), append([]byte(nil), b...)
	return true
}

package natsbus

import (
	"encoding/hex"
	"errors"
	"math"

	"golang.org/x/crypto/cryptobyte"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

// An instance is a Bus, from its making to its end, chosen at random. It tells a
// Bus what is its own: NATS does not return a message to the connection from
// which it came, but may to the next one of the same Bus.
type instance [8]byte

func (i instance) String() string { return hex.EncodeToString(i[:]) }

// The messages, by what their first octet says. All integers are big endian.
//
//	kindPlain: instance(8) | message of the Hub, to the end; none is a test that nobody heeds
//	kindUser:  instance(8) | local(1) | length(2) | name | message of the Hub, to the end
//	kindReply: instance(8) | here(1) | sessions(4)
const (
	kindPlain = 0x01
	kindUser  = 0x02
	kindReply = 0x03
)

// overhead is the most that an envelope adds to a message of the Hub, in octets.
const overhead = 1 + 8 + 1 + 2 + pushwire.MaxName

// An envelope is a message read.
type envelope struct {
	kind     byte
	from     instance
	user     push.User // of kindUser
	here     bool      // of kindReply: the user has a session there
	sessions int       // of kindReply
	msg      []byte
}

var (
	errEnvelope = errors.New("not a message of this version of the push service")
	errName     = errors.New("push: name of a user that is longer than any")
)

func appendPlain(from instance, msg []byte) []byte {
	b := make([]byte, 0, 1+len(from)+len(msg))
	b = append(b, kindPlain)
	b = append(b, from[:]...)
	return append(b, msg...)
}

func appendUser(from instance, user push.User, msg []byte) ([]byte, error) {
	if len(user.Name) > pushwire.MaxName {
		return nil, errName
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, overhead-pushwire.MaxName+len(user.Name)+len(msg)))
	b.AddUint8(kindUser)
	b.AddBytes(from[:])
	var local byte
	if user.Local {
		local = 1
	}
	b.AddUint8(local)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(user.Name)) })
	b.AddBytes(msg)
	return b.Bytes()
}

func appendReply(from instance, here bool, sessions int) []byte {
	b := cryptobyte.NewBuilder(make([]byte, 0, 1+len(from)+1+4))
	b.AddUint8(kindReply)
	b.AddBytes(from[:])
	if here {
		b.AddUint8(1)
	} else {
		b.AddUint8(0)
	}
	b.AddUint32(uint32(min(max(sessions, 0), math.MaxInt32)))
	return b.BytesOrPanic()
}

// parse reads a message. The envelope's msg is part of b.
func parse(b []byte) (envelope, error) {
	var (
		e     envelope
		s     = cryptobyte.String(b)
		local uint8
		name  cryptobyte.String
		n     uint32
	)
	if !s.ReadUint8(&e.kind) || !s.CopyBytes(e.from[:]) {
		return envelope{}, errEnvelope
	}
	switch e.kind {
	case kindPlain:
		e.msg = s
		return e, nil
	case kindUser:
		if !s.ReadUint8(&local) || local > 1 || !s.ReadUint16LengthPrefixed(&name) || len(name) > pushwire.MaxName {
			return envelope{}, errEnvelope
		}
		e.user = push.User{Name: string(name), Local: local == 1}
		e.msg = s
		return e, nil
	case kindReply:
		if !s.ReadUint8(&local) || local > 1 || !s.ReadUint32(&n) || n > math.MaxInt32 || !s.Empty() {
			return envelope{}, errEnvelope
		}
		e.here = local == 1
		e.sessions = int(n)
		return e, nil
	}
	return envelope{}, errEnvelope
}

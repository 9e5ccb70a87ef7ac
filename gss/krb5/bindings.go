package krb5

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// A BindingsPolicy says what an acceptor makes of channel bindings.
type BindingsPolicy int

const (
	// BindingsCheck compares the bindings of an initiator that sent some, and
	// refuses one that sent none although it says that it would have (MS-KILE's
	// KERB_AP_OPTIONS_CBT). Others are accepted without ChannelBound.
	BindingsCheck BindingsPolicy = iota
	// BindingsRequire refuses every context that is not ChannelBound.
	BindingsRequire
	// BindingsIgnore does not look at them.
	BindingsIgnore
)

// KERB_AP_OPTIONS_CBT (MS-KILE, section 2.2.5): the initiator knows of channel
// bindings, so that it sent none means that it had none.
const (
	adIfRelevant      = 1
	adAPOptions       = 143
	apOptionsCBT      = 0x4000
	maxAPOptionsDepth = 2 // AD-IF-RELEVANT inside AD-IF-RELEVANT, and no deeper
)

// channelBindingsOption is that option as an initiator sends it.
var channelBindingsOption = func() kmsg.AuthorizationData {
	inner := kmsg.AuthorizationData{{Type: adAPOptions, Data: binary.LittleEndian.AppendUint32(nil, apOptionsCBT)}}
	der, err := inner.Append(nil)
	if err != nil {
		panic(err) // a constant: it fails in the first test or never
	}
	return kmsg.AuthorizationData{{Type: adIfRelevant, Data: der}}
}()

// assertsBindings looks for the option in an authenticator's data.
func assertsBindings(data kmsg.AuthorizationData) bool { return findCBT(data, maxAPOptionsDepth) }

func findCBT(data kmsg.AuthorizationData, depth int) bool {
	for _, e := range data {
		switch e.Type {
		case adAPOptions:
			if len(e.Data) == 4 && binary.LittleEndian.Uint32(e.Data)&apOptionsCBT != 0 {
				return true
			}
		case adIfRelevant:
			if inner, err := kmsg.ParseAuthorizationData(e.Data); err == nil && depth > 0 && findCBT(inner, depth-1) {
				return true
			}
		}
	}
	return false
}

// checkBindings applies the acceptor's policy to the Bnd field that the
// initiator sent, given the channel that the tokens came by.
func (a *Acceptor) checkBindings(sent [bindingsSize]byte, channel *gss.ChannelBindings, asserted bool) (bound bool, err error) {
	if a.bindings == BindingsIgnore {
		return false, nil
	}
	if channel == nil {
		if a.bindings == BindingsRequire {
			return false, badBindings("the acceptor requires channel bindings, and this channel has none")
		}
		return false, nil
	}
	if sent == [bindingsSize]byte{} {
		if asserted || a.bindings == BindingsRequire {
			return false, badBindings("the initiator sent no channel bindings")
		}
		return false, nil
	}
	for ; channel != nil; channel = channel.Alternative {
		want, err := hashBindings(channel)
		if err != nil {
			return false, err
		}
		if subtle.ConstantTimeCompare(sent[:], want[:]) == 1 {
			return true, nil
		}
	}
	return false, badBindings("the initiator's channel bindings are those of another channel")
}

func badBindings(why string) error {
	return &gss.Error{
		Major: gss.ErrBadBindings,
		Mech:  gss.MechKrb5,
		Err:   errors.New(why),
		Hint:  "both sides must take their bindings from the same channel; a proxy that ends TLS in between breaks it",
	}
}

package kdc

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// fence runs f, which calls into gokrb5 with data from outside, and turns a
// panic into an error. It is the last fence: lengths and shapes that are known to
// make gokrb5 panic are refused before.
func fence(what string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = badReply(what, fmt.Errorf("message is malformed: %v", r))
		}
	}()
	return f()
}

var errNoTicket = errors.New("reply holds no ticket")

// rawTicket gives the ticket of an AS-REP or TGS-REP as its bytes stand there.
func rawTicket(reply []byte) ([]byte, error) {
	s := cryptobyte.String(reply)
	var outer, seq cryptobyte.String
	var tag asn1.Tag
	if !s.ReadAnyASN1(&outer, &tag) || !outer.ReadASN1(&seq, asn1.SEQUENCE) || !outer.Empty() {
		return nil, errNoTicket
	}
	for !seq.Empty() {
		var field, ticket cryptobyte.String
		if !seq.ReadAnyASN1(&field, &tag) {
			return nil, errNoTicket
		}
		if tag == asn1.Tag(5).ContextSpecific().Constructed() {
			if !field.ReadASN1Element(&ticket, asn1.Tag(1)|0x60) || !field.Empty() {
				return nil, errNoTicket
			}
			return ticket, nil
		}
	}
	return nil, errNoTicket
}

package kdc

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

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

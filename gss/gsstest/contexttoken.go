package gsstest

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// TokenOptions says what is wrong with a context token. With the zero value it
// is a good one.
type TokenOptions struct {
	Client           string        // in the authenticator, with its realm; the ticket's
	ClockOffset      time.Duration // of the client's clock
	ChecksumType     int32         // of the authenticator's checksum; 0x8003
	TicketLen        int           // bytes that the ticket's ciphertext is cut to; whole
	AuthenticatorLen int           // bytes that the authenticator's ciphertext is cut to; whole
}

const (
	gssChecksumType = 0x8003 // RFC 4121, section 4.1.1
	mutualFlag      = 2
	replayFlag      = 4
)

// ContextToken makes the first token of a context to the ticket's service (RFC
// 4121, section 4.1), which asks for mutual authentication and the detection of
// replays, and has no bindings. It fails for a malformed name of the client.
func (t *Ticket) ContextToken(options TokenOptions) ([]byte, error) {
	token, err := t.contextToken(options)
	if err != nil {
		return nil, fmt.Errorf("gsstest: context token of %v: %w", t, err)
	}
	return token, nil
}

func (t *Ticket) contextToken(o TokenOptions) ([]byte, error) {
	client, realm := t.client, t.crealm
	if o.Client != "" {
		var err error
		if client, realm, err = new(Realm).parseName(o.Client); err != nil {
			return nil, err
		}
	}
	if o.ChecksumType == 0 {
		o.ChecksumType = gssChecksumType
	}
	var ticket messages.Ticket
	if err := ticket.Unmarshal(t.DER); err != nil {
		return nil, err
	}
	auth, err := types.NewAuthenticator(realm, client)
	if err != nil {
		return nil, err
	}
	auth.CTime = auth.CTime.Add(o.ClockOffset)
	checksum := binary.LittleEndian.AppendUint32(nil, 16)
	checksum = append(checksum, make([]byte, 16)...)
	checksum = binary.LittleEndian.AppendUint32(checksum, mutualFlag|replayFlag)
	auth.Cksum = types.Checksum{CksumType: o.ChecksumType, Checksum: checksum}
	req, err := messages.NewAPReq(ticket, t.SessionKey.wire(), auth)
	if err != nil {
		return nil, err
	}
	types.SetFlag(&req.APOptions, 2) // mutual-required
	req.EncryptedAuthenticator.KVNO = 0
	cut(&req.Ticket.EncPart, o.TicketLen)
	cut(&req.EncryptedAuthenticator, o.AuthenticatorLen)
	der, err := req.Marshal()
	if err != nil {
		return nil, err
	}
	const krb5APReq = "\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00"
	return asn1tools.AddASNAppTag(append([]byte(krb5APReq), der...), 0), nil
}

func cut(data *types.EncryptedData, n int) {
	if n > 0 && n < len(data.Cipher) {
		data.Cipher = data.Cipher[:n]
	}
}

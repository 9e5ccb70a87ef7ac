package dtls

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
)

// The parts of records and handshake messages that are handled here (RFC 6347,
// sections 4.1 and 4.2.2); everything after the hello is pion/dtls's.
const (
	recordHeader  = 13 // type(1), version(2), epoch(2), sequence number(6), length(2)
	messageHeader = 12 // type(1), length(3), message_seq(2), fragment offset(3) and length(3)
	randomLength  = 32

	typeAlert       = 21
	typeHandshake   = 22
	typeApplication = 23

	messageClientHello        = 1
	messageHelloVerifyRequest = 3

	version10 = 0xfeff // DTLS 1.0: in a HelloVerifyRequest it only names the packet's form
	version12 = 0xfefd

	renegotiationSCSV = 0x00ff // RFC 5746, section 3.3: a signal that looks like a suite
	extSupportedGroup = 10     // RFC 8422, section 5.1.1
)

// maxHello bounds a ClientHello. Those with a pre-shared key are of some
// hundred bytes; the largest that has to be answered fits into one datagram.
const maxHello = 2048

var (
	errNotHello   = errors.New("not a ClientHello")
	errBadHello   = errors.New("malformed ClientHello")
	errSplitHello = errors.New("ClientHello in several fragments, which cannot be verified without keeping them")
)

// A clientHello is a ClientHello of one fragment in a datagram of its own. Its
// slices are the datagram's.
type clientHello struct {
	recordSeq   uint64
	messageSeq  uint16
	message     []byte // with its header, as the handshake's hash has it
	version     uint16
	random      []byte
	sessionID   []byte
	cookie      []byte
	suites      []byte
	compression []byte
	extensions  []byte // with their length; empty: there are none
	groups      []byte // of the supported_groups extension; nil: it was not sent
}

// isHello says whether a datagram begins like a ClientHello, which only the
// verifier may see.
func isHello(datagram []byte) bool {
	return len(datagram) > recordHeader && datagram[0] == typeHandshake &&
		datagram[3] == 0 && datagram[4] == 0 && datagram[recordHeader] == messageClientHello
}

// readHello parses a datagram that holds a ClientHello and nothing else.
func readHello(datagram []byte) (clientHello, error) {
	var h clientHello
	if !isHello(datagram) {
		return h, errNotHello
	}
	if len(datagram) > maxHello {
		return h, errBadHello
	}
	s := cryptobyte.String(datagram)
	var recordSeq []byte
	var record, body cryptobyte.String
	if !s.Skip(5) || !s.ReadBytes(&recordSeq, 6) || !s.ReadUint16LengthPrefixed(&record) || !s.Empty() {
		return h, errBadHello
	}
	for _, b := range recordSeq {
		h.recordSeq = h.recordSeq<<8 | uint64(b)
	}
	h.message = record
	var length, offset, fragment uint32
	if !record.Skip(1) || !record.ReadUint24(&length) || !record.ReadUint16(&h.messageSeq) ||
		!record.ReadUint24(&offset) || !record.ReadUint24(&fragment) {
		return h, errBadHello
	}
	body = record
	if offset != 0 || fragment != length {
		return h, errSplitHello
	}
	var sessionID, cookie, suites, compression cryptobyte.String
	if int(length) != len(body) || !body.ReadUint16(&h.version) || !body.ReadBytes(&h.random, randomLength) ||
		!body.ReadUint8LengthPrefixed(&sessionID) || len(sessionID) > 32 ||
		!body.ReadUint8LengthPrefixed(&cookie) ||
		!body.ReadUint16LengthPrefixed(&suites) || len(suites) == 0 || len(suites)%2 != 0 ||
		!body.ReadUint8LengthPrefixed(&compression) || len(compression) == 0 {
		return h, errBadHello
	}
	h.sessionID, h.cookie, h.suites, h.compression = sessionID, cookie, suites, compression
	h.extensions = body
	if !body.Empty() && !h.readExtensions(body) {
		return h, errBadHello
	}
	return h, nil
}

func (h *clientHello) readExtensions(s cryptobyte.String) bool {
	var all cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&all) || !s.Empty() {
		return false
	}
	for !all.Empty() {
		var typ uint16
		var data, groups cryptobyte.String
		if !all.ReadUint16(&typ) || !all.ReadUint16LengthPrefixed(&data) {
			return false
		}
		if typ != extSupportedGroup {
			continue
		}
		if !data.ReadUint16LengthPrefixed(&groups) || !data.Empty() || len(groups)%2 != 0 {
			return false
		}
		h.groups = groups
	}
	return true
}

// offers says whether a list of 16-bit values holds the value.
func offers(list []byte, value uint16) bool {
	for i := 0; i+1 < len(list); i += 2 {
		if uint16(list[i])<<8|uint16(list[i+1]) == value {
			return true
		}
	}
	return false
}

// record makes a record of this hello with another place in the exchange,
// another cookie, and one suite instead of the client's list.
func (h *clientHello) record(recordSeq uint64, messageSeq uint16, cookie []byte, suite uint16) []byte {
	var body cryptobyte.Builder
	body.AddUint16(h.version)
	body.AddBytes(h.random)
	body.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(h.sessionID) })
	body.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(cookie) })
	body.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(suite)
		if offers(h.suites, renegotiationSCSV) {
			b.AddUint16(renegotiationSCSV)
		}
	})
	body.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(h.compression) })
	body.AddBytes(h.extensions)
	return appendMessage(nil, version12, recordSeq, messageClientHello, messageSeq, body.BytesOrPanic())
}

// helloVerifyRequest answers a hello (RFC 6347, section 4.2.1). It has the
// hello's record sequence number, so that the server need not count, and is
// shorter than any hello.
func helloVerifyRequest(dst []byte, h *clientHello, cookie []byte) []byte {
	body := append(make([]byte, 0, 3+cookieLength), version10>>8, version10&0xff, byte(len(cookie)))
	return appendMessage(dst, version10, h.recordSeq, messageHelloVerifyRequest, h.messageSeq, append(body, cookie...))
}

// appendMessage appends a record of epoch 0 that holds one handshake message.
func appendMessage(dst []byte, version uint16, recordSeq uint64, typ byte, messageSeq uint16, body []byte) []byte {
	n := len(body)
	dst = appendRecordHeader(dst, typeHandshake, version, recordSeq, messageHeader+n)
	dst = append(dst, typ, byte(n>>16), byte(n>>8), byte(n), byte(messageSeq>>8), byte(messageSeq), 0, 0, 0, byte(n>>16), byte(n>>8), byte(n))
	return append(dst, body...)
}

// appendRecordHeader appends the header of a record of epoch 0.
func appendRecordHeader(dst []byte, typ byte, version uint16, seq uint64, length int) []byte {
	return append(dst, typ, byte(version>>8), byte(version), 0, 0,
		byte(seq>>40), byte(seq>>32), byte(seq>>24), byte(seq>>16), byte(seq>>8), byte(seq),
		byte(length>>8), byte(length))
}

// plainAlert is an alert in epoch 0, for a peer that has no keys yet.
func plainAlert(seq uint64, level, description byte) []byte {
	return append(appendRecordHeader(nil, typeAlert, version12, seq, 2), level, description)
}

// nextRecord cuts the first record off a datagram; ok is false when none is
// left or what is left is no record.
func nextRecord(datagram []byte) (record, rest []byte, ok bool) {
	if len(datagram) < recordHeader {
		return nil, nil, false
	}
	n := recordHeader + int(datagram[11])<<8 + int(datagram[12])
	if n > len(datagram) {
		return nil, nil, false
	}
	return datagram[:n], datagram[n:], true
}

func recordEpoch(record []byte) int { return int(record[3])<<8 | int(record[4]) }

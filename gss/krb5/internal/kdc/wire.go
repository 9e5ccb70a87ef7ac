package kdc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	// maxReply bounds a reply over TCP, in bytes: MIT's clients have the same bound.
	maxReply = 1 << 20
	// maxDatagram is the longest UDP payload, in bytes.
	maxDatagram = 1 << 16
	// retransmit is the wait before a request is sent again over UDP; it doubles.
	retransmit = 2 * time.Second
)

// Outer tags of the messages that a KDC answers with, RFC 4120 section 5.10.
const (
	tagASRep  = asn1.Tag(11) | 0x60
	tagTGSRep = asn1.Tag(13) | 0x60
	tagError  = asn1.Tag(30) | 0x60
)

var errNotReply = errors.New("what it sent is no Kerberos reply")

// overUDP sends the request, again after a while if nothing comes, and reads
// one datagram.
func overUDP(ctx context.Context, conn net.Conn, request []byte) ([]byte, error) {
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		wait := retransmit
		for {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-done:
				t.Stop()
				return
			case <-ctx.Done():
				t.Stop()
				return
			}
			if _, err := conn.Write(request); err != nil {
				return // the reader sees the reason
			}
			wait *= 2
		}
	}()
	buf := make([]byte, maxDatagram)
	n, err := conn.Read(buf)
	if err != nil {
		return nil, err
	}
	return buf[:n:n], nil
}

// overTCP writes the request and reads the reply, each behind its length in
// four bytes, RFC 4120 section 7.2.2. Memory grows with what arrives, not with what
// is announced.
func overTCP(conn net.Conn, request []byte) ([]byte, error) {
	if len(request) > math.MaxInt32 {
		return nil, errors.New("request is too long")
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(request)), uint32(len(request)))
	if _, err := conn.Write(append(frame, request...)); err != nil {
		return nil, err
	}
	var header [4]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return nil, fmt.Errorf("reading the reply's length: %w", err)
	}
	n := binary.BigEndian.Uint32(header[:])
	if n > maxReply {
		return nil, fmt.Errorf("reply of %d bytes exceeds the limit of %d", n, maxReply)
	}
	var reply bytes.Buffer
	if _, err := io.CopyN(&reply, conn, int64(n)); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading the reply: %w", err)
	}
	return reply.Bytes(), nil
}

// checkOuter checks that a message is one whole element with the tag of a reply.
func checkOuter(msg []byte) error {
	s := cryptobyte.String(msg)
	var body cryptobyte.String
	var tag asn1.Tag
	if !s.ReadAnyASN1(&body, &tag) || !s.Empty() {
		return errNotReply
	}
	switch tag {
	case tagASRep, tagTGSRep, tagError:
		return nil
	}
	return errNotReply
}

// isError says whether a message is a KRB-ERROR with this code.
func isError(msg []byte, code int64) bool {
	s := cryptobyte.String(msg)
	var outer, seq, field cryptobyte.String
	if !s.ReadASN1(&outer, tagError) || !outer.ReadASN1(&seq, asn1.SEQUENCE) {
		return false
	}
	for !seq.Empty() {
		var tag asn1.Tag
		if !seq.ReadAnyASN1(&field, &tag) {
			return false
		}
		if tag == asn1.Tag(6).ContextSpecific().Constructed() {
			var got int64
			return field.ReadASN1Integer(&got) && got == code
		}
	}
	return false
}

// isKRBError says whether a message is a KRB-ERROR by its outer tag.
func isKRBError(msg []byte) bool { return len(msg) > 0 && asn1.Tag(msg[0]) == tagError }

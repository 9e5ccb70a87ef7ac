package mitrealm

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// attempts is how many ports are tried before giving up.
const attempts = 10

// serve starts the KDC on a port that is free for TCP and UDP.
//
// krb5kdc does not refuse a busy port, and two of them on one port take each
// other's requests. So the port is checked before, and afterwards the KDC there
// is asked for a principal that only this realm has.
func (r *Realm) serve() error {
	var failures []error
	for range attempts {
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		if err := r.configure(addr); err != nil {
			return err
		}
		kdc, err := start(r.Command("krb5kdc", "-n", "-P", filepath.Join(r.Dir, "kdc.pid")), "starting...")
		if err == nil {
			if err = r.probeKDC(); err == nil {
				r.t.Cleanup(kdc.stop)
				return nil
			}
			kdc.stop()
		}
		failures = append(failures, fmt.Errorf("krb5kdc at %s: %w", addr, err))
	}
	return errors.Join(failures...)
}

// freeAddr is a loopback address whose port is free for both TCP and UDP.
func freeAddr() (string, error) {
	for range attempts {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		addr := l.Addr().String()
		u, err := net.ListenPacket("udp4", addr)
		l.Close()
		if err != nil {
			continue
		}
		u.Close()
		return addr, nil
	}
	return "", errors.New("no port is free for both TCP and UDP")
}

// probeKDC asks over UDP and TCP for a ticket for the probe principal, which
// any other KDC would call unknown.
func (r *Realm) probeKDC() error {
	const asRep = 0x6b // [APPLICATION 11], RFC 4120, section 5.4.2
	req := asReq(r.probe, r.Name)
	for _, network := range []string{"udp", "tcp"} {
		reply, err := exchange(network, r.KDCAddr, req)
		if err != nil {
			return fmt.Errorf("probe over %s: %w", network, err)
		}
		if len(reply) == 0 || reply[0] != asRep {
			return fmt.Errorf("probe over %s: not answered with a ticket: % x", network, reply)
		}
	}
	return nil
}

// exchange sends a request to a KDC and reads its reply (RFC 4120, section
// 7.2). A datagram is sent again every second.
func exchange(network, addr string, req []byte) ([]byte, error) {
	conn, err := net.DialTimeout(network, addr, readyTimeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline := time.Now().Add(readyTimeout)
	if network == "tcp" {
		conn.SetDeadline(deadline)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(req))), req...)); err != nil {
			return nil, err
		}
		var length [4]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return nil, err
		}
		return io.ReadAll(io.LimitReader(conn, int64(binary.BigEndian.Uint32(length[:]))))
	}
	buf := make([]byte, 64<<10)
	for {
		if _, err := conn.Write(req); err != nil {
			return nil, err
		}
		conn.SetReadDeadline(time.Now().Add(time.Second))
		n, err := conn.Read(buf)
		if err == nil {
			return buf[:n], nil
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Now().After(deadline) {
			return nil, err
		}
	}
}

// asReq is an AS-REQ without pre-authentication for the realm's
// ticket-granting ticket (RFC 4120, section 5.4.1).
func asReq(client, realm string) []byte {
	var b cryptobyte.Builder
	field := func(b *cryptobyte.Builder, tag uint8, f cryptobyte.BuilderContinuation) {
		b.AddASN1(asn1.Tag(tag).ContextSpecific().Constructed(), f)
	}
	integer := func(b *cryptobyte.Builder, tag uint8, v int64) {
		field(b, tag, func(b *cryptobyte.Builder) { b.AddASN1Int64(v) })
	}
	text := func(b *cryptobyte.Builder, tag asn1.Tag, s string) {
		b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
	}
	principal := func(b *cryptobyte.Builder, tag uint8, nameType int64, parts ...string) {
		field(b, tag, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				integer(b, 0, nameType)
				field(b, 1, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						for _, part := range parts {
							text(b, asn1.GeneralString, part)
						}
					})
				})
			})
		})
	}
	b.AddASN1(asn1.Tag(10|0x40).Constructed(), func(b *cryptobyte.Builder) { // [APPLICATION 10]
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			integer(b, 1, 5)
			integer(b, 2, 10)
			field(b, 4, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					field(b, 0, func(b *cryptobyte.Builder) { b.AddASN1BitString(make([]byte, 4)) })
					principal(b, 1, 1, client)
					field(b, 2, func(b *cryptobyte.Builder) { text(b, asn1.GeneralString, realm) })
					principal(b, 3, 2, "krbtgt", realm)
					field(b, 5, func(b *cryptobyte.Builder) { text(b, asn1.GeneralizedTime, "19700101000000Z") })
					integer(b, 7, 1)
					field(b, 8, func(b *cryptobyte.Builder) {
						b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
							for _, enctype := range []int64{20, 19, 18, 17, 26, 25, 23, 16} {
								b.AddASN1Int64(enctype)
							}
						})
					})
				})
			})
		})
	})
	return b.BytesOrPanic()
}

func randomHex() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

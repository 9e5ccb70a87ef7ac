package dtls

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/netip"
	"time"
)

const (
	// cookieLength is pion/dtls's, too, though nothing depends on it. Clients
	// keep 32 bytes at the least.
	cookieLength = 20

	// cookieLife is how long a secret makes cookies. It is accepted as long
	// again, so a client has this time at the least for its answer.
	cookieLife = time.Minute
)

// A cookieJar makes and checks cookies without keeping any: HMAC-SHA-256, cut
// to 20 bytes, over the client's address and the parameters of its hello that
// may not change (RFC 6347, section 4.2.1). One goroutine uses it.
type cookieJar struct {
	macs    [2]hash.Hash // keyed with the current secret and the one before
	rotated time.Time
	scratch [sha256.Size]byte
	buf     []byte
}

func newCookieJar(now time.Time) *cookieJar {
	j := &cookieJar{rotated: now}
	for i := range j.macs {
		j.macs[i] = newCookieMAC()
	}
	return j
}

func newCookieMAC() hash.Hash {
	secret := make([]byte, sha256.Size)
	_, _ = rand.Read(secret) // never fails
	return hmac.New(sha256.New, secret)
}

func (j *cookieJar) rotate(now time.Time) {
	for age := now.Sub(j.rotated); age >= cookieLife; age -= cookieLife {
		j.macs[1], j.macs[0] = j.macs[0], newCookieMAC()
		j.rotated = now
		if age >= 2*cookieLife {
			j.macs[1] = newCookieMAC()
			return
		}
	}
}

// cookie gives the cookie for a hello from the address. It is valid until the
// next call.
func (j *cookieJar) cookie(now time.Time, from netip.AddrPort, h *clientHello) []byte {
	j.rotate(now)
	return j.sum(0, from, h)
}

// valid says whether the hello carries a cookie that was made for it.
func (j *cookieJar) valid(now time.Time, from netip.AddrPort, h *clientHello) bool {
	if len(h.cookie) != cookieLength {
		return false
	}
	j.rotate(now)
	return hmac.Equal(h.cookie, j.sum(0, from, h)) || hmac.Equal(h.cookie, j.sum(1, from, h))
}

func (j *cookieJar) sum(generation int, from netip.AddrPort, h *clientHello) []byte {
	addr := from.Addr().As16()
	zone := from.Addr().Zone()
	b := append(j.buf[:0], addr[:]...)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, h.version)
	b = append(b, h.random...)
	for _, field := range [...][]byte{h.sessionID, h.suites, h.compression, []byte(zone)} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(field)))
		b = append(b, field...)
	}
	j.buf = b
	mac := j.macs[generation]
	mac.Reset()
	mac.Write(b)
	return mac.Sum(j.scratch[:0])[:cookieLength]
}

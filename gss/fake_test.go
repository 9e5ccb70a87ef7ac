package gss_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/countersign-go/countersign/gss"
)

const mechFake gss.OID = "\x2a\x03\x04" // 1.2.3.4

// A fakeMech is both halves of a mechanism without credentials: whoever has the
// same password is let in. It shows what a mechanism makes of package gss, and
// lies where it is told to.
type fakeMech struct {
	password string
	legs     int       // tokens that each side sends before the context stands; 1 if zero
	grants   gss.Flags // what the acceptor grants; gss.DefaultFlags if zero
	without  gss.Flags // what the initiator does not ask for, whatever its request says
	endless  bool      // the acceptor is never content
	slow     bool      // Initiate waits for its context's end, as for a KDC that does not answer
}

func (m *fakeMech) Mechanism() gss.OID { return mechFake }

func (m *fakeMech) Initiate(ctx context.Context, req gss.Request) (gss.Context, error) {
	if m.slow {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	if req.Flags == 0 {
		req.Flags = gss.DefaultFlags
	}
	return &fakeContext{mech: m, local: true, target: req.Target, flags: req.Flags &^ m.without, bindings: bindingsSum(req.Bindings)}, nil
}

func (m *fakeMech) Accept(bindings *gss.ChannelBindings) (gss.Context, error) {
	return &fakeContext{mech: m, bindings: bindingsSum(bindings)}, nil
}

func bindingsSum(cb *gss.ChannelBindings) []byte {
	if cb == nil {
		return make([]byte, sha256.Size)
	}
	sum := sha256.Sum256(cb.ApplicationData)
	return sum[:]
}

type fakeContext struct {
	gss.Context // what the tests do not call

	mech     *fakeMech
	local    bool
	target   gss.Name
	bindings []byte
	legs     int

	mu       sync.Mutex
	flags    gss.Flags
	err      error
	deleted  bool
	aead     cipher.AEAD
	nonces   []byte
	send     uint64
	receive  uint64
	nonce    [12]byte
	messages int // that were wrapped
}

var errPassword = errors.New("wrong password")

func (c *fakeContext) fail(major gss.Major, err error) error {
	c.err = &gss.Error{Major: major, Mech: mechFake, Err: err}
	return c.err
}

// Step exchanges tokens of flags(4) | bindings(32) | HMAC-less password hash(32)
// | nonce(16), and then as many of one octet as there are legs to go.
func (c *fakeContext) Step(token []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if text, ok := bytes.CutPrefix(token, []byte("error: ")); ok {
		c.err = &gss.Error{Major: gss.ErrFailure, Mech: mechFake, Remote: true, Err: errors.New(string(text))}
		return nil, c.err
	}
	proof := sha256.Sum256([]byte(c.mech.password))
	if c.legs == 0 && !c.local || c.legs == 1 && c.local {
		if len(token) != 84 {
			return []byte("error: token of the wrong length"), c.fail(gss.ErrDefectiveToken, fmt.Errorf("%d octets", len(token)))
		}
		if !bytes.Equal(token[36:68], proof[:]) {
			return []byte("error: wrong password"), c.fail(gss.ErrUnauthorized, errPassword)
		}
		flags := gss.Flags(binary.BigEndian.Uint32(token))
		if c.local {
			c.flags = flags
		} else {
			grants := c.mech.grants
			if grants == 0 {
				grants = gss.DefaultFlags | gss.Delegation
			}
			c.flags = flags & grants
			if unbound := make([]byte, 32); !bytes.Equal(token[4:36], unbound) && !bytes.Equal(c.bindings, unbound) {
				if !bytes.Equal(token[4:36], c.bindings) {
					return []byte("error: bindings"), c.fail(gss.ErrBadBindings, nil)
				}
				c.flags |= gss.ChannelBound
			}
		}
	}
	if len(token) >= 16 {
		c.nonces = append(c.nonces, token[len(token)-16:]...)
	}
	legs := max(1, c.mech.legs)
	if c.mech.endless {
		legs = 1 << 20
	}
	if c.legs == legs && c.local {
		c.stand()
		return nil, nil
	}
	c.legs++
	out := []byte{byte(c.legs)}
	if c.legs == 1 {
		out = binary.BigEndian.AppendUint32(nil, uint32(c.flags))
		out = append(append(out, c.bindings...), proof[:]...)
		nonce := make([]byte, 16)
		rand.Read(nonce)
		out = append(out, nonce...)
		if c.local {
			c.nonces = append(c.nonces, nonce...)
		} else {
			c.nonces = append(c.nonces, nonce...)
		}
	}
	if c.legs == legs && !c.local {
		c.stand()
	}
	return out, nil
}

func (c *fakeContext) stand() {
	key := sha256.Sum256(c.nonces)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	if c.aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
}

func (c *fakeContext) Established() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.aead != nil
}

func (c *fakeContext) Inquire() gss.Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return gss.Info{
		Mechanism:   mechFake,
		Initiator:   gss.MechanismName(mechFake, gss.NTUserName, "alice"),
		Acceptor:    gss.MechanismName(mechFake, gss.NTUserName, "service"),
		Local:       c.local,
		Established: c.aead != nil,
		Flags:       c.flags,
	}
}

func (c *fakeContext) Delete() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleted = true
}

const fakeHeader = 10 // direction, sealed, sequence number

func (c *fakeContext) header(dst []byte, local, seal bool, seq uint64) []byte {
	var b [2]byte
	if local {
		b[0] = 1
	}
	if seal {
		b[1] = 1
	}
	dst = append(dst, b[:]...)
	return binary.BigEndian.AppendUint64(dst, seq)
}

func (c *fakeContext) Wrap(dst, msg []byte, seal bool) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aead == nil || c.deleted {
		return nil, &gss.Error{Major: gss.ErrNoContext, Mech: mechFake}
	}
	n := len(dst)
	dst = c.header(dst, c.local, seal, c.send)
	c.send++
	c.messages++
	copy(c.nonce[2:], dst[n:])
	if seal {
		return c.aead.Seal(dst, c.nonce[:], msg, dst[n:n+fakeHeader]), nil
	}
	dst = append(dst, msg...)
	return c.aead.Seal(dst, c.nonce[:], nil, dst[n:]), nil
}

func (c *fakeContext) Unwrap(dst, token []byte) ([]byte, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aead == nil || c.deleted {
		return nil, false, &gss.Error{Major: gss.ErrNoContext, Mech: mechFake}
	}
	if len(token) < fakeHeader+c.aead.Overhead() {
		return nil, false, &gss.Error{Major: gss.ErrDefectiveToken, Mech: mechFake}
	}
	if (token[0] == 1) == c.local {
		return nil, false, &gss.Error{Major: gss.ErrBadMIC, Mech: mechFake, Err: errors.New("reflected")}
	}
	header, body := token[:fakeHeader], token[fakeHeader:]
	sealed := token[1] == 1
	copy(c.nonce[2:], header)
	var err error
	if sealed {
		dst, err = c.aead.Open(dst, c.nonce[:], body, header)
	} else {
		end := len(token) - c.aead.Overhead()
		if _, err = c.aead.Open(nil, c.nonce[:], token[end:], token[:end]); err == nil {
			dst = append(dst, token[fakeHeader:end]...)
		}
	}
	if err != nil {
		return nil, false, &gss.Error{Major: gss.ErrBadMIC, Mech: mechFake, Err: err}
	}
	seq := binary.BigEndian.Uint64(header[2:])
	switch {
	case seq < c.receive:
		return nil, false, &gss.Error{Major: gss.ErrDuplicateToken, Mech: mechFake}
	case seq > c.receive:
		c.receive = seq + 1
		return dst, sealed, &gss.Error{Major: gss.ErrGapToken, Mech: mechFake}
	}
	c.receive++
	return dst, sealed, nil
}

func (c *fakeContext) WrapSizeLimit(size int, seal bool) (int, error) {
	return size - fakeHeader - c.aead.Overhead(), nil
}

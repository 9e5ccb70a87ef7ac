package kdc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/krb5conf"
)

// Client asks KDCs for tickets. Its fields must not change once it is in use,
// and its methods may be called concurrently. The zero value of every field
// has a meaning.
type Client struct {
	Profile *krb5conf.Profile // nil: MIT's defaults, and KDCs found by DNS

	// Encryption types to ask for in AS and TGS requests, in order of
	// preference. Empty: aes256-cts-hmac-sha1-96, aes128-cts-hmac-sha1-96,
	// aes256-cts-hmac-sha384-192, aes128-cts-hmac-sha256-128, as MIT has them.
	TktEnctypes []int32
	TGSEnctypes []int32

	Now      func() time.Time // nil: time.Now
	Rand     io.Reader        // nil: crypto/rand; for nonces and subkeys
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	Resolver Resolver // nil: net.DefaultResolver

	// Relay, when not nil, takes requests to a KDC of the realm and gives its
	// reply, instead of the network.
	Relay func(ctx context.Context, realm string, request []byte) (reply []byte, err error)
}

// Resolver finds KDCs and their addresses. *net.Resolver is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
}

var defaultEnctypes = []int32{18, 17, 20, 19}

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Client) rand() io.Reader {
	if c.Rand != nil {
		return c.Rand
	}
	return rand.Reader
}

func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, network, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

func (c *Client) resolver() Resolver {
	if c.Resolver != nil {
		return c.Resolver
	}
	return net.DefaultResolver
}

func (c *Client) tktEnctypes() []int32 {
	if len(c.TktEnctypes) > 0 {
		return c.TktEnctypes
	}
	return defaultEnctypes
}

func (c *Client) tgsEnctypes() []int32 {
	if len(c.TGSEnctypes) > 0 {
		return c.TGSEnctypes
	}
	return defaultEnctypes
}

// nonce is positive and fits 31 bits, which no KDC mistakes for a negative number.
func (c *Client) nonce() (int, error) {
	var b [4]byte
	if _, err := io.ReadFull(c.rand(), b[:]); err != nil {
		return 0, err
	}
	return int(binary.BigEndian.Uint32(b[:]) & 0x7fffffff), nil
}

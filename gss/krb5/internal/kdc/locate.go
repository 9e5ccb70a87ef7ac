package kdc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/countersign-go/countersign/gss/krb5/internal/krb5conf"
)

// maxKDCs bounds how many KDCs of a realm are asked, and addresses of each.
const maxKDCs = 32

// server is a KDC's "host:port" on one network.
type server struct{ network, addr string }

func (s server) String() string { return s.network + " " + s.addr }

var errProxies = errors.New("its KDCs are listed as proxies (URLs), which are not supported")
var errOneLine = errors.New("its entry stands on one line, which makes it a string: put a line break after the opening brace")

// locate gives the KDCs of realm in the order in which to try them: those of the
// configuration, or if it has none and dns_lookup_kdc allows it, those of DNS.
func (c *Client) locate(ctx context.Context, realm string, s krb5conf.Settings, size int, primary bool) ([]server, error) {
	// A realm is a name in an untrusted message at times: nothing is looked up for one
	// that cannot be a domain.
	if realm == "" || strings.ContainsFunc(realm, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, &NoKDCError{Realm: realm}
	}
	var udp, tcp []server
	addrs := c.Profile.KDCs(realm)
	if primary {
		addrs = c.Profile.PrimaryKDCs(realm)
	}
	for _, addr := range addrs {
		udp = append(udp, server{"udp", addr})
		tcp = append(tcp, server{"tcp", addr})
	}
	if len(udp) == 0 {
		var cause error
		switch {
		case len(c.Profile.Values("realms", realm, "kdc")) > 0:
			cause = errProxies
		case len(c.Profile.Values("realms", realm)) > 0:
			cause = errOneLine
		case s.DNSLookupKDC:
			var errUDP, errTCP error
			udp, errUDP = c.lookupSRV(ctx, "udp", realm)
			tcp, errTCP = c.lookupSRV(ctx, "tcp", realm)
			cause = errors.Join(errUDP, errTCP)
		}
		if len(udp)+len(tcp) == 0 {
			return nil, &NoKDCError{Realm: realm, Err: cause}
		}
	}
	udp = udp[:min(len(udp), maxKDCs)]
	tcp = tcp[:min(len(tcp), maxKDCs)]
	switch {
	case size > hardUDPLimit:
		return tcp, nil
	case size > s.UDPPreferenceLimit:
		return append(tcp, udp...), nil
	}
	return append(udp, tcp...), nil
}

// lookupSRV asks DNS as RFC 4120 section 7.2.3.2 has it.
func (c *Client) lookupSRV(ctx context.Context, network, realm string) ([]server, error) {
	_, records, err := c.resolver().LookupSRV(ctx, "kerberos", network, strings.TrimSuffix(realm, ".")+".")
	if err != nil {
		return nil, fmt.Errorf("DNS SRV: %w", err)
	}
	var found []server
	for _, r := range records {
		if host := strings.TrimSuffix(r.Target, "."); host != "" {
			found = append(found, server{network, net.JoinHostPort(host, strconv.Itoa(int(r.Port)))})
		}
	}
	return found, nil
}

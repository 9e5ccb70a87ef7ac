package kdc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign-go/countersign/gss/krb5/internal/krb5conf"
)

// maxKDCs bounds how many KDCs of a realm are asked, and addresses of each.
const maxKDCs = 32

// maxEntry bounds how much of a kdc entry an error repeats, in bytes.
const maxEntry = 80

// server is a KDC's "host:port" on one network.
type server struct{ network, addr string }

func (s server) String() string { return s.network + " " + s.addr }

var errNoSection = errors.New("its entry in [realms] is a string, not a section in braces")

// locate gives the KDCs of realm in the order in which to try them: those of the
// configuration, or if it has none and dns_lookup_kdc allows it, those of DNS.
func (c *Client) locate(ctx context.Context, realm string, s krb5conf.Settings, size int, primary bool) ([]server, error) {
	// A realm is a name in an untrusted message at times: nothing is looked up for one
	// that cannot be a domain.
	if realm == "" || strings.ContainsFunc(realm, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, &NoKDCError{Realm: realm}
	}
	networks := [2]string{"udp", "tcp"}
	if size > s.UDPPreferenceLimit {
		networks = [2]string{"tcp", "udp"}
	}
	listed := c.Profile.KDCs(realm)
	if primary {
		listed = c.Profile.PrimaryKDCs(realm)
	}
	servers := listedServers(listed, networks)
	if len(servers) == 0 {
		var cause error
		switch unusable := c.Profile.Values("realms", realm, "kdc"); {
		case len(unusable) > 0:
			cause = entryError(unusable[0])
		case len(c.Profile.Values("realms", realm)) > 0:
			cause = errNoSection
		case s.DNSLookupKDC:
			servers, cause = c.lookupSRV(ctx, networks, realm)
		}
		if len(servers) == 0 {
			return nil, &NoKDCError{Realm: realm, Err: cause}
		}
	}
	if size > hardUDPLimit {
		servers = slices.DeleteFunc(servers, func(s server) bool { return s.network == "udp" })
		if len(servers) == 0 {
			return nil, &NoKDCError{Realm: realm, Err: fmt.Errorf("the request of %d bytes needs TCP, which none of its KDCs is listed for", size)}
		}
	}
	return servers, nil
}

// listedServers gives the KDCs of the configuration in its order on the first network,
// then on the second those that may be asked on either.
func listedServers(listed []krb5conf.KDC, networks [2]string) []server {
	listed = listed[:min(len(listed), maxKDCs)]
	var first, second []server
	for _, kdc := range listed {
		if kdc.Network != "" {
			first = append(first, server{kdc.Network, kdc.Addr})
			continue
		}
		first = append(first, server{networks[0], kdc.Addr})
		second = append(second, server{networks[1], kdc.Addr})
	}
	return append(first, second...)
}

// entryError says why a kdc entry is of no use.
func entryError(entry string) error {
	entry = entry[:min(len(entry), maxEntry)]
	if strings.Contains(entry, "://") {
		return fmt.Errorf("its KDC %q is a proxy (URL), which is not supported", entry)
	}
	return fmt.Errorf("its KDC %q is not written as host, host:port, tcp/host:port or udp/host:port", entry)
}

// lookupSRV asks DNS for the KDCs on both networks.
func (c *Client) lookupSRV(ctx context.Context, networks [2]string, realm string) ([]server, error) {
	var servers []server
	var errs []error
	for _, network := range networks {
		found, err := c.lookupSRVOn(ctx, network, realm)
		servers = append(servers, found[:min(len(found), maxKDCs)]...)
		errs = append(errs, err)
	}
	return servers, errors.Join(errs...)
}

// lookupSRVOn asks DNS as RFC 4120 section 7.2.3.2 has it.
func (c *Client) lookupSRVOn(ctx context.Context, network, realm string) ([]server, error) {
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

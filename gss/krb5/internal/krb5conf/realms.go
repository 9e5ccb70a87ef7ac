package krb5conf

import (
	"net"
	"net/netip"
	"strings"
)

// kdcPort is the port of a KDC that names none.
const kdcPort = "88"

// A KDC is an entry of a realm's list.
type KDC struct {
	Network string // "udp" or "tcp" where the entry says so, else empty: either
	Addr    string // "host:port"
}

// KDCs gives the KDCs of realm that [realms] lists, in the order of the file, with
// port 88 where none is written. Empty without a list. IPv6 addresses stand in brackets
// or bare; "tcp/" or "udp/" may stand in front, as Heimdal has it. Entries that cannot be
// used, such as the URLs of KDC proxies, are left out.
func (p *Profile) KDCs(realm string) []KDC {
	return kdcs(p.Values("realms", realm, "kdc"))
}

// PrimaryKDCs gives the KDCs of realm that hold its master database, where a
// changed password is known first, in the manner of KDCs.
func (p *Profile) PrimaryKDCs(realm string) []KDC {
	if vs := p.Values("realms", realm, "primary_kdc"); len(vs) > 0 {
		return kdcs(vs)
	}
	return kdcs(p.Values("realms", realm, "master_kdc"))
}

func kdcs(vs []string) []KDC {
	var found []KDC
	for _, v := range vs {
		if kdc, ok := parseKDC(v); ok {
			found = append(found, kdc)
		}
	}
	return found
}

func parseKDC(v string) (kdc KDC, ok bool) {
	v = strings.Trim(v, space)
	for _, network := range []string{"udp", "tcp"} {
		if host, found := strings.CutPrefix(v, network+"/"); found {
			kdc.Network, v = network, host
			break
		}
	}
	kdc.Addr, ok = hostPort(v)
	return kdc, ok
}

// hostPort completes what names a host with the port.
func hostPort(v string) (string, bool) {
	if v == "" || strings.Contains(v, "/") {
		return "", false
	}
	if addr, err := netip.ParseAddr(v); err == nil {
		return net.JoinHostPort(addr.String(), kdcPort), true
	}
	if inner, ok := strings.CutPrefix(v, "["); ok {
		host, rest, ok := strings.Cut(inner, "]")
		if !ok || host == "" {
			return "", false
		}
		port, hasPort := strings.CutPrefix(rest, ":")
		if !hasPort {
			port = kdcPort
		}
		return net.JoinHostPort(host, port), true
	}
	host, port, ok := strings.Cut(v, ":")
	if !ok || port == "" {
		port = kdcPort
	}
	return net.JoinHostPort(host, port), host != ""
}

// RealmOf gives the realm that [domain_realm] has for host: by its own name, or
// by the nearest parent domain written with or without a leading dot; a port after
// the name counts for nothing, here and in FallbackRealm. The comparison
// is with the host's name in lower case, so tags in upper case match nothing. Not
// ok means that the KDC is to be asked for a referral, and failing that
// [Profile.FallbackRealm] tried.
func (p *Profile) RealmOf(host string) (realm string, ok bool) {
	host, _ = splitTrailer(host)
	host = cleanHost(host)
	if host == "" {
		return "", false
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", false
	}
	for name := host; name != ""; {
		if vs := p.Values("domain_realm", name); len(vs) > 0 {
			return vs[0], true
		}
		if suffix, dotted := strings.CutPrefix(name, "."); dotted {
			name = suffix
		} else if dot := strings.IndexByte(name, '.'); dot >= 0 {
			name = name[dot:]
		} else {
			break
		}
	}
	return "", false
}

// FallbackRealm gives the realm to try for a host which neither [domain_realm]
// nor a referral places: its domain in upper case, or the default realm for
// a name without a domain. It is empty where there is neither.
func (p *Profile) FallbackRealm(host string) string {
	host, _ = splitTrailer(host)
	host = cleanHost(host)
	if _, err := netip.ParseAddr(host); err != nil {
		if _, domain, ok := strings.Cut(host, "."); ok && domain != "" {
			return strings.ToUpper(domain)
		}
	}
	return p.defaultRealm()
}

func (p *Profile) defaultRealm() string {
	if vs := p.Values("libdefaults", "default_realm"); len(vs) > 0 {
		return vs[0]
	}
	return ""
}

func cleanHost(host string) string {
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// CAPath gives the realms to go through from the client's realm to the
// server's, without these two: those that [capaths] lists, none for "." and none
// for a pair that it does not mention. ok tells the latter.
func (p *Profile) CAPath(client, server string) (via []string, ok bool) {
	vs := p.Values("capaths", client, server)
	for _, v := range vs {
		if v = strings.Trim(v, space); v != "." && v != "" {
			via = append(via, v)
		}
	}
	return via, len(vs) > 0
}

package krb5conf

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"
)

// Resolver looks up names and addresses. *net.Resolver is one.
type Resolver interface {
	LookupCNAME(ctx context.Context, host string) (string, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// CanonicalHosts gives the names under which a service on host is to be asked
// for, the first first: always one, and a second under
// dns_canonicalize_hostname = fallback, for when the KDC does not know the
// first. Names come in lower case without a trailing dot. What DNS cannot
// answer, within ctx, leaves the name as it was given. A port or instance after a
// colon stays behind the name, which is looked up without.
func (s Settings) CanonicalHosts(ctx context.Context, r Resolver, host string) []string {
	host, trailer := splitTrailer(host)
	plain := cleanHost(s.qualify(host))
	if s.DNSCanonicalizeHostname == CanonicalizeNever {
		return []string{plain + trailer}
	}
	if s.DNSCanonicalizeHostname == CanonicalizeFallback {
		if name := s.resolve(ctx, r, host, plain); name != plain {
			return []string{plain + trailer, name + trailer}
		}
		return []string{plain + trailer}
	}
	return []string{s.resolve(ctx, r, host, plain) + trailer}
}

// splitTrailer takes off what follows a host's name in some services' principals,
// a port as in "server.example:1433" or an instance; the colon is the trailer's.
// It is MIT's rule: a second colon makes an address of it, and one at the end is
// the name's.
func splitTrailer(host string) (name, trailer string) {
	name, rest, _ := strings.Cut(host, ":")
	if rest == "" || strings.Contains(rest, ":") {
		return host, ""
	}
	return name, host[len(name):]
}

// resolve gives DNS's name for host: of its address under rdns, else the end of
// its aliases; plain where there is neither.
func (s Settings) resolve(ctx context.Context, r Resolver, host, plain string) string {
	name, err := r.LookupCNAME(ctx, host)
	if err != nil {
		name = ""
	}
	if s.RDNS {
		if addrs, err := r.LookupHost(ctx, host); err == nil && len(addrs) > 0 {
			if names, err := r.LookupAddr(ctx, addrs[0]); err == nil && len(names) > 0 {
				name = names[0]
			}
		}
	}
	if name = cleanHost(name); name == "" {
		return plain
	}
	return name
}

// qualify appends a domain to a name without a dot.
func (s Settings) qualify(host string) string {
	if strings.Contains(host, ".") {
		return host
	}
	domain := s.QualifyShortname
	if !s.QualifySet {
		domain = resolverDomain.get(time.Now())
	}
	if domain == "" {
		return host
	}
	return host + "." + domain
}

// searchRefresh is how long the resolver's search domain is taken as read,
// which is as long as package net takes the same file for.
const searchRefresh = 5 * time.Second

// cachedDomain spares contexts that are initiated in a row the reading of the
// resolver's configuration.
type cachedDomain struct {
	mu     sync.Mutex
	domain string
	until  time.Time
}

var resolverDomain cachedDomain

func (c *cachedDomain) get(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.After(c.until) {
		c.domain, c.until = searchDomain("/etc/resolv.conf"), now.Add(searchRefresh)
	}
	return c.domain
}

// searchDomain gives the first domain of the last search or domain line of a
// resolver configuration file, or else the domain of this host's own name.
func searchDomain(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		text = nil
	}
	domain := ""
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && (f[0] == "search" || f[0] == "domain") {
			domain = f[1]
		}
	}
	if domain == "" {
		name, err := os.Hostname()
		if err != nil {
			return ""
		}
		_, domain, _ = strings.Cut(name, ".")
	}
	if domain == "." {
		return ""
	}
	return domain
}

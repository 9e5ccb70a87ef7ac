package gsstest

import (
	"fmt"
	"slices"
	"strings"
)

// Krb5Conf returns a krb5.conf that knows this realm alone and asks no name
// server. Hosts of the services added so far, localhost and the loopback
// addresses are mapped to the realm.
func (r *Realm) Krb5Conf() []byte {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	r.mu.Lock()
	for _, p := range r.principals {
		if len(p.name.NameString) != 2 || p.name.NameString[0] == "krbtgt" {
			continue
		}
		if host := p.name.NameString[1]; !strings.ContainsAny(host, " \t\r\n{}=#;\"[]\\") {
			hosts = append(hosts, strings.ToLower(host))
		}
	}
	r.mu.Unlock()
	slices.Sort(hosts)
	var b strings.Builder
	fmt.Fprintf(&b, `# Written by gsstest, an embedded Kerberos realm for development only.
[libdefaults]
	default_realm = %[1]s
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	rdns = false
	forwardable = true

[realms]
	%[1]s = {
		kdc = %[2]s
	}

[domain_realm]
`, r.config.Name, r.Addr())
	for _, host := range slices.Compact(hosts) {
		fmt.Fprintf(&b, "\t%s = %s\n", host, r.config.Name)
	}
	return []byte(b.String())
}

package krb5

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-go/countersign/gss"
)

// accepts reports whether a keytab entry is one to accept with.
func (c *Credential) accepts(realm string, components []string) bool {
	return c.service.matches(realm, components)
}

// acceptorText names whom the credential accepts for, in messages.
func (c *Credential) acceptorText() string { return c.service.text }

// ktadd says how to get a key to accept with into the keytab.
func (m *serviceMatch) ktadd(keytab string) string {
	add := func(principal string) string { return fmt.Sprintf("kadmin -q 'ktadd -k %s %s'", keytab, principal) }
	switch {
	case m.exact == nil && m.service == "":
		return "add a service's key: " + add("host/HOST")
	case m.exact == nil && m.hosts == nil:
		return "add the key of " + m.service + " on this host, by its full name: " + add(m.service+"/HOST")
	}
	return "add the key: " + add(strings.TrimSuffix(m.text, "@"))
}

// serviceMatch is the acceptor's name as a pattern over keytab entries.
type serviceMatch struct {
	name    gss.Name
	text    string   // for messages, as MIT shows it: host/server.example@
	realm   string   // empty: any
	service string   // first component; empty: components decide
	hosts   []string // second component, any of these; nil: any host
	exact   []string // all components of a principal
}

func newServiceMatch(ctx context.Context, profile *Profile, name gss.Name) (serviceMatch, error) {
	if name.IsZero() {
		return serviceMatch{text: "any principal"}, nil
	}
	text, typ := name.Display()
	if typ != gss.NTHostbasedService {
		p, err := clientPrincipal(profile, name)
		if err != nil {
			return serviceMatch{}, err
		}
		return serviceMatch{name: name, text: p.String(), realm: p.Realm, exact: p.Components}, nil
	}
	service, host, err := splitHostbased(text)
	if err != nil {
		return serviceMatch{}, err
	}
	m := serviceMatch{name: name, service: service, text: service + "/*@"}
	if host == "" || profile.settings.IgnoreAcceptorHostname {
		return m, nil
	}
	m.hosts = profile.canonicalHosts(ctx, host)
	m.realm, _ = profile.conf.RealmOf(m.hosts[0])
	m.text = service + "/" + m.hosts[0] + "@" + m.realm
	return m, nil
}

func (m *serviceMatch) matches(realm string, components []string) bool {
	switch {
	case m.realm != "" && realm != m.realm:
		return false
	case m.exact != nil:
		return slices.Equal(components, m.exact)
	case m.service == "":
		return true
	case len(components) != 2 || components[0] != m.service:
		return false
	default:
		return m.hosts == nil || slices.ContainsFunc(m.hosts, func(h string) bool { return strings.EqualFold(h, components[1]) })
	}
}

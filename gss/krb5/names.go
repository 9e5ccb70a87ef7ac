package krb5

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
	"github.com/countersign-go/countersign/gss/krb5/internal/kdc"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// principalName is a principal as a mechanism name.
func principalName(n kmsg.PrincipalName, realm string) gss.Name {
	return gss.MechanismName(gss.MechKrb5, gss.NTKrb5Principal, kmsg.Unparse(n, realm))
}

// maxClaimedName is how much of a name that nobody has vouched for is shown, in
// octets: enough for any real one, and not enough to fill a log with.
const maxClaimedName = 256

// claimedName is a principal in a message of whoever sent one, for error texts.
func claimedName(n kmsg.PrincipalName, realm string) string {
	text := kmsg.Unparse(n, realm)
	if len(text) <= maxClaimedName {
		return text
	}
	return strings.ToValidUTF8(text[:maxClaimedName], "") + "…"
}

func badName(text string, err error) *gss.Error {
	return &gss.Error{Major: gss.ErrBadName, Minor: minorBadName, Mech: gss.MechKrb5, Err: fmt.Errorf("%q: %w", text, err)}
}

var errCredentialUsage = errors.New("The given credential's usage does not match the requested usage")

// splitHostbased takes "service@host" or "service" apart, the host of which is
// empty. "service@" is of the local host, as it is to MIT's library. A slash makes
// it the principal of a service, which as a host-based name would stand for a
// service that nobody has.
func splitHostbased(text string) (service, host string, err error) {
	service, host, at := strings.Cut(text, "@")
	if service == "" || strings.HasPrefix(host, ":") && strings.Count(host, ":") == 1 || strings.ContainsAny(text, "\x00\n\r\t /") || strings.Contains(host, "@") {
		e := badName(text, errors.New("a host-based service is written service@host"))
		e.Hint = hostbasedHint(service, host)
		return "", "", e
	}
	if at && host == "" {
		host, err = localHost(text)
	}
	return service, host, err
}

// localHost is this host's name, for a name that means it.
func localHost(text string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", failure(fmt.Errorf("the local host's name, which %q stands for: %w", text, err))
	}
	return host, nil
}

// hostbasedHint says how the name was probably meant.
func hostbasedHint(service, host string) string {
	first, instance, slash := strings.Cut(service, "/")
	bare, _, realm := strings.Cut(host, "@")
	switch {
	case slash && first != "" && instance != "" && !strings.Contains(instance, "/"):
		return fmt.Sprintf("write %s@%s: the realm follows from the host's name", first, instance)
	case realm && service != "" && bare != "":
		return fmt.Sprintf("write %s@%s: the realm follows from the host's name", service, bare)
	}
	return ""
}

// canonicalHosts gives the names under which the host is asked for, at least
// one, by dns_canonicalize_hostname and rdns.
func (p *Profile) canonicalHosts(ctx context.Context, host string) []string {
	return p.settings.CanonicalHosts(ctx, net.DefaultResolver, host)
}

// targetPrincipals gives the principals to ask the KDC for, in this order. A
// realm that the configuration does not tell is empty: the client's KDC is
// asked then, and may refer to another.
func targetPrincipals(ctx context.Context, profile *Profile, target gss.Name) ([]kdc.Principal, error) {
	text, typ := target.Display()
	if typ != gss.NTHostbasedService {
		p, err := clientPrincipal(profile, target)
		if err != nil {
			return nil, err
		}
		return []kdc.Principal{{Type: p.NameType, Components: p.Components, Realm: p.Realm}}, nil
	}
	service, host, err := splitHostbased(text)
	if err != nil {
		return nil, err
	}
	if host == "" {
		if host, err = localHost(text); err != nil {
			return nil, err
		}
	}
	var principals []kdc.Principal
	for _, h := range profile.canonicalHosts(ctx, host) {
		realm, _ := profile.conf.RealmOf(h)
		principals = append(principals, kdc.Principal{Type: kdc.NTSrvHst, Components: []string{service, h}, Realm: realm})
	}
	return principals, nil
}

// Canonicalize gives the mechanism's own form of a name (GSS_Canonicalize_name),
// which compares with the names that contexts give: a user or principal with
// its realm and in canonical quoting, a host-based service as the principal that
// is asked for first. A host whose realm the configuration does not tell has an
// empty one. ctx bounds the look-up of the host's name.
func (p *Profile) Canonicalize(ctx context.Context, name gss.Name) (gss.Name, error) {
	principals, err := targetPrincipals(ctx, p, name)
	if err != nil {
		return gss.Name{}, err
	}
	first := principals[0]
	return principalName(kmsg.PrincipalName{Type: first.Type, Components: first.Components}, first.Realm), nil
}

// clientPrincipal reads the name of a user or principal; without a realm it is
// of the default realm.
func clientPrincipal(profile *Profile, name gss.Name) (ccache.Principal, error) {
	p, err := readPrincipal(name)
	if err != nil {
		return ccache.Principal{}, err
	}
	if p.Realm == "" {
		p.Realm = profile.DefaultRealm()
	}
	if p.Realm == "" {
		return ccache.Principal{}, &gss.Error{
			Major: gss.ErrBadName,
			Minor: minorNoDefaultRealm,
			Mech:  gss.MechKrb5,
			Err:   fmt.Errorf("Configuration file does not specify default realm, and %q has none", name),
			Hint:  profile.unconfigured("write the name with its realm, or set default_realm in krb5.conf"),
		}
	}
	return p, nil
}

// readPrincipal reads the name of a user or principal; the realm is empty where
// it has none.
func readPrincipal(name gss.Name) (ccache.Principal, error) {
	text, typ := name.Display()
	parse := kmsg.ParsePrincipal
	switch typ {
	case gss.NTUserName, gss.NTKrb5Principal:
	case gss.NTKrb5Enterprise:
		parse = kmsg.ParseEnterprise
	default:
		return ccache.Principal{}, &gss.Error{Major: gss.ErrBadNameType, Mech: gss.MechKrb5, Err: fmt.Errorf("%q is no user or principal", text)}
	}
	p, realm, err := parse(text)
	if err != nil {
		return ccache.Principal{}, badName(text, err)
	}
	return ccache.Principal{Realm: realm, Components: p.Components, NameType: p.Type}, nil
}

// ticketGranting is a realm's own ticket-granting service.
func ticketGranting(realm string) ccache.Principal {
	return ccache.Principal{Realm: realm, Components: []string{"krbtgt", realm}, NameType: kmsg.NTSrvInst}
}

func ccachePrincipal(p kdc.Principal) ccache.Principal {
	return ccache.Principal{Realm: p.Realm, Components: p.Components, NameType: p.Type}
}

func kdcPrincipal(p ccache.Principal) kdc.Principal {
	return kdc.Principal{Type: p.NameType, Components: p.Components, Realm: p.Realm}
}

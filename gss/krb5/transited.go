package krb5

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// maxRealm bounds a realm's name in octets, as MIT's library does.
const maxRealm = 511

// transitedCompress is DOMAIN-X500-COMPRESS, the only encoding there is of the
// realms that a ticket came through (RFC 4120, section 3.3.3.2).
const transitedCompress = 1

var errTransitedSyntax = errors.New("the list of transited realms is malformed")

// checkTransited decides about a ticket that came through other realms (RFC
// 4120, section 2.7). Where the KDC has not done so, every realm must be on the
// path from the client's realm to ours: that of [capaths], else that of the
// realms' hierarchy.
func (h *acceptHandshake) checkTransited() error {
	t := &h.ticket.Transited
	if len(t.Contents) == 0 || h.ticket.Flags&kmsg.TicketTransitedPolicyChecked != 0 {
		return nil
	}
	refuse := func(err error) error { return protocolError(gss.ErrFailure, kmsg.APErrIllCrTkt, err) }
	if t.Type != transitedCompress {
		return refuse(fmt.Errorf("the realms that the ticket came through are in the unknown encoding %d", t.Type))
	}
	client, server := h.ticket.CRealm, h.key.realm
	if err := checkTransitedList(t.Contents, client, server, h.acceptor.cred.profile.realmPath(client, server)); err != nil {
		return refuse(err)
	}
	return nil
}

// checkTransitedList decides about a compressed list of realms as
// krb5_check_transited_list does.
func checkTransitedList(list []byte, client, server string, path []string) error {
	if list, _ = bytes.CutSuffix(list, []byte{0}); len(list) == 0 {
		return nil
	}
	if client == server {
		return errors.New("the ticket came through other realms, though the client is of ours")
	}
	return expandTransited(list, client, server, func(realm []byte) error {
		if slices.Contains(path, string(realm)) {
			return nil
		}
		return fmt.Errorf("the ticket came through realm %q, which is not on the path from %s to %s", realm, client, server)
	})
}

// realmPath gives the realms that may vouch for a client of one realm towards a
// server of another: the client's and those between the two.
func (p *Profile) realmPath(client, server string) []string {
	if via, ok := p.conf.CAPath(client, server); ok {
		return append([]string{client}, via...)
	}
	up, down := parents(client), parents(server)
	for i, realm := range up {
		if j := slices.Index(down, realm); j >= 0 {
			up, down = up[:i+1], down[:j]
			break
		}
	}
	slices.Reverse(down)
	path := append(up, down...)
	if n := len(path); n > 1 && path[n-1] == server {
		path = path[:n-1]
	}
	return path
}

// parents gives a realm and those above it: A.B.C, B.C, C. The path that this
// module's client walks leaves the last out, see package kdc; here the rule has to
// be that of MIT's acceptors.
func parents(realm string) []string {
	all := []string{realm}
	for {
		_, parent, ok := strings.Cut(realm, ".")
		if !ok || parent == "" {
			return all
		}
		all, realm = append(all, parent), parent
	}
}

// expandTransited calls each with the realms that the compressed list of a
// ticket stands for, until that returns an error. It reads the list as MIT's
// library does: a component that ends with a dot goes before the last one, one
// that begins with a slash behind it, and an empty one stands for the realms
// between its neighbours.
func expandTransited(list []byte, client, server string, each func(realm []byte) error) error {
	var (
		component, last []byte
		literal, gap    bool
	)
	end := func() error {
		realm, err := joinRealm(last, component)
		if err == nil {
			err = each(realm)
		}
		if err == nil && gap {
			err = between(realm, last, each)
		}
		last, component, gap = realm, nil, false
		return err
	}
	for i, c := range list {
		switch {
		case literal:
			component, literal = append(component, c), false
		case c == '\\':
			literal = true
		case c == ',' && len(component) > 0:
			if err := end(); err != nil {
				return err
			}
		case c == ',':
			gap = true
			if i == 0 {
				last = []byte(client)
			}
		case c == ' ' && len(component) == 0:
			last = nil
		default:
			component = append(component, c)
		}
		if len(component) > maxRealm {
			return errTransitedSyntax
		}
	}
	if len(component) == 0 {
		return between(last, []byte(server), each)
	}
	return end()
}

// joinRealm completes a component by the one before it.
func joinRealm(last, component []byte) ([]byte, error) {
	switch {
	case component[0] == '/':
		component = slices.Concat(last, component)
	case component[len(component)-1] == '.':
		component = slices.Concat(component, last)
	}
	if len(component) > maxRealm+1 {
		return nil, errTransitedSyntax
	}
	return component, nil
}

// between calls each with the realms between two of which one is above the
// other, in domain or in X.500 style.
func between(a, b []byte, each func([]byte) error) error {
	if len(a) > len(b) {
		a, b = b, a
	}
	switch {
	case len(a) == len(b) && bytes.Equal(a, b):
		return nil
	case len(a) == 0, len(a) == len(b), (a[0] == '/') != (b[0] == '/'):
		return errTransitedSyntax
	case a[0] == '/':
		if !bytes.HasPrefix(b, a) {
			return errTransitedSyntax
		}
		for i := len(a) + 1; i < len(b); i++ {
			if b[i] == '/' {
				if err := each(b[:i]); err != nil {
					return err
				}
			}
		}
		return nil
	default:
		if !bytes.HasSuffix(b, a) {
			return errTransitedSyntax
		}
		for i := len(b) - len(a) - 1; i > 0; i-- {
			if b[i-1] == '.' {
				if err := each(b[i:]); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

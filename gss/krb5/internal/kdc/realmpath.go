package kdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxHops bounds referrals and cross-realm steps, as in MIT's library.
const maxHops = 10

var errReferral = errors.New("referrals run in a loop, too far, or to no realm")

// walk gets a ticket-granting ticket for the realm target by one for realm
// from. The farthest realm on the path is asked for first, since a shared key may
// shorten it, and a KDC may refer to another realm on its own.
func (x *tgsExchange) walk(ctx context.Context, tgt Ticket, from, target string) (Ticket, error) {
	seen := []string{from}
	path := x.path(from, target)
	for range maxHops {
		if from == target {
			return tgt, nil
		}
		next, err := x.farthest(ctx, tgt, from, path)
		if err != nil {
			return Ticket{}, err
		}
		realm, _ := next.Server.isTGS()
		if slices.Contains(seen, realm) {
			return Ticket{}, badReply(fmt.Sprintf("cross-realm ticket from %s to %s", from, realm), errReferral)
		}
		seen = append(seen, realm)
		if i := slices.Index(path, realm); i >= 0 {
			path = path[i+1:]
		} else {
			path = x.path(realm, target)
		}
		tgt, from = next, realm
	}
	return Ticket{}, badReply("cross-realm path to "+target, errReferral)
}

// farthest gets a ticket for the farthest realm on the path that the KDC of
// realm from knows.
func (x *tgsExchange) farthest(ctx context.Context, tgt Ticket, from string, path []string) (Ticket, error) {
	step := *x
	step.opts = TGSOptions{}
	first := badReply("cross-realm path from "+from, errReferral) // of an empty path
	for i, realm := range slices.Backward(path) {
		t, err := step.ask(ctx, tgt, from, TGS(realm, from))
		if err == nil {
			return t, nil
		}
		if i == len(path)-1 {
			first = err
		}
		if !errors.Is(err, &Error{Code: errServerUnknown}) {
			break
		}
	}
	return Ticket{}, first
}

// path gives the realms from one to another, with the last and without the first.
func (x *tgsExchange) path(from, to string) []string {
	if via, ok := x.c.Profile.CAPath(from, to); ok {
		return append(slices.Clone(via[:min(len(via), maxHops-1)]), to)
	}
	return hierarchy(from, to)
}

// hierarchy goes up from one realm to the nearest ancestor in common and down to the
// other, RFC 4120 section 1.1; realms without one are neighbours.
func hierarchy(from, to string) []string {
	up, down := ancestors(from), ancestors(to)
	for i, realm := range up {
		if j := slices.Index(down, realm); j >= 0 {
			path := slices.Clone(up[1 : i+1])
			for _, d := range slices.Backward(down[:j]) {
				path = append(path, d)
			}
			return path[max(0, len(path)-maxHops):]
		}
	}
	return []string{to}
}

// ancestors gives the realm and its parents, but not a top-level domain by itself:
// nobody asks the KDCs of COM. What an acceptor puts up with in a list of transited
// realms goes by MIT's rule, which counts that as a realm like others; being wider, it
// takes every path that is walked here.
func ancestors(realm string) []string {
	all := []string{realm}
	for {
		_, parent, ok := strings.Cut(realm, ".")
		if !ok || !strings.Contains(parent, ".") {
			return all
		}
		all = append(all, parent)
		realm = parent
	}
}

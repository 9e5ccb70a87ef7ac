package krb5

import (
	"sync"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
)

// maxKnownTickets bounds how many targets a credential remembers tickets for. Who talks
// to more services than that looks through the cache for some of them, which costs
// some microseconds a context.
const maxKnownTickets = 64

// knownTickets are those that earlier calls found, by what was asked for. They are good
// for as long as the cache's content is that same value. The zero value knows none; it
// is safe for concurrent use.
type knownTickets struct {
	mu      sync.RWMutex
	content *ccache.Cache
	tickets map[gss.Name]knownTicket
}

type knownTicket struct {
	ticket *ccache.Credential
	until  time.Time // by the local clock
}

// find gives the ticket for the target, or nil.
func (k *knownTickets) find(content *ccache.Cache, target gss.Name, now time.Time) *ccache.Credential {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if known, ok := k.tickets[target]; ok && k.content == content && now.Before(known.until) {
		return known.ticket
	}
	return nil
}

func (k *knownTickets) add(content *ccache.Cache, target gss.Name, known knownTicket) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.content != content || k.tickets == nil {
		k.content, k.tickets = content, make(map[gss.Name]knownTicket)
	}
	if _, there := k.tickets[target]; !there && len(k.tickets) == maxKnownTickets {
		for some := range k.tickets { // any: the map's order is random
			delete(k.tickets, some)
			break
		}
	}
	k.tickets[target] = known
}

func (k *knownTickets) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.content, k.tickets = nil, nil
}

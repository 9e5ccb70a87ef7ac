package ccache

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// A Principal is a name in a realm. Its type says how the name was meant and takes no part in comparison (RFC 4120, 6.2).
type Principal struct {
	Realm      string
	Components []string
	NameType   int32
}

// Equal compares realm and components and, as everywhere in Kerberos, not the type.
func (p Principal) Equal(q Principal) bool {
	return p.Realm == q.Realm && slices.Equal(p.Components, q.Components)
}

// String writes the principal as MIT's krb5_unparse_name does, separators in its parts quoted.
func (p Principal) String() string {
	return kmsg.Unparse(kmsg.PrincipalName{Components: p.Components}, p.Realm)
}

// TypedData is a host address (RFC 4120, 5.2.5) or an element of authorization data (5.2.6).
type TypedData struct {
	Type int32
	Data []byte
}

// A Credential is a ticket with what its owner needs to use it. A zero time stands for one that is not set.
type Credential struct {
	Client, Server Principal
	KeyType        int32
	Key            []byte // the session key
	AuthTime       time.Time
	StartTime      time.Time
	EndTime        time.Time
	RenewTill      time.Time
	IsSKey         bool   // the ticket is sealed in SecondTicket's session key (user-to-user)
	Flags          uint32 // ticket flags, RFC 4120, 5.3: flag 0 is the most significant bit
	Addresses      []TypedData
	AuthData       []TypedData
	Ticket         []byte // DER; a configuration entry's value
	SecondTicket   []byte

	skey byte // IsSKey as read: MIT's library writes 8 for true
}

// String names client, server, enctype and end, and prints neither the key nor the ticket.
func (c Credential) String() string {
	return fmt.Sprintf("%s for %s (etype %d, until %s)", c.Client, c.Server, c.KeyType, c.EndTime.Format(time.RFC3339))
}

// GoString prints what String does: %#v shows no key either.
func (c Credential) GoString() string { return "ccache.Credential{" + c.String() + "}" }

// Format keeps the key out of every verb of package fmt.
func (c Credential) Format(s fmt.State, verb rune) {
	if verb == 'v' && s.Flag('#') {
		_, _ = s.Write([]byte(c.GoString()))
		return
	}
	_, _ = s.Write([]byte(c.String()))
}

// MarshalJSON gives the names, times, flags and enctype, and neither the key nor the tickets.
func (c Credential) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Client    string    `json:"client"`
		Server    string    `json:"server"`
		KeyType   int32     `json:"key_type"`
		AuthTime  time.Time `json:"auth_time"`
		StartTime time.Time `json:"start_time"`
		EndTime   time.Time `json:"end_time"`
		RenewTill time.Time `json:"renew_till"`
		Flags     uint32    `json:"flags"`
	}{c.Client.String(), c.Server.String(), c.KeyType, c.AuthTime, c.StartTime, c.EndTime, c.RenewTill, c.Flags})
}

// A Cache is a credential cache's content. It is safe for concurrent use as long as nobody changes it.
type Cache struct {
	Default     Principal
	TimeOffset  time.Duration // to add to the local clock for the KDC's, to the microsecond
	Credentials []Credential  // in the order of storing, configuration entries among them, removed ones not

	header []byte // the header's tags as read, so that unknown ones are kept
}

// Find gives the credential of client for server that is best at the time now, which is to have the cache's offset in it.
// Expired ones, user-to-user ones and configuration entries are passed over. Of several, that of the enctype named first in
// etypes wins, then the one that lasts longest; with nil etypes any enctype will do.
//
// The result is part of the cache, nil if there is none.
func (c *Cache) Find(client, server Principal, etypes []int32, now time.Time) *Credential {
	best, bestRank := -1, 0
	for i := range c.Credentials {
		cred := &c.Credentials[i]
		// A configuration entry has no end time.
		if cred.IsSKey || !cred.EndTime.After(now) || !cred.Server.Equal(server) || !cred.Client.Equal(client) || cred.IsConfig() {
			continue
		}
		rank := 0
		if etypes != nil {
			if rank = slices.Index(etypes, cred.KeyType); rank < 0 {
				continue
			}
		}
		if best < 0 || rank < bestRank || rank == bestRank && cred.EndTime.After(c.Credentials[best].EndTime) {
			best, bestRank = i, rank
		}
	}
	if best < 0 {
		return nil
	}
	return &c.Credentials[best]
}

// The names under which caches hold configuration instead of tickets, and the realm that marks a removed entry of these.
const (
	configRealm   = "X-CACHECONF:"
	removedRealm  = "X-RMED-CONF:"
	configService = "krb5_ccache_conf_data"
)

// IsConfig says whether the credential is a configuration entry: a value, no ticket.
func (c *Credential) IsConfig() bool {
	return c.Server.Realm == configRealm && len(c.Server.Components) > 0 && c.Server.Components[0] == configService
}

// ConfigEntry makes the configuration entry that holds value under key for the cache of client: about the principal of that
// name (as [Principal.String] writes it), or about the whole cache if it is "".
func ConfigEntry(client Principal, key, principal string, value []byte) Credential {
	server := Principal{Realm: configRealm, Components: []string{configService, key}}
	if principal != "" {
		server.Components = append(server.Components, principal)
	}
	return Credential{Client: client, Server: server, Ticket: value}
}

// Config gives the last value stored under key, for a principal or ("") for the whole cache. MIT's library stores fast_avail,
// pa_type, pa_config_data, proxy_impersonator, refresh_time, start_realm and others.
func (c *Cache) Config(key, principal string) ([]byte, bool) {
	want := ConfigEntry(c.Default, key, principal, nil).Server
	for _, cred := range slices.Backward(c.Credentials) {
		if cred.Server.Equal(want) {
			return cred.Ticket, true
		}
	}
	return nil, false
}

package keytab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// A Keytab holds the entries of one keytab in the file's order. It is safe for concurrent use as long as nobody changes it.
type Keytab struct {
	Entries []Entry
}

// An Entry is one key of one principal.
type Entry struct {
	Realm      string
	Components []string
	NameType   int32 // RFC 4120, section 6.2; 0 (unknown) in files of version 0x0501
	Timestamp  time.Time
	Kvno       uint32 // 0 when the writer did not know it: such an entry answers to every version
	Etype      int32
	Key        []byte
}

// String names the principal, key version and enctype, and not the key.
func (e Entry) String() string {
	return fmt.Sprintf("%s kvno %d %s", principal(e.Realm, e.Components), e.Kvno, etype.ID(e.Etype))
}

// GoString prints what String does: %#v shows no key either.
func (e Entry) GoString() string { return "keytab.Entry{" + e.String() + "}" }

// Format keeps the key out of every verb of package fmt.
func (e Entry) Format(s fmt.State, verb rune) {
	if verb == 'v' && s.Flag('#') {
		_, _ = s.Write([]byte(e.GoString()))
		return
	}
	_, _ = s.Write([]byte(e.String()))
}

// MarshalJSON gives every field but the key.
func (e Entry) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Principal string    `json:"principal"`
		NameType  int32     `json:"name_type"`
		Timestamp time.Time `json:"timestamp"`
		Kvno      uint32    `json:"kvno"`
		Etype     int32     `json:"etype"`
	}{principal(e.Realm, e.Components), e.NameType, e.Timestamp, e.Kvno, e.Etype})
}

// Client gives the principal's keys of the newest version whose enctype is in etypes, the most wanted enctype first and at
// most one key for each. The result is empty when the newest version has none of them: an older key would only fail later.
func (k *Keytab) Client(realm string, components []string, etypes []int32) []Entry {
	var newest *Entry
	for i := range k.Entries {
		e := &k.Entries[i]
		if e.Realm == realm && slices.Equal(e.Components, components) && (newest == nil || moreRecent(e, newest)) {
			newest = e
		}
	}
	if newest == nil {
		return nil
	}
	var found []Entry
	for _, id := range etypes {
		for _, e := range k.Entries {
			if e.Kvno == newest.Kvno && e.Etype == id && e.Realm == realm && slices.Equal(e.Components, components) {
				found = append(found, e)
				break
			}
		}
	}
	return found
}

// moreRecent says whether a is newer than b. A small version that was written no earlier than a large one has wrapped: at 8
// bits in old keytabs and old administration protocols, at 16 in old databases (MIT's heuristic, with its bounds).
func moreRecent(a, b *Entry) bool {
	if !b.Timestamp.After(a.Timestamp) && a.Kvno < 128 && b.Kvno > 240 {
		return true
	}
	if !a.Timestamp.After(b.Timestamp) && a.Kvno > 240 && b.Kvno < 128 {
		return false
	}
	return a.Kvno > b.Kvno
}

// Keys lists the key versions and enctypes that a keytab holds for one principal.
type Keys struct {
	Realm      string
	Components []string
	Versions   []Version // in the file's order, each once
}

// A Version is one key's version and enctype.
type Version struct {
	Kvno  uint32
	Etype int32
}

// Summary lists the distinct principals, in the file's order, and their keys' versions and enctypes. It is for messages that
// say what a keytab holds when it does not hold what was asked for.
func (k *Keytab) Summary() []Keys {
	var all []Keys
	index := make(map[string]int)
	for _, e := range k.Entries {
		name := principal(e.Realm, e.Components)
		i, known := index[name]
		if !known {
			i = len(all)
			index[name] = i
			all = append(all, Keys{Realm: e.Realm, Components: e.Components})
		}
		if v := (Version{e.Kvno, e.Etype}); !slices.Contains(all[i].Versions, v) {
			all[i].Versions = append(all[i].Versions, v)
		}
	}
	return all
}

// String reads "host/a.example@R: kvno 3 (aes256-cts-hmac-sha1-96, aes128-cts-hmac-sha1-96), kvno 2 (...)".
func (k Keys) String() string {
	var b strings.Builder
	b.WriteString(principal(k.Realm, k.Components))
	for i, v := range k.Versions {
		switch {
		case i == 0:
			fmt.Fprintf(&b, ": kvno %d (", v.Kvno)
		case v.Kvno != k.Versions[i-1].Kvno:
			fmt.Fprintf(&b, "), kvno %d (", v.Kvno)
		default:
			b.WriteString(", ")
		}
		b.WriteString(etype.ID(v.Etype).String())
	}
	if len(k.Versions) > 0 {
		b.WriteByte(')')
	}
	return b.String()
}

// principal writes a principal as MIT's krb5_unparse_name does.
func principal(realm string, components []string) string {
	return kmsg.Unparse(kmsg.PrincipalName{Components: components}, realm)
}

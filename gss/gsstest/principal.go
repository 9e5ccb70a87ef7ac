package gsstest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/types"
)

// defaultEnctypes are aes256-cts-hmac-sha1-96, aes128-cts-hmac-sha1-96,
// aes256-cts-hmac-sha384-192 and aes128-cts-hmac-sha256-128, in the order in
// which MIT krb5 prefers them.
var defaultEnctypes = []int32{18, 17, 20, 19}

func checkEnctypes(enctypes []int32) error {
	for i, enctype := range enctypes {
		if !slices.Contains(defaultEnctypes, enctype) {
			return fmt.Errorf("encryption type %d: only 17, 18, 19 and 20 (AES) are supported", enctype)
		}
		if slices.Contains(enctypes[:i], enctype) {
			return fmt.Errorf("encryption type %d is named twice", enctype)
		}
	}
	return nil
}

// A Key is an encryption key of RFC 3961. Printing it shows its type, never its
// value.
type Key struct {
	Enctype int32
	Value   []byte
}

// String names the encryption type and the length.
func (k Key) String() string {
	return fmt.Sprintf("key(enctype %d, %d bytes)", k.Enctype, len(k.Value))
}

// GoString is String.
func (k Key) GoString() string { return k.String() }

// MarshalJSON gives the String, so that a key does not leave in a log record.
func (k Key) MarshalJSON() ([]byte, error) { return []byte(`"` + k.String() + `"`), nil }

func (k Key) wire() types.EncryptionKey {
	return types.EncryptionKey{KeyType: k.Enctype, KeyValue: k.Value}
}

// NewKey makes a random key of type 17 to 20, or of type 23 (RC4), which the KDC
// does not deal in but a minted ticket may hold.
func NewKey(enctype int32) (Key, error) {
	size, ok := keySizes[enctype]
	if !ok {
		return Key{}, fmt.Errorf("gsstest: new key: encryption type %d is not supported", enctype)
	}
	value := make([]byte, size) // random-to-key is the identity for all these types
	rand.Read(value)
	return Key{Enctype: enctype, Value: value}, nil
}

// keySizes are the lengths of protocol keys in bytes. gokrb5's GetKeyByteSize is
// not asked: it has 24 for type 20.
var keySizes = map[int32]int{17: 16, 18: 32, 19: 16, 20: 32, 23: 16}

// check refuses a key of another length than its type asks for.
func (k Key) check() error {
	if size, ok := keySizes[k.Enctype]; !ok || len(k.Value) != size {
		return fmt.Errorf("%v does not fit its encryption type", k)
	}
	return nil
}

// principal is an entry of the database. Entries are never changed in place:
// Rekey puts a new one in the map, so a request may keep the one it looked up.
type principal struct {
	name     types.PrincipalName
	enctypes []int32
	keys     []storedKey // oldest kvno first; within one kvno in the order of enctypes
}

type storedKey struct {
	kvno int
	Key
}

func (p *principal) kvno() int { return p.keys[len(p.keys)-1].kvno }

// key returns the newest key of an encryption type.
func (p *principal) key(enctype int32) (storedKey, bool) {
	return p.version(enctype, p.kvno())
}

// version returns the key of an encryption type and version.
func (p *principal) version(enctype int32, kvno int) (storedKey, bool) {
	for _, k := range p.keys {
		if k.kvno == kvno && k.Enctype == enctype {
			return k, true
		}
	}
	return storedKey{}, false
}

// AddUser adds a principal, such as "alice" or "alice@REALM", whose keys of
// version 1 are derived from the password with the default salt. It fails for a
// malformed name, one of another realm, and one that exists.
func (r *Realm) AddUser(name, password string) error {
	return r.add(name, r.config.Enctypes, func(pn types.PrincipalName, enctype int32) (Key, error) {
		k, _, err := crypto.GetKeyFromPassword(password, pn, r.config.Name, enctype, nil)
		return Key{Enctype: enctype, Value: k.KeyValue}, err
	})
}

// AddService adds a principal, such as "host/localhost", with random keys of
// version 1. Enctypes, when given, take the place of the realm's; the first is
// the one that tickets are encrypted in. It fails as [Realm.AddUser] does.
func (r *Realm) AddService(name string, enctypes ...int32) error {
	if len(enctypes) == 0 {
		enctypes = r.config.Enctypes
	}
	return r.add(name, enctypes, func(_ types.PrincipalName, enctype int32) (Key, error) {
		return NewKey(enctype)
	})
}

func (r *Realm) add(name string, enctypes []int32, makeKey func(types.PrincipalName, int32) (Key, error)) error {
	pn, err := r.localName(name)
	if err == nil {
		err = checkEnctypes(enctypes)
	}
	if err != nil {
		return fmt.Errorf("gsstest: add principal %q: %w", name, err)
	}
	p := &principal{name: pn, enctypes: slices.Clone(enctypes)}
	for _, enctype := range enctypes {
		key, err := makeKey(pn, enctype)
		if err != nil {
			return fmt.Errorf("gsstest: add principal %q: %w", name, err)
		}
		p.keys = append(p.keys, storedKey{kvno: 1, Key: key})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, exists := r.principals[quoteName(pn)]; exists {
		return fmt.Errorf("gsstest: add principal %q: it exists", name)
	}
	r.principals[quoteName(pn)] = p
	return nil
}

// Rekey gives a principal, a user too, new random keys under the next kvno. The
// old ones stay for [Realm.Keytab], and for ticket-granting tickets in use.
func (r *Realm) Rekey(name string) error {
	old, err := r.find(name)
	if err != nil {
		return fmt.Errorf("gsstest: rekey: %w", err)
	}
	p := &principal{name: old.name, enctypes: old.enctypes, keys: slices.Clone(old.keys)}
	for _, enctype := range p.enctypes {
		key, err := NewKey(enctype)
		if err != nil {
			return err
		}
		p.keys = append(p.keys, storedKey{kvno: old.kvno() + 1, Key: key})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.principals[quoteName(p.name)] = p
	return nil
}

// find looks a principal up by its text form, for the Go API.
func (r *Realm) find(name string) (*principal, error) {
	pn, err := r.localName(name)
	if err != nil {
		return nil, fmt.Errorf("principal %q: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.principals[quoteName(pn)]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("principal %q is not in the database: add it first", name)
}

// lookup finds the principal that a request names, or nil. Faults.Unknown hides
// principals here, and only here.
func (r *Realm) lookup(pn types.PrincipalName, realm string, faults Faults) *principal {
	if realm != r.config.Name {
		return nil
	}
	quoted := quoteName(pn)
	for _, hidden := range faults.Unknown {
		if hidden == quoted || hidden == quoted+"@"+realm {
			return nil
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.principals[quoted]
}

func (r *Realm) localName(name string) (types.PrincipalName, error) {
	pn, realm, err := r.parseName(name)
	if err == nil && realm != r.config.Name {
		err = fmt.Errorf("this realm is %s", r.config.Name)
	}
	return pn, err
}

// parseName reads a principal's text form, with backslash as the quoting
// character of RFC 1964, section 2.1.3. Without a realm it is of this one.
func (r *Realm) parseName(name string) (types.PrincipalName, string, error) {
	parts := []string{""}
	inRealm, quoted := false, false
	for _, c := range []byte(name) {
		last := &parts[len(parts)-1]
		switch {
		case c == 0:
			return types.PrincipalName{}, "", errors.New("malformed principal: NUL")
		case quoted:
			*last += string([]byte{c})
			quoted = false
		case c == '\\':
			quoted = true
		case c == '@' && inRealm:
			return types.PrincipalName{}, "", errors.New("malformed principal: two realms")
		case c == '@':
			inRealm = true
			parts = append(parts, "")
		case c == '/' && !inRealm:
			parts = append(parts, "")
		default:
			*last += string([]byte{c})
		}
	}
	realm := r.config.Name
	if inRealm {
		realm = parts[len(parts)-1]
		parts = parts[:len(parts)-1]
	}
	if quoted || realm == "" || slices.Contains(parts, "") || len(parts) > maxComponents || len(name) > maxNameLength {
		return types.PrincipalName{}, "", errors.New("malformed principal")
	}
	nt := nametype.KRB_NT_PRINCIPAL
	switch {
	case parts[0] == "krbtgt":
		nt = nametype.KRB_NT_SRV_INST
	case len(parts) == 2 && parts[0] == "host":
		nt = nametype.KRB_NT_SRV_HST
	}
	return types.PrincipalName{NameType: nt, NameString: parts}, realm, nil
}

var quoteComponent = strings.NewReplacer(`\`, `\\`, `/`, `\/`, `@`, `\@`).Replace

// quoteName is the text form of a name without its realm, and its database key.
func quoteName(pn types.PrincipalName) string {
	quoted := make([]string, len(pn.NameString))
	for i, component := range pn.NameString {
		quoted[i] = quoteComponent(component)
	}
	return strings.Join(quoted, "/")
}

func displayName(pn types.PrincipalName, realm string) string {
	if len(pn.NameString) == 0 {
		return ""
	}
	return quoteName(pn) + "@" + quoteComponent(realm)
}

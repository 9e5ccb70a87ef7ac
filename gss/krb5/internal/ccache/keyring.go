package ccache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Caches in the Linux kernel's keyrings, laid out as MIT's library has them:
//
//	anchor                    session, user, process, thread or (persistent:UID) the user's persistent keyring
//	  _krb_COLLECTION         keyring; under persistent it is _krb
//	    krb_ccache:primary    key: version 1 and the primary cache's name, each length and number of 32 bits
//	    CACHE                 keyring, one a cache
//	      __krb5_princ__          key: the default principal
//	      __krb5_time_offsets__   key: seconds and microseconds to add to the clock
//	      SERVER@REALM            key: a credential; a new one for the same server takes its place
//
// The anchor called legacy is the session keyring, where the first cache of a collection is linked in directly as well.

const (
	persistentAnchor = "persistent"
	processAnchor    = "process"
	threadAnchor     = "thread"
	sessionAnchor    = "session"
	userAnchor       = "user"
	legacyAnchor     = "legacy"

	collectionPrefix     = "_krb_"
	persistentCollection = "_krb"
	primaryKey           = "krb_ccache:primary"
	principalKey         = "__krb5_princ__"
	offsetsKey           = "__krb5_time_offsets__"

	collectionVersion = 1
)

// A keyring is a cache by its name in full. What the name stands for is looked up at each use: keyrings come, go and expire.
type keyring struct {
	anchor, collection, cache string
}

func (k *keyring) name() string {
	return "KEYRING:" + k.anchor + ":" + k.collection + ":" + k.cache
}

// parseKeyring takes apart what follows KEYRING: as anchor:collection:cache, anchor:collection (the cache is "" then), or
// collection alone.
func parseKeyring(residual string) (keyring, error) {
	anchor, rest, anchored := strings.Cut(residual, ":")
	if !anchored {
		anchor, rest = legacyAnchor, residual
	}
	switch anchor {
	case persistentAnchor, processAnchor, threadAnchor, sessionAnchor, userAnchor, legacyAnchor:
	default:
		//lint:ignore ST1005 MIT's words
		return keyring{}, &Error{"KEYRING:" + residual, fmt.Errorf("Invalid keyring anchor name %q: persistent, session, user, process and thread are known", anchor)}
	}
	k := keyring{anchor: anchor}
	var single bool
	k.collection, k.cache, single = strings.Cut(rest, ":")
	if single && k.cache == "" || strings.ContainsAny(rest, "\x00") {
		return keyring{}, &Error{"KEYRING:" + residual, errors.New("the name of a cache in a keyring is empty or has a zero byte")}
	}
	return k, nil
}

// firstCache is what the first cache of a collection is called.
func (k *keyring) firstCache() string {
	if k.collection == "" {
		return "tkt" // a key cannot have an empty name
	}
	return k.collection
}

// parsePrimary reads the key that says which cache of a collection is the primary one.
func parsePrimary(payload []byte) (string, error) {
	s := cryptobyte.String(payload)
	var version, length uint32
	var name []byte
	if !s.ReadUint32(&version) {
		return "", fmt.Errorf("%w: the collection's primary name is cut off", ErrFormat)
	}
	if version != collectionVersion {
		return "", fmt.Errorf("%w: Unknown keyring collection version %d", ErrVersion, version)
	}
	if !s.ReadUint32(&length) || uint64(length) > uint64(len(s)) || !s.ReadBytes(&name, int(length)) || !s.Empty() || length == 0 {
		return "", fmt.Errorf("%w: the collection's primary name is damaged", ErrFormat)
	}
	return string(name), nil
}

func marshalPrimary(name string) []byte {
	b := binary.BigEndian.AppendUint32(nil, collectionVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(name)))
	return append(b, name...)
}

func parseOffsets(payload []byte) (time.Duration, error) {
	s := cryptobyte.String(payload)
	var sec, usec uint32
	if !s.ReadUint32(&sec) || !s.ReadUint32(&usec) || !s.Empty() {
		return 0, fmt.Errorf("%w: the time offset is not of 8 bytes", ErrFormat)
	}
	return time.Duration(int32(sec))*time.Second + time.Duration(int32(usec))*time.Microsecond, nil
}

func marshalOffsets(offset time.Duration) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(int32(offset/time.Second)))
	return binary.BigEndian.AppendUint32(b, uint32(int32(offset%time.Second/time.Microsecond)))
}

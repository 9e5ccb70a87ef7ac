package ccache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func openKeyring(residual string) (*Store, error) {
	k, err := parseKeyring(residual)
	if err != nil {
		return nil, err
	}
	if k.cache == "" {
		err := onKeyThread(func() error {
			id, err := k.findCollection(false)
			if err == nil {
				k.cache, err = k.primary(id)
			}
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			k.cache, err = k.firstCache(), nil
		}
		if err != nil {
			return nil, &Error{"KEYRING:" + residual, err}
		}
	}
	return &Store{k.name(), &k}, nil
}

func keyringCollection(residual string) ([]*Store, error) {
	primary, err := openKeyring(residual)
	if err != nil {
		return nil, err
	}
	stores := []*Store{primary}
	k, err := parseKeyring(residual)
	if err != nil {
		return nil, err
	}
	err = onKeyThread(func() error {
		id, err := k.findCollection(false)
		if err != nil {
			return err
		}
		ids, err := readKeyring(id)
		if err != nil {
			return err
		}
		for _, id := range ids {
			kind, name, err := describeKey(id)
			if errors.Is(err, fs.ErrNotExist) {
				continue // gone since
			} else if err != nil {
				return err
			}
			if one := (keyring{k.anchor, k.collection, name}); kind == "keyring" && one.name() != primary.name {
				stores = append(stores, &Store{one.name(), &one})
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{"KEYRING:" + residual, err}
	}
	return stores, nil
}

// with runs f with the cache's keyring and words its error.
func (k *keyring) with(f func(id keyID) error) error {
	err := onKeyThread(func() error {
		collection, err := k.findCollection(false)
		if err != nil {
			return err
		}
		id, err := searchKey(collection, "keyring", k.cache, 0)
		if err != nil {
			return err
		}
		return f(id)
	})
	if err != nil {
		return &Error{k.name(), err}
	}
	return nil
}

func (k *keyring) load(context.Context) (*Cache, error) {
	c := new(Cache)
	err := k.with(func(id keyID) (err error) { return c.readKeyring(id) })
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Cache) readKeyring(id keyID) error {
	principal, err := searchKey(id, "user", principalKey, 0)
	if err != nil {
		return err
	}
	payload, err := readKey(principal)
	if err != nil {
		return err
	}
	if c.Default, err = unmarshalPrincipal(payload); err != nil {
		return err
	}
	offsets, err := searchKey(id, "user", offsetsKey, 0)
	if err == nil {
		if payload, err = readKey(offsets); err != nil {
			return err
		}
		if c.TimeOffset, err = parseOffsets(payload); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return eachKey(id, func(key keyID, payload []byte) (err error) {
		if key != principal && key != offsets {
			c.Credentials, err = unmarshalCredential(c.Credentials, payload)
		}
		return err
	})
}

func (k *keyring) replace(_ context.Context, c *Cache) error {
	principal, err := marshalPrincipal(c.Default)
	if err == nil {
		err = onKeyThread(func() error { return k.write(c, principal) })
	}
	if err != nil {
		return &Error{k.name(), err}
	}
	return nil
}

func (k *keyring) write(c *Cache, principal []byte) error {
	collection, err := k.findCollection(true)
	if err != nil {
		return err
	}
	if _, err := k.primary(collection); errors.Is(err, fs.ErrNotExist) {
		_, err = addKey("user", primaryKey, marshalPrimary(k.firstCache()), collection)
		if err != nil {
			return err
		}
	}
	id, err := findOrMakeKeyring(collection, 0, k.cache)
	if err != nil {
		return err
	}
	if _, err := unix.KeyctlInt(unix.KEYCTL_CLEAR, int(id), 0, 0, 0); err != nil {
		return keyError("clear", err)
	}
	// The time that an earlier content gave it must not end this one.
	if _, err := unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, int(id), 0, 0, 0); err != nil {
		return keyError("set the end of", err)
	}
	if k.isLegacy() {
		if _, err := unix.KeyctlInt(unix.KEYCTL_LINK, int(id), int(sessionToWrite()), 0, 0); err != nil {
			return keyError("link", err)
		}
	}
	if _, err := addKey("user", principalKey, principal, id); err != nil {
		return err
	}
	if c.TimeOffset != 0 && !k.isLegacy() {
		if _, err := addKey("user", offsetsKey, marshalOffsets(c.TimeOffset), id); err != nil {
			return err
		}
	}
	for i := range c.Credentials {
		if err := k.store(id, &c.Credentials[i]); err != nil {
			return err
		}
	}
	return k.setTimeout(id)
}

// isLegacy says whether the cache is one that MIT's library before 1.12 would look for in the session keyring.
func (k *keyring) isLegacy() bool { return k.anchor == legacyAnchor && k.cache == k.collection }

func (k *keyring) append(_ context.Context, cred *Credential) error {
	return k.with(func(id keyID) error {
		if err := k.store(id, cred); err != nil {
			return err
		}
		return k.setTimeout(id)
	})
}

// store adds one credential, which the kernel forgets when it ends.
func (k *keyring) store(id keyID, cred *Credential) error {
	data, err := marshalCredential(cred)
	if err != nil {
		return err
	}
	defer clear(data)
	// The kernel holds user keys of up to 32,767 bytes; big_key ones are larger, where it has been built with them.
	var key keyID
	err = unix.ENODEV
	if k.anchor != legacyAnchor {
		key, err = addKey("big_key", cred.Server.String(), data, id)
	}
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
		key, err = addKey("user", cred.Server.String(), data, id)
	}
	if err != nil {
		return err
	}
	if left := time.Until(cred.EndTime); left > 0 {
		return setKeyTimeout(key, left)
	}
	return nil
}

// setTimeout has the kernel forget the cache when the last of its tickets ends.
func (k *keyring) setTimeout(id keyID) error {
	var c Cache
	if err := c.readKeyring(id); err != nil {
		return err
	}
	var end time.Time
	for i := range c.Credentials {
		if e := c.Credentials[i].EndTime; e.After(end) {
			end = e
		}
	}
	if end.IsZero() {
		return nil
	}
	return setKeyTimeout(id, time.Until(end))
}

func (k *keyring) remove(_ context.Context, match func(*Credential) bool) (removed int, err error) {
	err = k.with(func(id keyID) error {
		var c Cache
		if err := c.readKeyring(id); err != nil {
			return err
		}
		for i := range c.Credentials {
			if !match(&c.Credentials[i]) {
				continue
			}
			server := c.Credentials[i].Server.String()
			key, err := searchKey(id, "big_key", server, 0)
			if err != nil {
				key, err = searchKey(id, "user", server, 0)
			}
			if err != nil {
				return err
			}
			if _, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, int(key), int(id), 0, 0); err != nil {
				return keyError("unlink", err)
			}
			removed++
		}
		return nil
	})
	return removed, err
}

func (k *keyring) destroy(context.Context) error {
	return k.with(func(id keyID) error {
		if _, err := searchKey(id, "user", principalKey, 0); err != nil {
			return err
		}
		collection, err := k.findCollection(false)
		if err != nil {
			return err
		}
		_, err = unix.KeyctlInt(unix.KEYCTL_CLEAR, int(id), 0, 0, 0)
		if err == nil {
			_, err = unix.KeyctlInt(unix.KEYCTL_UNLINK, int(id), int(collection), 0, 0)
		}
		if err == nil && k.isLegacy() {
			_, err = unix.KeyctlInt(unix.KEYCTL_UNLINK, int(id), int(sessionToWrite()), 0, 0)
		}
		if err != nil {
			return keyError("unlink", err)
		}
		return nil
	})
}

// findCollection finds the keyring of the cache's collection, or makes it.
func (k *keyring) findCollection(create bool) (keyID, error) {
	var anchor, possess keyID
	name := collectionPrefix + k.collection
	switch k.anchor {
	case persistentAnchor:
		uid := os.Geteuid()
		if k.collection != "" {
			n, err := strconv.ParseUint(k.collection, 10, 32)
			if err != nil {
				//lint:ignore ST1005 MIT's words
				return 0, fmt.Errorf("Invalid UID in persistent keyring name: %q", k.collection)
			}
			uid = int(n)
		}
		id, err := unix.KeyctlInt(unix.KEYCTL_GET_PERSISTENT, uid, unix.KEY_SPEC_PROCESS_KEYRING, 0, 0)
		if errors.Is(err, unix.EOPNOTSUPP) && uid == os.Geteuid() { // a kernel without persistent keyrings
			id, err = unix.KEY_SPEC_USER_KEYRING, nil
		}
		if err != nil {
			return 0, keyError("get the persistent keyring of user "+strconv.Itoa(uid), err)
		}
		anchor, possess, name = keyID(id), unix.KEY_SPEC_PROCESS_KEYRING, persistentCollection
	case processAnchor:
		anchor = unix.KEY_SPEC_PROCESS_KEYRING
	case threadAnchor:
		anchor = unix.KEY_SPEC_THREAD_KEYRING
	case userAnchor:
		// That keyring does not make its reader a possessor, which the rights to its keys depend on; the process's own does.
		anchor, possess = unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_PROCESS_KEYRING
	default:
		anchor = sessionToWrite()
	}
	if create {
		return findOrMakeKeyring(anchor, possess, name)
	}
	return searchKey(anchor, "keyring", name, possess)
}

// primary gives the name of the collection's primary cache.
func (k *keyring) primary(collection keyID) (string, error) {
	id, err := searchKey(collection, "user", primaryKey, 0)
	if err != nil {
		return "", err
	}
	payload, err := readKey(id)
	if err != nil {
		return "", err
	}
	return parsePrimary(payload)
}

func findOrMakeKeyring(parent, possess keyID, name string) (keyID, error) {
	id, err := searchKey(parent, "keyring", name, possess)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	if possess == 0 {
		return addKey("keyring", name, nil, parent)
	}
	if id, err = addKey("keyring", name, nil, possess); err != nil {
		return 0, err
	}
	if _, err := unix.KeyctlInt(unix.KEYCTL_LINK, int(id), int(parent), 0, 0); err != nil {
		return 0, keyError("link", err)
	}
	return id, nil
}

// sessionToWrite is the session keyring. A process without one of its own has the user's: some kernels would make a new one
// for whoever writes, in which nobody else sees anything.
func sessionToWrite() keyID {
	session, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err == nil {
		if user, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_SESSION_KEYRING, false); err == nil && user == session {
			return unix.KEY_SPEC_USER_SESSION_KEYRING
		}
	}
	return unix.KEY_SPEC_SESSION_KEYRING
}

// eachKey calls f with each key of a keyring and its payload.
func eachKey(id keyID, f func(key keyID, payload []byte) error) error {
	ids, err := readKeyring(id)
	if err != nil {
		return err
	}
	for _, key := range ids {
		payload, err := readKey(key)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue // gone since, as MIT's library takes both
		}
		if err == nil {
			err = f(key, payload)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readKeyring lists a keyring's keys.
func readKeyring(id keyID) ([]keyID, error) {
	payload, err := readKey(id)
	if err != nil {
		return nil, err
	}
	ids := make([]keyID, len(payload)/4)
	for i := range ids {
		ids[i] = keyID(binary.NativeEndian.Uint32(payload[4*i:]))
	}
	return ids, nil
}

// describeKey gives a key's type and description, which the kernel writes as type;uid;gid;permissions;description.
func describeKey(id keyID) (kind, name string, err error) {
	text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, int(id))
	if err != nil {
		return "", "", keyError("describe", err)
	}
	parts := strings.SplitN(text, ";", 5)
	if len(parts) != 5 {
		return "", "", fmt.Errorf("%w: a key described as %q", ErrFormat, text)
	}
	return parts[0], parts[4], nil
}

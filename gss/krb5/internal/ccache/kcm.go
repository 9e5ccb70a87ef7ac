package ccache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// A kcm is a cache that a daemon keeps, sssd or Heimdal's kcm: see kcmwire.go for its language. Each operation has a connection
// of its own, as daemons drop idle ones.
type kcm struct {
	socket string
	name   string // the daemon's
}

// Requests, each with its parameters and its reply's content. Names end in a zero byte, lists of UUIDs with the message.
const (
	kcmGenNew           = 3     // () -> name
	kcmInitialize       = 4     // name, principal
	kcmDestroy          = 5     // name
	kcmStore            = 6     // name, credential
	kcmGetPrincipal     = 8     // name -> principal
	kcmGetCredUUIDList  = 9     // name -> UUIDs
	kcmGetCredByUUID    = 10    // name, UUID -> credential
	kcmRemoveCred       = 11    // name, flags, credential tag
	kcmGetCacheUUIDList = 18    // () -> UUIDs
	kcmGetCacheByUUID   = 19    // UUID -> name
	kcmGetDefaultCache  = 20    // () -> name
	kcmGetKDCOffset     = 22    // name -> seconds
	kcmSetKDCOffset     = 23    // name, seconds
	kcmGetCredList      = 13001 // name -> number of credentials, each with its length before it
	kcmReplace          = 13002 // name, seconds, principal, number of credentials, each with its length before it
)

// kcmTimesExact among REMOVE_CRED's flags has the daemon compare the times of tickets too.
const kcmTimesExact = 1 << 26

func (r Resolver) kcmSocket() string {
	if r.KCMSocket == "" {
		return defaultKCMSocket
	}
	return r.KCMSocket
}

func (r Resolver) openKCM(ctx context.Context, name string) (*Store, error) {
	if name == "" {
		return r.askKCMName(ctx, kcmGetDefaultCache)
	}
	return r.kcmStore(name), nil
}

func (r Resolver) newKCM(ctx context.Context) (*Store, error) { return r.askKCMName(ctx, kcmGenNew) }

func (r Resolver) kcmStore(name string) *Store {
	return &Store{"KCM:" + name, &kcm{socket: r.kcmSocket(), name: name}}
}

func (r Resolver) askKCMName(ctx context.Context, op uint16) (*Store, error) {
	conn, err := dialKCM(ctx, r.kcmSocket())
	if err != nil {
		return nil, &Error{"KCM:", err}
	}
	defer conn.Close()
	reply, err := conn.call(op)
	if err != nil {
		return nil, &Error{"KCM:", err}
	}
	name, err := kcmName(reply)
	if err != nil {
		return nil, &Error{"KCM:", err}
	}
	return r.kcmStore(name), nil
}

func (r Resolver) kcmCollection(ctx context.Context) ([]*Store, error) {
	primary, err := r.openKCM(ctx, "")
	if err != nil {
		return nil, err
	}
	stores := []*Store{primary}
	conn, err := dialKCM(ctx, r.kcmSocket())
	if err != nil {
		return nil, &Error{"KCM:", err}
	}
	defer conn.Close()
	ids, err := conn.uuids(kcmGetCacheUUIDList)
	if errors.Is(err, fs.ErrNotExist) {
		return stores, nil
	} else if err != nil {
		return nil, &Error{"KCM:", err}
	}
	for _, id := range ids {
		reply, err := conn.call(kcmGetCacheByUUID, id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since
		}
		var name string
		if err == nil {
			name, err = kcmName(reply)
		}
		if err != nil {
			return nil, &Error{"KCM:", err}
		}
		if s := r.kcmStore(name); s.name != primary.name {
			stores = append(stores, s)
		}
	}
	return stores, nil
}

// with makes a connection for f and words its error.
func (k *kcm) with(ctx context.Context, f func(conn *kcmConn, name []byte) error) error {
	conn, err := dialKCM(ctx, k.socket)
	if err == nil {
		defer conn.Close()
		err = f(conn, append([]byte(k.name), 0))
	}
	if err != nil {
		return &Error{"KCM:" + k.name, err}
	}
	return nil
}

func (k *kcm) load(ctx context.Context) (*Cache, error) {
	var c *Cache
	err := k.with(ctx, func(conn *kcmConn, name []byte) (err error) {
		c, err = conn.cache(name)
		return err
	})
	return c, err
}

func (c *kcmConn) cache(name []byte) (*Cache, error) {
	reply, err := c.call(kcmGetPrincipal, name)
	if err != nil {
		return nil, err
	}
	if len(reply) == 0 { // Heimdal's answer for a cache that is not initialised
		return nil, fs.ErrNotExist
	}
	cache := new(Cache)
	if cache.Default, err = unmarshalPrincipal(reply); err != nil {
		return nil, err
	}
	// Not every daemon has one.
	if reply, err = c.call(kcmGetKDCOffset, name); err == nil && len(reply) == 4 {
		cache.TimeOffset = time.Duration(int32(binary.BigEndian.Uint32(reply))) * time.Second
	}
	cache.Credentials, err = c.credentials(name)
	return cache, err
}

// credentials gets the credentials by one question if the daemon understands it, else one by one.
func (c *kcmConn) credentials(name []byte) ([]Credential, error) {
	reply, err := c.call(kcmGetCredList, name)
	if err == nil {
		return kcmCredList(reply)
	}
	if _, refused := errors.AsType[kcmStatus](err); !refused {
		return nil, err
	}
	ids, err := c.uuids(kcmGetCredUUIDList, name)
	if err != nil {
		return nil, err
	}
	var creds []Credential
	for _, id := range ids {
		reply, err := c.call(kcmGetCredByUUID, name, id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since
		}
		if err != nil {
			return nil, err
		}
		if creds, err = unmarshalCredential(creds, reply); err != nil {
			return nil, err
		}
	}
	return creds, nil
}

func (k *kcm) replace(ctx context.Context, c *Cache) error {
	return k.with(ctx, func(conn *kcmConn, name []byte) error {
		principal, err := marshalPrincipal(c.Default)
		if err != nil {
			return err
		}
		var refused kcmStatus
		if err := conn.replaceAtOnce(name, principal, c); err == nil || !errors.As(err, &refused) {
			return err
		}
		if _, err := conn.call(kcmInitialize, name, principal); err != nil {
			return err
		}
		if c.TimeOffset != 0 {
			if _, err := conn.call(kcmSetKDCOffset, name, kcmOffset(c.TimeOffset)); err != nil {
				return err
			}
		}
		for i := range c.Credentials {
			if err := conn.store(name, &c.Credentials[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// replaceAtOnce asks for what newer daemons can do. No reader sees the content half changed then.
func (c *kcmConn) replaceAtOnce(name, principal []byte, cache *Cache) error {
	w := newWriter(version4)
	w.uint32(uint32(len(cache.Credentials)))
	for i := range cache.Credentials {
		data, err := marshalCredential(&cache.Credentials[i])
		if err != nil {
			return err
		}
		w.counted(string(data))
	}
	defer clear(w.b)
	_, err := c.call(kcmReplace, name, kcmOffset(cache.TimeOffset), principal, w.b)
	return err
}

func kcmOffset(offset time.Duration) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(int32(offset/time.Second)))
}

func (c *kcmConn) store(name []byte, cred *Credential) error {
	data, err := marshalCredential(cred)
	if err != nil {
		return err
	}
	defer clear(data)
	_, err = c.call(kcmStore, name, data)
	return err
}

func (k *kcm) append(ctx context.Context, cred *Credential) error {
	return k.with(ctx, func(conn *kcmConn, name []byte) error { return conn.store(name, cred) })
}

func (k *kcm) remove(ctx context.Context, match func(*Credential) bool) (removed int, err error) {
	err = k.with(ctx, func(conn *kcmConn, name []byte) error {
		cache, err := conn.cache(name)
		if err != nil {
			return err
		}
		flags := binary.BigEndian.AppendUint32(nil, kcmTimesExact)
		for i := range cache.Credentials {
			if !match(&cache.Credentials[i]) {
				continue
			}
			tag, err := kcmTag(&cache.Credentials[i])
			if err != nil {
				return err
			}
			if _, err := conn.call(kcmRemoveCred, name, flags, tag); err != nil {
				return fmt.Errorf("removing a credential: %w", err)
			}
			removed++
		}
		return nil
	})
	return removed, err
}

func (k *kcm) destroy(ctx context.Context) error {
	return k.with(ctx, func(conn *kcmConn, name []byte) error {
		_, err := conn.call(kcmDestroy, name)
		return err
	})
}

// kcmTag describes a credential that is to be removed: client, server and times.
func kcmTag(c *Credential) ([]byte, error) {
	w := newWriter(version4)
	w.uint32(1 | 2) // client and server are given; key, tickets, addresses and authorization data are not
	w.principal(c.Client)
	w.principal(c.Server)
	for _, t := range []time.Time{c.AuthTime, c.StartTime, c.EndTime, c.RenewTill} {
		w.time(t)
	}
	w.b = append(w.b, 0) // user-to-user
	w.uint32(c.Flags)
	return slices.Clip(w.b), w.err
}

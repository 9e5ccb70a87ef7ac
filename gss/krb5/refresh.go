package krb5

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
	"github.com/countersign-go/countersign/gss/krb5/internal/kdc"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// Tickets are kept alive by whoever initiates when it is time: a renewable
// ticket-granting ticket is renewed when half of its lifetime is gone, one that
// a client keytab got is got anew then. One caller does it at a time, the others
// go on with what there is.

const (
	// configRefreshTime is the cache's entry in which MIT's library and this one
	// note when tickets that a client keytab got are to be got again, in seconds
	// since 1970. It is there in no other cache.
	configRefreshTime = "refresh_time"

	// retryAfter is how long after a failed attempt the next is made, MIT's
	// value.
	retryAfter = 30 * time.Second

	// renewTimeout bounds an attempt while the old ticket still lives: whoever
	// initiates meanwhile waits for it.
	renewTimeout = 5 * time.Second
)

// renewal says who is keeping tickets alive and when the next may try.
type renewal struct {
	once  sync.Once
	turn  chan struct{} // holds a value while somebody is at it
	retry atomic.Int64  // Unix time in nanoseconds

	failed atomic.Pointer[failedAcquisition] // of who had no living ticket; nil after a success
}

// A failedAcquisition is what the KDC's answer, or silence, left to say until the
// next attempt is due.
type failedAcquisition struct {
	err   error
	again time.Time
}

// failure is the error of an attempt that is too recent to be repeated.
func (r *renewal) failure(now time.Time) error {
	if f := r.failed.Load(); f != nil && now.Before(f.again) {
		return f.err
	}
	return nil
}

func (r *renewal) start() chan struct{} {
	r.once.Do(func() { r.turn = make(chan struct{}, 1) })
	return r.turn
}

// grantingTicket is the longest-lived ticket-granting ticket, which may have
// ended; nil if there is none.
func (c *Credential) grantingTicket(content *ccache.Cache) *ccache.Credential {
	return content.Find(c.client, ticketGranting(c.client.Realm), nil, time.Time{})
}

// A remedy is what is to be done about a cache's content.
type remedy int

const (
	leave   remedy = iota // nothing
	renew                 // the ticket-granting ticket
	reget                 // the same with the client keytab's keys, while the old one lives
	acquire               // the same, as there is none that lives
)

// refresh gives the cache's content with tickets that are renewed where it is
// time. It takes what the caller read, or failed to read. What cannot be renewed
// is left as it is while it lives.
func (c *Credential) refresh(ctx context.Context, kc *kdc.Client, content *ccache.Cache, readErr error, clock func() time.Time) (*ccache.Cache, error) {
	if clock == nil {
		clock = time.Now
	}
	what, err := c.remedy(ctx, content, readErr, clock())
	if err != nil || what == leave {
		return content, err
	}
	turn := c.renewal.start()
	if what == acquire {
		if err := c.renewal.failure(clock()); err != nil {
			return nil, err
		}
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return nil, failure(context.Cause(ctx))
		}
	} else {
		if clock().UnixNano() < c.renewal.retry.Load() {
			return content, nil
		}
		select {
		case turn <- struct{}{}:
		default:
			return content, nil
		}
	}
	defer func() { <-turn }()

	// It may have been done meanwhile, by another process even.
	content, readErr = c.cache.store.Current(ctx)
	if what, err = c.remedy(ctx, content, readErr, clock()); err != nil || what == leave {
		return content, err
	}
	if what == acquire {
		if err := c.renewal.failure(clock()); err != nil {
			return nil, err // who waited for another's failure need not repeat it
		}
		return c.acquireAnew(ctx, kc, clock)
	}
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	return c.prolong(ctx, kc, content, what, clock), nil
}

// acquireAnew gets tickets where there is none that lives. A KDC's refusal or
// silence is remembered for as long as a failed renewal is: with a dead KDC every
// caller would else wait, one after the other, for as long as it takes to find out.
func (c *Credential) acquireAnew(ctx context.Context, kc *kdc.Client, clock func() time.Time) (*ccache.Cache, error) {
	content, err := c.acquireByKeytab(ctx, kc)
	switch {
	case err == nil:
		c.renewal.failed.Store(nil)
	case ctx.Err() == nil: // the caller's own deadline says nothing of the KDC
		c.renewal.failed.Store(&failedAcquisition{err, clock().Add(retryAfter)})
	}
	return content, err
}

// remedy looks at a cache's content, or at why it could not be read.
func (c *Credential) remedy(ctx context.Context, content *ccache.Cache, err error, now time.Time) (remedy, error) {
	if err != nil {
		if c.clientKeytab != nil && errors.Is(err, fs.ErrNotExist) {
			return acquire, nil
		}
		return leave, cacheError(err)
	}
	if !content.Default.Equal(c.client) {
		return leave, nil
	}
	tgt := c.grantingTicket(content)
	if tgt == nil || !tgt.EndTime.After(now.Add(content.TimeOffset)) {
		if c.clientKeytab != nil && len(c.clientKeys(ctx)) > 0 {
			return acquire, nil
		}
		return leave, nil
	}
	due, what := c.refreshTime(content, tgt)
	if due.IsZero() || now.Before(due) {
		return leave, nil
	}
	return what, nil
}

// refreshTime is when a living ticket-granting ticket is to be refreshed and
// how, by the local clock; zero if it is not.
func (c *Credential) refreshTime(content *ccache.Cache, tgt *ccache.Credential) (time.Time, remedy) {
	if c.clientKeytab != nil {
		if value, ok := content.Config(configRefreshTime, ""); ok {
			if seconds, err := strconv.ParseInt(string(value), 10, 64); err == nil {
				return time.Unix(seconds, 0).Add(-content.TimeOffset), reget
			}
		}
	}
	if tgt.Flags&kdc.FlagRenewable == 0 || !tgt.RenewTill.After(tgt.EndTime) {
		return time.Time{}, leave
	}
	return halfLife(tgt).Add(-content.TimeOffset), renew
}

func halfLife(t *ccache.Credential) time.Time {
	start := t.StartTime
	if start.IsZero() {
		start = t.AuthTime
	}
	return start.Add(t.EndTime.Sub(start) / 2)
}

// nextRefresh is when refresh may have something to do next, by the local clock;
// zero for never.
func (c *Credential) nextRefresh(content *ccache.Cache) time.Time {
	tgt := c.grantingTicket(content)
	if tgt == nil {
		return time.Time{}
	}
	due, what := c.refreshTime(content, tgt)
	if what == leave {
		return time.Time{}
	}
	if retry := time.Unix(0, c.renewal.retry.Load()); retry.After(due) {
		return retry
	}
	return due
}

// prolong replaces a ticket-granting ticket that still lives, and gives the old
// content if that fails.
func (c *Credential) prolong(ctx context.Context, kc *kdc.Client, content *ccache.Cache, what remedy, clock func() time.Time) *ccache.Cache {
	// No other call of this process tries again soon, but for a client keytab's tickets after a success.
	c.renewal.retry.Store(clock().Add(retryAfter).UnixNano())
	if what == reget {
		// Nor another process that shares the cache.
		again := clock().Add(retryAfter + content.TimeOffset)
		if c.cache.store.SetConfig(ctx, c.client, configRefreshTime, refreshValue(again)) != nil {
			return content
		}
		if fresh, err := c.acquireByKeytab(ctx, kc); err == nil {
			c.renewal.retry.Store(0) // short tickets are due again before a failed attempt would be
			return fresh
		}
		return content
	}
	old := c.grantingTicket(content)
	ask := kdcTicket(*old)
	ask.Offset = content.TimeOffset
	t, err := kc.TGS(ctx, ask, kdc.Principal{}, kdc.TGSOptions{Renew: true})
	if err != nil || !t.EndTime.After(old.EndTime) {
		return content
	}
	// The new one is added before the old one goes, so that others who use the
	// cache always find one.
	if c.cache.store.Append(ctx, cacheEntry(t)) != nil {
		c.renewal.retry.Store(old.EndTime.UnixNano()) // what cannot be kept is not asked for again
		return content
	}
	_, _ = c.cache.store.Remove(ctx, func(cred *ccache.Credential) bool {
		return cred.Server.Equal(old.Server) && bytes.Equal(cred.Ticket, old.Ticket)
	})
	fresh, err := c.cache.store.Current(ctx)
	if err != nil {
		return content
	}
	return fresh
}

func refreshValue(t time.Time) []byte { return strconv.AppendInt(nil, t.Unix(), 10) }

// clientKeys are the client's newest keys in the client keytab.
func (c *Credential) clientKeys(ctx context.Context) []kdc.Key {
	kt, err := c.clientKeytab.current(ctx)
	if err != nil {
		return nil
	}
	var keys []kdc.Key
	for _, e := range kt.Client(c.keyed.Realm, c.keyed.Components, c.keyEtypes) {
		keys = append(keys, kdc.Key{Etype: e.Etype, Value: e.Key})
	}
	return keys
}

// acquireByKeytab gets a ticket-granting ticket with the client keytab's keys
// into the cache, whose content it replaces.
func (c *Credential) acquireByKeytab(ctx context.Context, kc *kdc.Client) (*ccache.Cache, error) {
	keys := c.clientKeys(ctx)
	if len(keys) == 0 {
		return nil, &gss.Error{
			Major: gss.ErrNoCred,
			Minor: minorKeytabNotFound,
			Mech:  gss.MechKrb5,
			Err:   fmt.Errorf("Keytab contains no suitable keys for %s: %s", c.keyed, c.clientKeytab.Name()),
			Hint:  "see what klist -k says of that keytab",
		}
	}
	tgt, err := kc.AS(ctx, kdcPrincipal(c.keyed), kdc.Keys(keys...), kdc.ASOptions{})
	if err != nil {
		e := c.profile.kdcError(err).(*gss.Error)
		if errors.Is(err, &kdc.Error{Code: int32(kmsg.KDCErrPreauthFailed)}) {
			e.Hint = fmt.Sprintf("the key in %s is not the KDC's any more: bring it up to date with ktadd", c.clientKeytab.Name())
		}
		return nil, e
	}
	entry := cacheEntry(tgt)
	content := &ccache.Cache{
		Default:    entry.Client,
		TimeOffset: tgt.Offset,
		Credentials: []ccache.Credential{
			entry,
			ccache.ConfigEntry(entry.Client, configRefreshTime, "", refreshValue(halfLife(&entry))),
		},
	}
	if err := c.cache.store.Replace(ctx, content); err != nil {
		return nil, cacheError(err)
	}
	return content, nil
}

package push_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client/push"
	serverpush "github.com/countersign-go/countersign/server/push"
)

// Many publish while the connection is cut again and again: each request has one
// outcome, what is said to be done is done, and nothing is done twice. Who
// subscribes by a connection like that gets each message, or is told of it.
func TestChurn(t *testing.T) {
	const publishers, messages, cuts = 4, 300, 10
	k := newKerberos(t)
	l := tcp(t)
	var alices sync.WaitGroup // sessions that the server has not seen the end of
	k.serve(t, l, serverpush.Config{Hooks: serverpush.Hooks{
		Arrive: func(_ context.Context, m *serverpush.Member) error {
			if m.LocalName() == "alice" {
				alices.Add(1)
			}
			return nil
		},
		Depart: func(m *serverpush.Member) {
			if m.LocalName() == "alice" {
				alices.Done()
			}
		},
	}})
	ctx := t.Context()
	dial := func(cfg push.Config) *push.Client {
		t.Helper()
		c, err := push.Dial(ctx, cfg)
		check(t, err)
		return c
	}
	seen := make(map[string]int)
	through := make(chan bool)
	cfg := k.config(t, "bob", l.Addr().String())
	cfg.Groups = []uint32{1}
	cfg.Events.Published = func(p push.Publication) {
		if seen[string(p.Data)]++; string(p.Data) == "last" {
			close(through)
		}
	}
	cfg.Events.Lost = func(l push.Loss) { t.Errorf("one whose connection stands lost %+v", l) }
	watcher := dial(cfg)

	var cutToo line
	came, lost := uint64(0), uint64(0)
	cfg.Client.Open, cfg.MinBackOff = cutToo.open, time.Millisecond
	cfg.Events.Published = func(push.Publication) { came++ }
	cfg.Events.Lost = func(l push.Loss) {
		lost += l.Count
		if l.Unknown {
			t.Errorf("lost %+v", l)
		}
	}
	cutWatcher := dial(cfg)

	var wire line
	cfg = k.config(t, "alice", l.Addr().String())
	cfg.Client.Open, cfg.MinBackOff = wire.open, time.Millisecond
	alice := dial(cfg)
	var mu sync.Mutex
	outcomes := make(map[string][]error)
	var all sync.WaitGroup
	var made, interrupted atomic.Int64
	for p := range publishers {
		all.Go(func() {
			// The first goes on until a cut has met a request under way.
			for m := 0; m < messages || p == 0 && interrupted.Load() == 0; m++ {
				data := fmt.Sprintf("%d-%d", p, m)
				made.Add(1)
				alice.Publish([]byte(data), 1).Then(func(_ push.Result, err error) {
					if err != nil {
						interrupted.Add(1)
					}
					mu.Lock()
					defer mu.Unlock()
					outcomes[data] = append(outcomes[data], err)
				})
				if p == 0 && m%(messages/cuts) == 0 {
					wire.cut()()
					cutToo.cut()()
				}
			}
		})
	}
	all.Wait()
	_, err := alice.Wait(0).Wait(ctx)
	for errors.Is(err, push.ErrInterrupted) {
		_, err = alice.Wait(0).Wait(ctx)
	}
	check(t, err)
	check(t, alice.Close())
	<-alice.Done()
	alices.Wait()
	_, err = watcher.Publish([]byte("last"), 1).Wait(ctx)
	check(t, err)
	<-through
	// What came or was lost is told before the next result.
	for _, err := cutWatcher.Wait(0).Wait(ctx); err != nil; _, err = cutWatcher.Wait(0).Wait(ctx) {
		if !errors.Is(err, push.ErrInterrupted) {
			t.Fatal(err)
		}
	}
	for _, c := range []*push.Client{watcher, cutWatcher} {
		check(t, c.Close())
		<-c.Done()
	}

	if int64(len(outcomes)) != made.Load() {
		t.Errorf("%d of %d requests have an outcome", len(outcomes), made.Load())
	}
	for data, errs := range outcomes {
		switch {
		case len(errs) != 1:
			t.Fatalf("%s has outcomes %v", data, errs)
		case errs[0] == nil && seen[data] != 1, seen[data] > 1:
			t.Errorf("%s ended by %v, and came %d times", data, errs[0], seen[data])
		case errs[0] != nil && !errors.Is(errs[0], push.ErrInterrupted):
			t.Errorf("%s ended by %v", data, errs[0])
		}
	}
	if published := uint64(len(seen)); came+lost != published {
		t.Errorf("of %d messages %d came and %d were told as lost", published, came, lost)
	}
	t.Logf("%d interrupted; %d came and %d were lost over the other connection", interrupted.Load(), came, lost)
}

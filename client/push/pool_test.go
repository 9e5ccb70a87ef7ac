package push_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

// The least busy session is given, one that is taken to nobody else; what comes
// to the user is told once.
func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3
		l, d := listen(), newDiary()
		cfg := l.config()
		cfg.Groups = []uint32{1}
		cfg.Events.Sent = d.events().Sent
		peers := make(chan *peer, n)
		go func() {
			for i := range n {
				p := l.welcome(t)
				if i == 0 {
					p.done(pushwire.Result{})
				}
				peers <- p
			}
		}()
		pool, err := push.NewPool(t.Context(), cfg, n)
		check(t, err)
		of := make(map[*push.Client]*peer)
		for range n {
			p := <-peers
			p.say(pushwire.Direct{From: "bob@R", Data: []byte("x")})
			// Whose end it is shows by a request of each.
			c := pool.Least()
			c.Wait(time.Second)
			p.read()
			of[c] = p
		}
		d.expect(t, "sent x by bob@R")
		if len(of) != n {
			t.Fatalf("%d sessions were given as the least busy of %d", len(of), n)
		}

		var taken []*push.Client
		var releases []func()
		for range n {
			c, release := pool.Take(t.Context())
			taken, releases = append(taken, c), append(releases, release)
		}
		if taken[n-1] != pool.First() || taken[0] == taken[1] || pool.Least() != nil {
			t.Error("sessions taken are given to others, or the first is not the last one")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if c, release := pool.Take(ctx); c != nil {
			t.Error("took what is taken")
		} else {
			release()
		}
		back := make(chan *push.Client)
		go func() {
			c, _ := pool.Take(t.Context())
			back <- c
		}()
		synctest.Wait()
		releases[1]()
		if c := <-back; c != taken[1] {
			t.Error("took another one than was released")
		}
		releases[1]() // of which this is no business any more
		releases[0]()
		if pool.Least() != taken[0] {
			t.Error("a session that was released is not given")
		}
		go func() {
			pool.Take(t.Context()) // taken[0]
			c, _ := pool.Take(t.Context())
			back <- c
		}()
		synctest.Wait()
		for _, p := range of {
			go func() {
				for p.next() != nil {
				}
				p.hangUp()
			}()
		}
		check(t, pool.Close())
		if c := <-back; c != nil {
			t.Error("took a session of a closed pool")
		}
		d.empty(t)
		for c := range of {
			<-c.Done()
		}
	})
}

// A pool stands as a whole or not at all.
func TestPoolFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		for _, n := range []int{0, -1, 1025} {
			if _, err := push.NewPool(t.Context(), l.config(), n); err == nil {
				t.Errorf("pool of %d sessions", n)
			}
		}
		served := make(chan bool)
		go func() {
			defer close(served)
			first, second := l.welcome(t), l.accept(t)
			second.read()
			second.say(pushwire.Bye{Code: pushwire.Refused})
			second.hangUp()
			for first.next() != nil {
			}
			first.hangUp()
		}()
		_, err := push.NewPool(t.Context(), l.config(), 2)
		if bye, ok := errors.AsType[*push.ByeError](err); !ok || bye.Code != pushwire.Refused {
			t.Errorf("%v", err)
		}
		<-served
	})
}

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

// A batch is one token; its results come one by one and together, and pushes
// come while a slow request in it is under way.
func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d := listen(), newDiary()
		cfg := l.config()
		cfg.Events.Published = d.events().Published
		cfg.Groups = []uint32{1}
		c, p := dial(t, l, cfg)

		b := c.Batch()
		b.Subscribe(2)
		b.Publish([]byte("x"), 1, 2).Then(func(r push.Result, err error) { d <- sprint("published to", r.Receivers, err) })
		b.Delay(10 * time.Second)
		b.Send("bob", []byte("y"))
		b.Sign([]byte("z"))
		b.Leave(2)
		bad := b.Publish([]byte("nowhere"))
		b.Then(func(all []push.Outcome) { d <- sprint("all", len(all)) })
		synctest.Wait()
		if n := c.UnderWay(); n != 0 {
			t.Errorf("%d requests of a batch that is not committed", n)
		}
		before := p.token
		b.Commit()
		b.Commit()

		p.done(pushwire.Result{})
		p.done(pushwire.Result{Receivers: 3})
		wait := p.read()
		p.say(published("here", 1, 1))
		d.expect(t, "published to 3 <nil>", "here-1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for a batch that is under way: %v", err)
		}
		p.say(pushwire.Result{ID: requestID(t, wait)})
		p.done(pushwire.Result{Status: pushwire.Absent})
		p.done(pushwire.Result{MIC: fakeMIC([]byte("z"))})
		p.done(pushwire.Result{})
		if n := p.token - before; n != 1 {
			t.Errorf("the batch came in %d tokens", n)
		}
		all, err := b.Wait(t.Context())
		check(t, err)
		_, wantBad := bad.Wait(t.Context())
		for i, want := range []error{nil, nil, nil, push.ErrAbsent, nil, nil, wantBad} {
			if !errors.Is(all[i].Err, want) {
				t.Errorf("outcome %d: %v, want %v", i, all[i].Err, want)
			}
		}
		if wantBad == nil || all[1].Receivers != 3 || string(all[4].MIC) != string(fakeMIC([]byte("z"))) {
			t.Errorf("outcomes %+v", all)
		}
		d.expect(t, "all 7")
		b.Then(func(all []push.Outcome) { d <- sprint("late", len(all)) })
		d.expect(t, "late 7")
		if _, err := b.Sign(nil).Wait(t.Context()); err == nil {
			t.Error("a committed batch took another request")
		}
		end(t, c, p)
	})
}

// A batch may be larger than what may be under way at once: committing does
// not wait. An empty one is done at once.
func TestLargeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		c, p := dial(t, l, l.config())
		empty := c.Batch()
		empty.Commit()
		if all, err := empty.Wait(t.Context()); len(all) != 0 || err != nil {
			t.Errorf("nothing gave %v, %v", all, err)
		}
		const n = 1000
		b := c.Batch()
		for range n {
			b.Send("bob", []byte("x"))
		}
		b.Commit()
		synctest.Wait()
		if got := c.UnderWay(); got != n {
			t.Errorf("%d under way", got)
		}
		for range n {
			p.done(pushwire.Result{Receivers: 1})
		}
		all, err := b.Wait(t.Context())
		check(t, err)
		for i, o := range all {
			if o.Err != nil || o.Receivers != 1 {
				t.Fatalf("outcome %d: %+v", i, o)
			}
		}
		end(t, c, p)
	})
}

// A batch of a closed client fails.
func TestBatchClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		c, p := dial(t, l, l.config())
		b := c.Batch()
		b.Send("bob", nil)
		end(t, c, p)
		b.Commit()
		all, err := b.Wait(t.Context())
		check(t, err)
		if !errors.Is(all[0].Err, push.ErrClosed) {
			t.Errorf("%v", all[0].Err)
		}
		if _, err := c.Publish(nil, 1).Wait(t.Context()); !errors.Is(err, push.ErrClosed) {
			t.Errorf("publishing after Close: %v", err)
		}
	})
}

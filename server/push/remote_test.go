package push_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/token/pushwire"
)

// another is what comes from another server.
type another struct {
	t      *testing.T
	origin pushwire.Origin
	to     push.Receiver
}

func (a *another) beacon(ends bool, seq uint64) {
	a.t.Helper()
	a.to.Announced(encode(a.t, pushwire.Beacon{Origin: a.origin, Ends: ends, Stamps: []pushwire.Stamp{{Group: 1, Seq: seq}}}))
}

func (a *another) publish(seq uint64) {
	a.t.Helper()
	a.to.Published(encode(a.t, pushwire.Publication{Origin: a.origin, Stamps: []pushwire.Stamp{{Group: 1, Seq: seq}}}))
}

// withAnother runs a test with a server that hears another one.
func withAnother(t *testing.T, test func(t *testing.T, s *pushtest.Server, a *another)) {
	synctest.Test(t, func(t *testing.T) {
		var network pushtest.Network
		s := pushtest.NewServer(t, push.Config{Setup: groups, Bus: network.NewBus()}, server.Config{IdleTimeout: 24 * time.Hour})
		test(t, s, &another{t, originOf(1), s.Hub().Receiver()})
	})
}

// heard gives what a subscription to group 1 is told of the other server.
func (a *another) heard(r pushwire.Result) []pushwire.Position {
	return slices.DeleteFunc(r.Positions, func(p pushwire.Position) bool { return p.Origin != a.origin })
}

func (a *another) expectGap(c *pushtest.Client, after, seq uint64, open bool) {
	a.t.Helper()
	want := []pushwire.Gap{{Origin: a.origin, Group: 1, After: after, Seq: seq, Open: open}}
	if l := pushtest.Expect[pushwire.Lost](c); l.Count != 0 || !slices.Equal(l.Gaps, want) {
		a.t.Errorf("told %+v, want %+v", l, want)
	}
}

// How far others are is known in groups that nobody here was in, and told as what it
// is; the counting begins with their next word, which says nothing of a loss.
func TestHeardBefore(t *testing.T) {
	withAnother(t, func(t *testing.T, s *pushtest.Server, a *another) {
		position := func(seq uint64, atLeast bool) []pushwire.Position {
			return []pushwire.Position{{Origin: a.origin, Group: 1, Seq: seq, AtLeast: atLeast}}
		}
		a.beacon(false, 5)
		c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
		if got, want := a.heard(c.Subscribe(1)), position(5, true); !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
		a.beacon(false, 7)
		a.expectGap(c, 7, 7, false)
		a.beacon(false, 7) // which is no news
		if got, want := a.heard(c.Subscribe(1)), position(7, false); !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
		a.publish(10)
		a.expectGap(c, 7, 9, false)
		pushtest.Expect[pushwire.Publication](c)
		a.publish(10)
		a.beacon(false, 10)

		c.Leave(1)
		a.beacon(false, 12)
		if got, want := a.heard(c.Subscribe(1)), position(12, true); !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
		a.publish(12) // which was there before
		a.publish(15)
		if p := pushtest.Expect[pushwire.Publication](c); p.Stamps[0].Seq != 15 {
			t.Errorf("got %+v", p)
		}
		c.Bye()
		if rest := c.Rest(); len(rest) > 0 {
			t.Errorf("got %v", rest)
		}
	})
}

// Of a server that falls silent it is told that its last numbers are not known, once;
// who subscribes then is told none. When it comes back the counting goes on.
func TestSilentServer(t *testing.T) {
	withAnother(t, func(t *testing.T, s *pushtest.Server, a *another) {
		c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
		c.Subscribe(1)
		a.publish(3)
		pushtest.Expect[pushwire.Publication](c)
		time.Sleep(time.Minute)
		synctest.Wait()
		a.expectGap(c, 3, 3, true)
		if got := a.heard(c.Subscribe(1)); len(got) > 0 {
			t.Errorf("told %v of a server that is silent", got)
		}
		time.Sleep(time.Minute)
		a.beacon(false, 5)
		a.expectGap(c, 3, 5, false)
		if got := a.heard(c.Subscribe(1)); len(got) != 1 {
			t.Errorf("told %v of a server that is back", got)
		}
		c.Bye()
		if rest := c.Rest(); len(rest) > 0 {
			t.Errorf("got %v", rest)
		}
	})
}

// A server that says that it ends is known to the end, and not missed.
func TestServerEnds(t *testing.T) {
	withAnother(t, func(t *testing.T, s *pushtest.Server, a *another) {
		a.beacon(true, 5)
		c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
		for range 2 {
			if got, want := a.heard(c.Subscribe(1)), []pushwire.Position{{Origin: a.origin, Group: 1, Seq: 5}}; !slices.Equal(got, want) {
				t.Errorf("told %v, want %v", got, want)
			}
			time.Sleep(time.Minute)
		}
		c.Bye()
		if rest := c.Rest(); len(rest) > 0 {
			t.Errorf("got %v", rest)
		}
	})
}

// A server that starts is told at once how far the others are, and one that stops
// tells how far it came.
func TestStartAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network pushtest.Network
		begin := time.Now()
		svc, err := push.New(push.Config{Acceptor: pushtest.Acceptor{}, Setup: groups, Bus: network.NewBus()})
		if err != nil {
			t.Fatal(err)
		}
		publishOne := func() {
			if _, err := svc.Hub().Publish(t.Context(), nil, 1); err != nil {
				t.Fatal(err)
			}
		}
		publishOne()
		s := pushtest.NewServer(t, push.Config{Setup: groups, Bus: network.NewBus()}, server.Config{})
		synctest.Wait()
		c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
		if r := c.Subscribe(1); len(r.Positions) != 2 || r.Positions[1].Seq != 1 || !r.Positions[1].AtLeast {
			t.Errorf("told %+v when it has just begun", r.Positions)
		}
		c.Leave(1)
		publishOne()
		if err := svc.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if r := c.Subscribe(1); len(r.Positions) != 2 || r.Positions[1].Seq != 2 || r.Positions[1].AtLeast {
			t.Errorf("told %+v when it has ended", r.Positions)
		}
		if passed := time.Since(begin); passed > 0 {
			t.Errorf("after %v, by chance of a beacon", passed)
		}
		c.Bye()
	})
}

// A deaf bus does not know who is elsewhere.
type deaf struct{ push.Bus }

func (deaf) Send(context.Context, push.User, []byte) (int, error) {
	return 0, errors.New("no answer")
}

// Where other servers cannot be reached, who is here gets it, and the sender is told both.
func TestSendHereAlone(t *testing.T) {
	var network pushtest.Network
	s := newServer(t, push.Config{Bus: deaf{network.NewBus()}})
	c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
	if r := c.Send("alice", "to myself"); r.Status != pushwire.Unreached || r.Receivers != 1 {
		t.Errorf("%+v", r)
	}
	if d := pushtest.Expect[pushwire.Direct](c); string(d.Data) != "to myself" {
		t.Errorf("%+v", d)
	}
	if r := c.Send("bob", "x"); r.Status != pushwire.Unreached || r.Receivers != 0 {
		t.Errorf("%+v", r)
	}
	c.Bye()
}

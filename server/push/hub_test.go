package push_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/token/pushwire"
)

// Each hook can refuse what it is asked about, and that is then not done.
func TestHooks(t *testing.T) {
	no := errors.New("not on my watch")
	if refuse := (push.Hooks{Arrive: func(context.Context, *push.Member) error { return no }}); true {
		departed := false
		refuse.Depart = func(*push.Member) { departed = true }
		s := newServer(t, push.Config{Hooks: refuse})
		c := pushtest.Connect(t, s, "alice@R")
		c.Write(pushwire.Hello{Version: 1})
		if bye, err := c.Expelled(); bye.Code != pushwire.Refused || bye.Why != no.Error() || !errors.Is(err, no) {
			t.Errorf("%+v, %v", bye, err)
		}
		if n, err := s.Hub().Send(t.Context(), "alice@R", nil); err == nil || departed {
			t.Errorf("sent to %d who did not arrive, departed %v", n, departed)
		}
	}
	var asked []string
	tell := func(what string, m *push.Member, about any, data []byte) error {
		asked = append(asked, fmt.Sprintf("%s %s %v %s", m.Principal(), what, about, data))
		return no
	}
	s := newServer(t, push.Config{Hooks: push.Hooks{
		Subscribe: func(_ context.Context, m *push.Member, g []uint32) error { return tell("subscribes", m, g, nil) },
		Leave:     func(_ context.Context, m *push.Member, g []uint32) error { return tell("leaves", m, g, nil) },
		Publish: func(_ context.Context, m *push.Member, g []uint32, data []byte) error {
			return tell("publishes", m, g, data)
		},
		Send: func(_ context.Context, m *push.Member, to string, data []byte) error {
			return tell("sends", m, to, data)
		},
		Arrive: func(_ context.Context, m *push.Member) error {
			if m.LocalName() != "alice" || m.Info().Initiator.String() != "alice@R" {
				t.Errorf("%q arrives as %q", m.Info().Initiator, m.LocalName())
			}
			return m.Subscribe(3, 1)
		},
		Depart: func(m *push.Member) { _ = tell("departs", m, m.Groups(), nil) },
	}})
	c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
	if j := pushtest.Expect[pushwire.Joined](c); !slices.Equal(j.Groups, []uint32{1, 3}) || len(j.Positions) != 2 {
		t.Errorf("%+v", j)
	}
	for _, r := range []pushwire.Result{c.Subscribe(2), c.Leave(1), c.Publish("data", 1, 2), c.Send("alice@R", "data")} {
		if r.Status != pushwire.Declined || r.Why != no.Error() {
			t.Errorf("%+v", r)
		}
	}
	c.Bye()
	if rest := c.Rest(); len(rest) > 0 {
		t.Errorf("it was done all the same: %v", rest)
	}
	want := []string{
		"alice@R subscribes [2] ", "alice@R leaves [1] ", "alice@R publishes [1 2] data", "alice@R sends alice@R data", "alice@R departs [1 3] ",
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q\nwant %q", asked, want)
	}
}

// A hook that hangs holds up its own session, and no other.
func TestHookHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{Hooks: push.Hooks{Publish: func(ctx context.Context, m *push.Member, _ []uint32, _ []byte) error {
			if m.Principal() == "hangs@R" {
				<-ctx.Done()
			}
			return nil
		}}})
		hangs := pushtest.Dial(t, s, "hangs@R", pushwire.Hello{})
		other := pushtest.Dial(t, s, "other@R", pushwire.Hello{})
		hangs.Subscribe(1)
		hangs.Write(pushwire.PublishRequest{Groups: []uint32{1}})
		if r := other.Publish("x", 1); r.Status != pushwire.Done || r.Receivers != 1 {
			t.Errorf("%+v", r)
		}
		pushtest.Expect[pushwire.Publication](hangs)
		other.Bye()
	})
}

// Groups come and go while clients are in them.
func TestSetGroups(t *testing.T) {
	s := newServer(t, push.Config{})
	c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
	c.Subscribe(1, 2)
	publish(t, s, "one", 1)
	pushtest.Expect[pushwire.Publication](c)
	if err := s.Hub().SetGroups([]push.Group{{Number: 2, Name: "TWO"}, {Number: 5, Name: "five"}}); err != nil {
		t.Fatal(err)
	}
	if r := pushtest.Find[pushwire.Removed](c); !slices.Equal(r.Groups, []uint32{1}) {
		t.Errorf("%+v", r)
	}
	all := pushwire.Read | pushwire.Publish
	if g := pushtest.Find[pushwire.GroupsChanged](c); !slices.Equal(g.Groups, []pushwire.Group{{Number: 2, Rights: all, Name: "TWO"}, {Number: 5, Rights: all, Name: "five"}}) {
		t.Errorf("%+v", g)
	}
	if r := c.Publish("x", 1); r.Status != pushwire.NoGroup {
		t.Errorf("%+v", r)
	}
	if r := c.Publish("x", 2); r.Receivers != 1 {
		t.Errorf("%+v", r)
	}
	if err := groups(s.Hub()); err != nil {
		t.Fatal(err)
	}
	if r := c.Subscribe(1); len(r.Positions) != 1 || r.Positions[0].Seq != 1 {
		t.Errorf("a group that came back does not count on: %+v", r)
	}
	if err := s.Hub().SetGroups([]push.Group{{Number: 1, Name: strings.Repeat("x", pushwire.MaxText+1)}}); err == nil || len(s.Hub().Groups()) != 3 {
		t.Errorf("%v, %v", err, s.Hub().Groups())
	}
	c.Bye()
}

// The policy holds for clients and for the program that subscribes them, and when it changes.
func TestPolicy(t *testing.T) {
	var mu sync.Mutex
	forbidden := map[string]bool{"alice@R 2 1": true, "alice@R 3 2": true}
	s := newServer(t, push.Config{
		Allowed: func(user string, group uint32, right pushwire.Right) bool {
			mu.Lock()
			defer mu.Unlock()
			return !forbidden[fmt.Sprintf("%s %d %d", user, group, right)]
		},
		Hooks: push.Hooks{Arrive: func(_ context.Context, m *push.Member) error {
			if err := m.Subscribe(1, 2); m.Principal() == "alice@R" && err == nil {
				t.Error("subscribed in spite of the policy")
			}
			return nil
		}},
	})
	c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
	rights := func(groups []pushwire.Group) (list []pushwire.Right) {
		for _, g := range groups {
			list = append(list, g.Rights)
		}
		return list
	}
	if got, want := rights(c.Welcome.Groups), []pushwire.Right{3, 2, 1}; !slices.Equal(got, want) {
		t.Errorf("rights %v, want %v", got, want)
	}
	for _, r := range []pushwire.Result{c.Subscribe(1, 2), c.Publish("x", 3)} {
		if r.Status != pushwire.Forbidden {
			t.Errorf("%+v", r)
		}
	}
	if r := c.Subscribe(1, 3); r.Status != pushwire.Done {
		t.Errorf("%+v", r)
	}
	mu.Lock()
	forbidden["alice@R 1 1"], forbidden["alice@R 1 2"] = true, true
	mu.Unlock()
	s.Hub().Recheck()
	if r := pushtest.Find[pushwire.Removed](c); !slices.Equal(r.Groups, []uint32{1}) {
		t.Errorf("%+v", r)
	}
	if g := pushtest.Find[pushwire.GroupsChanged](c); !slices.Equal(rights(g.Groups), []pushwire.Right{2, 1}) {
		t.Errorf("%+v", g)
	}
	if n := publish(t, s, "x", 1); n != 0 {
		t.Errorf("%d still get what they may not read", n)
	}
	c.Bye()
}

// The policy holds for one who arrives while it changes, too.
func TestRecheckOnArrival(t *testing.T) {
	var forbidden atomic.Bool
	var s *pushtest.Server
	s = newServer(t, push.Config{
		Allowed: func(_ string, group uint32, _ pushwire.Right) bool { return group != 1 || !forbidden.Load() },
		Hooks: push.Hooks{Arrive: func(_ context.Context, m *push.Member) error {
			err := m.Subscribe(1, 2)
			forbidden.Store(true)
			s.Hub().Recheck()
			return err
		}},
	})
	c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
	pushtest.Expect[pushwire.Joined](c)
	if r := pushtest.Expect[pushwire.Removed](c); !slices.Equal(r.Groups, []uint32{1}) {
		t.Errorf("%+v", r)
	}
	if n := publish(t, s, "secret", 1); n != 0 {
		t.Errorf("%d get what they may not read", n)
	}
	c.Bye()
}

// Who comes and goes is told to those in the group who asked, of groups that they are in.
func TestPresence(t *testing.T) {
	s := newServer(t, push.Config{})
	watcher := pushtest.Dial(t, s, "watcher@R", pushwire.Hello{Presence: true})
	other := pushtest.Dial(t, s, "other@R", pushwire.Hello{})
	watcher.Subscribe(1, 3)
	other.Subscribe(1, 3)
	bob := pushtest.Dial(t, s, "bob@R", pushwire.Hello{Presence: true})
	bob.Subscribe(1, 2, 3)
	bob.Subscribe(1)
	bob.Leave(3)
	bob.Close()
	for i, want := range []pushwire.Presence{
		{Entered: true, Who: "other@R", Groups: []uint32{1, 3}},
		{Entered: true, Who: "bob@R", Groups: []uint32{1, 3}},
		{Entered: false, Who: "bob@R", Groups: []uint32{3}},
		{Entered: false, Who: "bob@R", Groups: []uint32{1}},
	} {
		if p := pushtest.Expect[pushwire.Presence](watcher); p.Entered != want.Entered || p.Who != want.Who || !slices.Equal(p.Groups, want.Groups) {
			t.Errorf("%d: %+v, want %+v", i, p, want)
		}
	}
	watcher.Bye()
	other.Bye()
	if rest := other.Rest(); len(rest) > 0 {
		t.Errorf("who did not ask got %v", rest)
	}
}

// The rate is a principal's, whatever number of connections it has.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{Limits: push.Limits{Rate: 10, Burst: 5}})
		one, two := pushtest.Dial(t, s, "alice@R", pushwire.Hello{}), pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
		bob := pushtest.Dial(t, s, "bob@R", pushwire.Hello{})
		count := func(want int) {
			t.Helper()
			done := 0
			for range 10 {
				for _, c := range []*pushtest.Client{one, two} {
					if r := c.Publish("x", 1); r.Status == pushwire.Done {
						done++
					} else if r.Status != pushwire.TooOften {
						t.Fatalf("%+v", r)
					}
				}
			}
			if done != want {
				t.Errorf("%d were done, want %d", done, want)
			}
		}
		count(5)
		if r := bob.Publish("x", 1); r.Status != pushwire.Done {
			t.Errorf("another one's rate counts, too: %+v", r)
		}
		two.Bye()
		one.Bye()
		one, two = pushtest.Dial(t, s, "alice@R", pushwire.Hello{}), pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
		count(0) // coming again does not help
		time.Sleep(300 * time.Millisecond)
		count(3)
		time.Sleep(time.Minute)
		count(5)
		bob.Bye()
	})
}

func TestGroupsOfAClient(t *testing.T) {
	s := newServer(t, push.Config{Setup: func(h *push.Hub) error { return h.SetGroups(manyGroups(300)) }})
	c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
	many := func(n, from int) (numbers []uint32) {
		for i := range n {
			numbers = append(numbers, uint32(from+i))
		}
		return numbers
	}
	if r := c.Subscribe(many(65, 0)...); r.Status != pushwire.TooMany {
		t.Errorf("%+v", r)
	}
	if r := c.Subscribe(many(64, 0)...); r.Status != pushwire.Done || len(r.Positions) != 64 {
		t.Errorf("%+v", r)
	}
	if r := c.Subscribe(100); r.Status != pushwire.TooMany {
		t.Errorf("%+v", r)
	}
	if r := c.Subscribe(many(64, 0)...); r.Status != pushwire.Done {
		t.Errorf("those it is in already: %+v", r)
	}
	if r := c.Publish("x", many(256, 0)...); r.Status != pushwire.Done || r.Receivers != 1 {
		t.Errorf("%+v", r)
	}
	if p := pushtest.Expect[pushwire.Publication](c); len(p.Stamps) != 256 {
		t.Errorf("%d stamps", len(p.Stamps))
	}
	c.Bye()
}

// Many publish, subscribe and leave at once: everybody's numbers rise, with no gap
// since the position that its subscription told.
func TestNumbers(t *testing.T) {
	s := newServer(t, push.Config{Limits: push.Limits{Rate: 1_000_000}})
	var publishers, subscribers sync.WaitGroup
	done := make(chan struct{})
	for i := range 4 {
		publishers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				to := [][]uint32{{1}, {1, 2}, {2, 3, 1}, {3}}[(n+i)%4]
				if _, err := s.Hub().Publish(context.Background(), []byte("x"), to...); err != nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Microsecond)
			}
		})
	}
	clients := make([]*pushtest.Client, 8)
	for i := range clients {
		clients[i] = pushtest.Dial(t, s, fmt.Sprintf("client%d@R", i), pushwire.Hello{})
	}
	for _, c := range clients {
		subscribers.Go(func() {
			for range 50 {
				at := make(map[uint32]uint64)
				id := c.ID()
				c.Write(pushwire.SubscribeRequest{ID: id, Groups: []uint32{1, 2}})
				for n := 0; n < 20; {
					m, err := c.Next()
					if err != nil {
						t.Error(err)
						return
					}
					switch m := m.(type) {
					case pushwire.Result:
						for _, p := range m.Positions {
							at[p.Group] = p.Seq
						}
					case pushwire.Publication:
						n++
						for _, stamp := range m.Stamps {
							if last, in := at[stamp.Group]; in && stamp.Seq != last+1 {
								t.Errorf("%d came after %d", stamp.Seq, last)
							} else if in {
								at[stamp.Group] = stamp.Seq
							}
						}
					default:
						t.Errorf("got %#v", m)
					}
				}
				c.Leave(1, 2)
				c.Rest()
			}
		})
	}
	subscribers.Wait()
	close(done)
	publishers.Wait()
	for _, c := range clients {
		c.Bye()
	}
}

package push_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/token/pushwire"
)

func publish(t *testing.T, s *pushtest.Server, data string, groups ...uint32) (receivers int) {
	t.Helper()
	n, err := s.Hub().Publish(t.Context(), []byte(data), groups...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Who takes nothing for a while loses what its queue has no room for, is told how
// much where it is missing, and holds up nobody.
func TestSlowReader(t *testing.T) {
	for name, limits := range map[string]push.Limits{
		"messages": {Queue: 4},
		"octets":   {QueueBytes: 400}, // each has some 70
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, push.Config{Limits: limits})
				slow := pushtest.Dial(t, s, "slow@R", pushwire.Hello{})
				fast := pushtest.Dial(t, s, "fast@R", pushwire.Hello{})
				slow.Subscribe(1)
				fast.Subscribe(1)
				synctest.Wait()
				slow.Hold()
				const n = 20
				want := 0
				for i := range n {
					want += publish(t, s, fmt.Sprintf("message %02d", i), 1) - 1 // the fast one has it
					synctest.Wait()
				}
				if direct, err := s.Hub().Send(t.Context(), "slow", []byte("direct")); direct != 0 || err != nil {
					t.Errorf("%d, %v: a message in a full queue", direct, err)
				}
				for i := range n {
					if p := pushtest.Expect[pushwire.Publication](fast); string(p.Data) != fmt.Sprintf("message %02d", i) {
						t.Fatalf("the fast one got %q as message %d", p.Data, i)
					}
				}
				if want >= n {
					t.Fatal("everything found room")
				}
				slow.Resume()
				var got []pushwire.Publication
				for range want {
					got = append(got, pushtest.Expect[pushwire.Publication](slow))
				}
				lost := pushtest.Expect[pushwire.Lost](slow)
				if lost.Count != uint32(n-want+1) || lost.Directs != 1 || len(lost.Gaps) != 1 {
					t.Fatalf("got %d of %d, was told %+v", len(got), n, lost)
				}
				publish(t, s, "after", 1)
				after := pushtest.Expect[pushwire.Publication](slow)
				if at := lost.Gaps[0]; at.After != uint64(want) || at.Seq+1 != after.Stamps[0].Seq || at.Origin != after.Origin || at.Group != 1 {
					t.Errorf("lost up to %+v, then came %+v", at, after)
				}
				slow.Bye()
				fast.Bye()
			})
		})
	}
}

// Presence that finds no room is not counted: it is no message.
func TestPresenceWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{Limits: push.Limits{Queue: 4}})
		slow := pushtest.Dial(t, s, "slow@R", pushwire.Hello{Presence: true})
		bob := pushtest.Dial(t, s, "bob@R", pushwire.Hello{})
		slow.Subscribe(1)
		synctest.Wait()
		slow.Hold()
		for range 10 {
			bob.Subscribe(1)
			synctest.Wait()
			bob.Leave(1)
		}
		dropped := publish(t, s, "no room", 1) == 0
		slow.Resume()
		synctest.Wait()
		told, losses := 0, 0
		for _, m := range slow.Rest() {
			switch m := m.(type) {
			case pushwire.Presence:
				told++
			case pushwire.Lost:
				losses++
				if m.Count != 1 || m.Directs != 0 {
					t.Errorf("%+v where one publication was lost", m)
				}
			default:
				t.Errorf("got %#v", m)
			}
		}
		if told >= 20 || !dropped || losses != 1 {
			t.Errorf("%d of 20 were told, dropped %v, %d losses", told, dropped, losses)
		}
		slow.Bye()
		bob.Bye()
	})
}

// Who does not take a token within the write time is cut off.
func TestTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{})
		c := pushtest.Dial(t, s, "slow@R", pushwire.Hello{})
		c.Subscribe(1)
		synctest.Wait()
		c.Hold()
		start := time.Now()
		publish(t, s, strings.Repeat("x", 10_000), 1)
		err := <-c.Ended
		if passed := time.Since(start); err == nil || !strings.Contains(err.Error(), "did not take a token within 10s") || passed != push.DefaultWriteTime {
			t.Errorf("after %s: %v", passed, err)
		}
		if n := publish(t, s, "x", 1); n != 0 {
			t.Errorf("it is still in the group")
		}
		c.Resume()
	})
}

// One that sends requests and takes no results is not read any more.
func TestNoResultsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := 0
		s := newServer(t, push.Config{
			Limits: push.Limits{Requests: 8, Rate: 1_000_000},
			Hooks:  push.Hooks{Publish: func(_ context.Context, _ *push.Member, _ []uint32, _ []byte) error { done++; return nil }},
		})
		c := pushtest.Dial(t, s, "flood@R", pushwire.Hello{})
		synctest.Wait()
		c.Hold()
		requests := make([]pushwire.Message, 1000)
		for i := range requests {
			requests[i] = pushwire.PublishRequest{ID: uint64(i), Groups: []uint32{1}, Data: make([]byte, 10)}
		}
		c.Write(requests...)
		synctest.Wait()
		if done < 8 || done > 32 { // some results leave before the connection is full
			t.Errorf("%d requests were done, and nobody took a result", done)
		}
		c.Resume()
		c.Result(999)
		c.Bye()
	})
}

// Many small messages leave together.
func TestCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{})
		c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
		c.Subscribe(1)
		synctest.Wait()
		c.Hold()
		for i := range 500 {
			publish(t, s, fmt.Sprint(i), 1)
		}
		before := c.Tokens()
		c.Resume()
		for i := range 500 {
			if p := pushtest.Expect[pushwire.Publication](c); string(p.Data) != fmt.Sprint(i) {
				t.Fatalf("message %d is %q", i, p.Data)
			}
		}
		if tokens := c.Tokens() - before; tokens > 5 {
			t.Errorf("500 messages came in %d tokens", tokens)
		}
		c.Bye()
	})
}

// A client that falls silent is taken for dead; pings are a sign of life.
func TestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushtest.NewServer(t, push.Config{}, server.Config{IdleTimeout: time.Minute})
		c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
		for range 10 {
			time.Sleep(59 * time.Second)
			c.Sync()
		}
		time.Sleep(59 * time.Second)
		if err := <-c.Ended; err == nil || !strings.Contains(err.Error(), "no message for 1m0s") {
			t.Errorf("ended with %v", err)
		}
	})
}

package push_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/token/pushwire"
)

func originOf(n int) (o pushwire.Origin) {
	binary.BigEndian.PutUint64(o[:], uint64(n)+1)
	return o
}

// Other servers are remembered in a bounded number, and for a bounded time.
func TestOrigins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network pushtest.Network
		s := pushtest.NewServer(t, push.Config{Setup: groups, Bus: network.NewBus()}, server.Config{IdleTimeout: 24 * time.Hour})
		c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
		c.Subscribe(1)
		from := s.Hub().Receiver()
		for i := range 5000 {
			from.Announced(encode(t, pushwire.Beacon{Origin: originOf(i), Stamps: []pushwire.Stamp{{Group: 1, Seq: 1}, {Group: 7, Seq: 3}}}))
			from.Published(encode(t, pushwire.Publication{Origin: originOf(i), Stamps: []pushwire.Stamp{{Group: 1, Seq: 2}}, Data: []byte("x")}))
			pushtest.Find[pushwire.Publication](c)
		}
		if n := s.Hub().Origins(); n > 256 {
			t.Errorf("%d other servers are known", n)
		}
		if r := c.Subscribe(1); len(r.Positions) > 257 {
			t.Errorf("%d positions", len(r.Positions))
		}
		time.Sleep(2 * time.Hour)
		if n := s.Hub().Origins(); n != 0 {
			t.Errorf("%d other servers are known that were silent for hours", n)
		}
		if r := c.Subscribe(1); len(r.Positions) != 1 {
			t.Errorf("positions %v", r.Positions)
		}
		c.Bye()
	})
}

// What other servers say is checked; nonsense does nothing.
func TestNonsenseFromServers(t *testing.T) {
	var network pushtest.Network
	s := pushtest.NewServer(t, push.Config{Setup: groups, Bus: network.NewBus()}, server.Config{})
	c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{Presence: true})
	c.Subscribe(1)
	from := s.Hub().Receiver()
	forward := pushwire.Forward{To: "alice@R", Direct: pushwire.Direct{From: "bob@R"}}
	own := encode(t, pushwire.Publication{Origin: c.Welcome.Origin, Stamps: []pushwire.Stamp{{Group: 1, Seq: 9}}})
	for name, msg := range map[string][]byte{
		"nothing":       nil,
		"no message":    []byte("hello there"),
		"our own":       own,
		"own beacon":    encode(t, pushwire.Beacon{Origin: c.Welcome.Origin, Stamps: []pushwire.Stamp{{Group: 1, Seq: 9}}}),
		"number 0":      encode(t, pushwire.Publication{Origin: originOf(1), Stamps: []pushwire.Stamp{{Group: 1}}}),
		"unknown group": encode(t, pushwire.Publication{Origin: originOf(1), Stamps: []pushwire.Stamp{{Group: 77, Seq: 1}}}),
		"two":           bytes.Repeat(encode(t, pushwire.Presence{Who: "bob@R", Groups: []uint32{1}}), 2),
		"request":       encode(t, pushwire.PublishRequest{Groups: []uint32{1}}),
	} {
		from.Published(msg)
		from.Announced(msg)
		if n, err := from.Sent(push.User{Name: "alice@R"}, msg); n != 0 || err != push.ErrNobody {
			t.Errorf("%s: sent to %d", name, n)
		}
	}
	if n, err := from.Sent(push.User{Name: "bob@R"}, encode(t, forward)); n != 0 || err != push.ErrNobody {
		t.Errorf("sent to %d sessions of another user", n)
	}
	c.Bye()
	if rest := c.Rest(); len(rest) > 0 {
		t.Errorf("got %v", rest)
	}
}

// A server that was heard before it published anything is known to begin at 0: what is
// missing before its first publication that comes was lost.
func TestLossFromTheStart(t *testing.T) {
	var network pushtest.Network
	s := pushtest.NewServer(t, push.Config{Setup: groups, Bus: network.NewBus()}, server.Config{})
	c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
	c.Subscribe(1)
	from := s.Hub().Receiver()
	from.Announced(encode(t, pushwire.Beacon{Origin: originOf(1), Stamps: []pushwire.Stamp{{Group: 1}}}))
	if l := pushtest.Expect[pushwire.Lost](c); !slices.Equal(l.Gaps, []pushwire.Gap{{Origin: originOf(1), Group: 1}}) {
		t.Errorf("%+v", l)
	}
	for _, origin := range []pushwire.Origin{originOf(1), originOf(2)} {
		from.Published(encode(t, pushwire.Publication{Origin: origin, Stamps: []pushwire.Stamp{{Group: 1, Seq: 5}}}))
	}
	if l := pushtest.Expect[pushwire.Lost](c); !slices.Equal(l.Gaps, []pushwire.Gap{{Origin: originOf(1), Group: 1, Seq: 4}}) {
		t.Errorf("%+v", l)
	}
	for range 2 {
		pushtest.Expect[pushwire.Publication](c)
	}
	c.Bye()
	if rest := c.Rest(); len(rest) > 0 {
		t.Errorf("got %v", rest)
	}
}

// Who was here is forgotten once nothing of its burst is used.
func TestUsersForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{Limits: push.Limits{Rate: 1, Burst: 10}})
		for i := range 100 {
			c := pushtest.Dial(t, s, fmt.Sprintf("user%d@R", i), pushwire.Hello{})
			for range 5 {
				c.Publish("x", 1)
			}
			c.Bye()
		}
		if n := s.Hub().Users(); n != 100 {
			t.Errorf("%d names are known, want those of the principals", n)
		}
		time.Sleep(11 * time.Second)
		if n := s.Hub().Users(); n != 0 {
			t.Errorf("%d names are still known", n)
		}
	})
}

package pushtest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A lossy bus loses publications while it is told to.
type lossy struct {
	push.Bus
	losing atomic.Bool
	twice  atomic.Bool // gives them twice
}

func (b *lossy) Publish(groups []uint32, msg []byte) error {
	if b.losing.Load() {
		return nil
	}
	if b.twice.Load() {
		if err := b.Bus.Publish(groups, msg); err != nil {
			return err
		}
	}
	return b.Bus.Publish(groups, msg)
}

// three are servers that a bus under test joins, with groups 1, 2 and 3.
type three struct {
	a, b, c *Server
	bus     *lossy // of a
}

func newThree(t *testing.T, newBus func(t *testing.T) (a, b, c push.Bus)) *three {
	t.Helper()
	a, b, c := newBus(t)
	j := &three{bus: &lossy{Bus: a}}
	start := func(bus push.Bus) *Server {
		return NewServer(t, push.Config{
			Bus: bus, Setup: setUp, Limits: push.Limits{Beacon: 50 * time.Millisecond},
		}, server.Config{})
	}
	j.a, j.b, j.c = start(j.bus), start(b), start(c)
	return j
}

func setUp(h *push.Hub) error {
	return h.SetGroups([]push.Group{{Number: 1, Name: "one"}, {Number: 2, Name: "two"}, {Number: 3, Name: "three"}})
}

// settle publishes at the server until the clients, who are subscribed to the
// group, have got something: a bus may take its time to know who wants what.
func settle(t *testing.T, at *Server, group uint32, clients ...*Client) {
	t.Helper()
	// Each probe is followed by a pause on the clock, which ends as soon as the probe comes.
	for n := 0; ; n++ {
		probe := fmt.Sprintf("probe %d", n)
		if _, err := at.Hub().Publish(t.Context(), []byte(probe), group); err != nil {
			t.Fatal(err)
		}
		missing := slices.ContainsFunc(clients, func(c *Client) bool { return !c.cameWithin(probe, 200*time.Millisecond) })
		if !missing {
			break
		}
		if n == 100 {
			t.Fatal("publications do not reach other servers")
		}
	}
	for _, c := range clients {
		c.Rest()
	}
}

// cameWithin waits for a publication, not longer than so long.
func (c *Client) cameWithin(data string, limit time.Duration) bool {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		came := slices.ContainsFunc(c.list, func(m pushwire.Message) bool {
			p, ok := m.(pushwire.Publication)
			return ok && string(p.Data) == data
		})
		news := c.news
		c.mu.Unlock()
		if came {
			return true
		}
		select {
		case <-news:
		case <-timeout.C:
			return false
		}
	}
}

// reachable sends to a user until somebody gets it, and takes it away from there.
func reachable(t *testing.T, from *Server, to string, at *Client) {
	t.Helper()
	var err error
	for range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err = from.Hub().Send(ctx, to, []byte("probe"))
		cancel()
		if err == nil {
			Find[pushwire.Direct](at)
			return
		}
		time.Sleep(20 * time.Millisecond) // a bus may take its time to know who is where
	}
	t.Fatalf("%s is not found: %v", to, err)
}

// begins reports whether a message says where the counting begins, and of no loss.
func begins(m pushwire.Message) bool {
	l, ok := m.(pushwire.Lost)
	return ok && l.Count == 0 && !slices.ContainsFunc(l.Gaps, func(g pushwire.Gap) bool { return g.Seq > g.After || g.Open })
}

// published gives the data of what was published up to the one that ends it, and
// everything else that came but for where the counting begins.
func published(c *Client, last string) (data []string, others []pushwire.Message) {
	c.t.Helper()
	for {
		m, err := c.Next()
		if err != nil {
			c.t.Fatal(err)
		}
		p, ok := m.(pushwire.Publication)
		if !ok {
			if !begins(m) {
				others = append(others, m)
			}
			continue
		}
		data = append(data, string(p.Data))
		if string(p.Data) == last {
			return data, others
		}
	}
}

// TestBus tests that a bus joins servers to one audience. newBus gives three that are
// joined by the same network and nothing else; the servers close them.
func TestBus(t *testing.T, newBus func(t *testing.T) (a, b, c push.Bus)) {
	t.Run("publish", func(t *testing.T) { testPublish(t, newThree(t, newBus)) })
	t.Run("send", func(t *testing.T) { testSend(t, newThree(t, newBus)) })
	t.Run("presence", func(t *testing.T) { testPresence(t, newThree(t, newBus)) })
	t.Run("positions", func(t *testing.T) { testPositions(t, newThree(t, newBus)) })
	t.Run("loss followed", func(t *testing.T) { testLoss(t, newThree(t, newBus)) })
	t.Run("loss at the end", func(t *testing.T) { testLastLost(t, newThree(t, newBus)) })
	t.Run("twice", func(t *testing.T) { testTwice(t, newThree(t, newBus)) })
	t.Run("hostile names", func(t *testing.T) { testNames(t, newThree(t, newBus)) })
}

// Everybody who is subscribed gets what is published anywhere, once and in order.
func testPublish(t *testing.T, j *three) {
	alice := Dial(t, j.a, "alice@R", pushwire.Hello{})
	bob := Dial(t, j.b, "bob@R", pushwire.Hello{})
	carol := Dial(t, j.c, "carol@R", pushwire.Hello{})
	for _, c := range []*Client{alice, bob} {
		if r := c.Subscribe(1, 2); r.Status != pushwire.Done {
			t.Fatalf("%+v", r)
		}
	}
	carol.Subscribe(2)
	settle(t, j.a, 1, alice, bob)
	settle(t, j.a, 2, alice, bob, carol)
	settle(t, j.b, 2, alice, bob, carol)
	alice.Rest()

	const n = 50
	want := make([]string, n)
	for i := range n {
		want[i] = fmt.Sprintf("message %d", i)
		if r := alice.Publish(want[i], 1, 2); r.Status != pushwire.Done || r.Receivers != 1 {
			t.Fatalf("%+v", r)
		}
	}
	for name, c := range map[string]*Client{"alice, here": alice, "bob, in both groups": bob, "carol, in one": carol} {
		got, others := published(c, want[n-1])
		if !slices.Equal(got, want) || len(others) > 0 {
			t.Errorf("%s got %q and %v", name, got, others)
		}
	}
	bob.Publish("who", 2)
	p := Find[pushwire.Publication](carol)
	if p.From != "bob@R" || p.Origin != bob.Welcome.Origin || len(p.Stamps) != 1 || p.Stamps[0].Group != 2 {
		t.Errorf("published elsewhere: %+v", p)
	}
}

// A user is found wherever it is, and everywhere at once; one that is nowhere is said
// to be absent.
func testSend(t *testing.T, j *three) {
	alice := Dial(t, j.a, "alice@R", pushwire.Hello{})
	bob := Dial(t, j.b, "bob@R", pushwire.Hello{})
	bobToo := Dial(t, j.b, "bob@R", pushwire.Hello{})
	reachable(t, j.a, "bob@R", bob)
	reachable(t, j.a, "bob", bob)
	for _, c := range []*Client{bob, bobToo} {
		c.Sync() // the probes have come
		c.Rest()
	}
	for _, to := range []string{"bob@R", "bob"} {
		if r := alice.Send(to, "for "+to); r.Status != pushwire.Done || r.Receivers != 2 {
			t.Errorf("%s: %+v", to, r)
		}
		for _, c := range []*Client{bob, bobToo} {
			if d := Find[pushwire.Direct](c); d.From != "alice@R" || string(d.Data) != "for "+to {
				t.Errorf("%s: %+v", to, d)
			}
		}
	}
	for _, to := range []string{"nobody@R", "nobody", "bob@", "BOB@R"} {
		if r := alice.Send(to, "x"); r.Status != pushwire.Absent {
			t.Errorf("%s: %+v", to, r)
		}
	}
	aliceToo := Dial(t, j.c, "alice@R", pushwire.Hello{})
	for n := 0; alice.Send("alice@R", "to both").Receivers < 2; n++ {
		if n == 100 {
			t.Fatal("a user on two servers is not found at both")
		}
		time.Sleep(20 * time.Millisecond) // a bus may take its time to know who is where
	}
	for name, c := range map[string]*Client{"where it was sent": alice, "elsewhere": aliceToo} {
		c.Sync()
		c.Rest()
		alice.Send("alice", "last")
		if d := Find[pushwire.Direct](c); d.From != "alice@R" || string(d.Data) != "last" {
			t.Errorf("%s: %+v", name, d)
		}
	}
	bob.Bye()
	bobToo.Bye()
	if r := alice.Send("bob@R", "gone?"); r.Status != pushwire.Absent {
		t.Errorf("after the user has gone: %+v", r)
	}
}

// Who comes and goes elsewhere is told to those who asked for it.
func testPresence(t *testing.T, j *three) {
	watcher := Dial(t, j.a, "watcher@R", pushwire.Hello{Presence: true})
	other := Dial(t, j.a, "other@R", pushwire.Hello{})
	watcher.Subscribe(1, 2)
	other.Subscribe(1, 2)
	settle(t, j.b, 1, watcher)
	watcher.Rest()
	bob := Dial(t, j.b, "bob@R", pushwire.Hello{})
	bob.Subscribe(2, 3)
	bob.Bye()
	for _, entered := range []bool{true, false} {
		if p := Find[pushwire.Presence](watcher); p.Entered != entered || p.Who != "bob@R" || !slices.Equal(p.Groups, []uint32{2}) {
			t.Errorf("%+v, want that bob entered (%v) group 2", p, entered)
		}
	}
	other.Sync()
	for _, m := range other.Rest() {
		if p, ok := m.(pushwire.Presence); ok {
			t.Errorf("told without having asked: %+v", p)
		}
	}
}

// Who subscribes where others are subscribed already is told how far other servers
// have come, and what follows follows that.
func testPositions(t *testing.T, j *three) {
	bob := Dial(t, j.b, "bob@R", pushwire.Hello{})
	bob.Subscribe(1)
	settle(t, j.a, 1, bob)
	alice := Dial(t, j.a, "alice@R", pushwire.Hello{})
	alice.Publish("before", 1)
	published(bob, "before")
	carol := Dial(t, j.b, "carol@R", pushwire.Hello{})
	positions := carol.Subscribe(1).Positions
	i := slices.IndexFunc(positions, func(p pushwire.Position) bool { return p.Origin == alice.Welcome.Origin })
	if i < 0 || positions[0] != (pushwire.Position{Origin: carol.Welcome.Origin, Group: 1}) {
		t.Fatalf("positions %v; alice is at %s", positions, alice.Welcome.Origin)
	}
	alice.Publish("after", 1)
	if p := Find[pushwire.Publication](carol); string(p.Data) != "after" || p.Stamps[0].Seq != positions[i].Seq+1 {
		t.Errorf("%+v follows %+v", p, positions[i])
	}
}

// What did not come is told as soon as something else comes, and before it.
func testLoss(t *testing.T, j *three) {
	bob := Dial(t, j.b, "bob@R", pushwire.Hello{})
	bob.Subscribe(1)
	settle(t, j.a, 1, bob)
	alice := Dial(t, j.a, "alice@R", pushwire.Hello{})
	j.bus.losing.Store(true)
	for range 3 {
		alice.Publish("lost", 1)
	}
	j.bus.losing.Store(false)
	alice.Publish("after", 1)
	got, others := published(bob, "after")
	if len(got) != 1 {
		t.Errorf("got %q", got)
	}
	told, count := uint64(0), uint64(0)
	for _, m := range others {
		l, ok := m.(pushwire.Lost)
		if !ok || l.Count != 0 || len(l.Gaps) != 1 || l.Gaps[0].Origin != alice.Welcome.Origin || l.Gaps[0].Group != 1 {
			t.Fatalf("got %#v beside publications", m)
		}
		told = l.Gaps[0].Seq
		count += l.Gaps[0].Seq - l.Gaps[0].After
	}
	after := alice.Subscribe(1).Positions[0]
	if told != after.Seq-1 || count != 3 {
		t.Errorf("told of %d losses up to %d, the last message has %d", count, told, after.Seq)
	}
}

// What did not come is told even if nothing else comes.
func testLastLost(t *testing.T, j *three) {
	bob := Dial(t, j.b, "bob@R", pushwire.Hello{})
	bob.Subscribe(1)
	settle(t, j.a, 1, bob)
	alice := Dial(t, j.a, "alice@R", pushwire.Hello{})
	j.bus.losing.Store(true)
	alice.Publish("lost", 1)
	at := alice.Subscribe(1).Positions[0]
	want := []pushwire.Gap{{Origin: at.Origin, Group: 1, After: at.Seq - 1, Seq: at.Seq}}
	l := Find[pushwire.Lost](bob)
	for begins(l) {
		l = Find[pushwire.Lost](bob)
	}
	if !slices.Equal(l.Gaps, want) {
		t.Errorf("told %+v, the server is at %+v", l, at)
	}
}

// A publication that comes again is not delivered again.
func testTwice(t *testing.T, j *three) {
	bob := Dial(t, j.b, "bob@R", pushwire.Hello{})
	bob.Subscribe(1)
	settle(t, j.a, 1, bob)
	j.bus.twice.Store(true)
	want := []string{"one", "two", "three"}
	for _, data := range want {
		if _, err := j.a.Hub().Publish(t.Context(), []byte(data), 1); err != nil {
			t.Fatal(err)
		}
	}
	if got, others := published(bob, "three"); !slices.Equal(got, want) || len(others) > 0 {
		t.Errorf("got %q and %v", got, others)
	}
	j.bus.twice.Store(false)
	if _, err := j.a.Hub().Publish(t.Context(), []byte("end"), 1); err != nil {
		t.Fatal(err)
	}
	if got, _ := published(bob, "end"); len(got) != 1 {
		t.Errorf("got %q after what came twice", got)
	}
}

package natsbus_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/natsbus"
	"github.com/countersign-go/countersign/server/push/natsbus/natstest"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/token/pushwire"
)

// place is where an origin is in a group.
type place struct {
	origin pushwire.Origin
	group  uint32
}

// A bookkeeper reads what a client is told, and looks whether it adds up: every
// number comes once and in order, or was said to be lost.
type bookkeeper struct {
	t    *testing.T
	name string
	c    *pushtest.Client

	mu      sync.Mutex
	at      map[place]uint64
	got     map[pushwire.Origin]int
	lost    uint64
	changed chan struct{}
}

func keepBooks(t *testing.T, name string, s *pushtest.Server) *bookkeeper {
	c := pushtest.Dial(t, s, name, pushwire.Hello{})
	if r := c.Subscribe(1, 2); r.Status != pushwire.Done {
		t.Fatalf("%+v", r)
	}
	k := &bookkeeper{t: t, name: name, c: c, at: map[place]uint64{}, got: map[pushwire.Origin]int{}, changed: make(chan struct{})}
	go func() {
		for {
			m, err := c.Next()
			if err != nil {
				return // at the test's end
			}
			k.book(m)
		}
	}()
	return k
}

func (k *bookkeeper) book(m pushwire.Message) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch m := m.(type) {
	case pushwire.Publication:
		for _, s := range m.Stamps {
			p := place{m.Origin, s.Group}
			if at, known := k.at[p]; known && s.Seq != at+1 {
				k.t.Errorf("%s: number %d came after %d", k.name, s.Seq, at)
			}
			k.at[p] = s.Seq
		}
		k.got[m.Origin]++
	case pushwire.Lost:
		for _, g := range m.Gaps {
			p := place{g.Origin, g.Group}
			if at, known := k.at[p]; known && g.After != at {
				k.t.Errorf("%s: %d to %d is lost, and had come up to %d", k.name, g.After, g.Seq, at)
			}
			k.lost += g.Seq - g.After
			k.at[p] = g.Seq
		}
	}
	close(k.changed)
	k.changed = make(chan struct{})
}

// await waits until something is the case.
func (k *bookkeeper) await(what string, ok func() bool) {
	k.t.Helper()
	timeout := time.After(patience)
	for {
		k.mu.Lock()
		done, changed := ok(), k.changed
		k.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			k.mu.Lock()
			defer k.mu.Unlock()
			k.t.Fatalf("%s, %s: got %v, lost %d, at %v", k.name, what, k.got, k.lost, k.at)
		}
	}
}

// flows waits until so many more messages than now have come from each of the servers.
func (k *bookkeeper) flows(what string, origins ...pushwire.Origin) {
	k.t.Helper()
	k.mu.Lock()
	before := map[pushwire.Origin]int{}
	for _, o := range origins {
		before[o] = k.got[o]
	}
	k.mu.Unlock()
	k.await(what, func() bool {
		for o, n := range before {
			if k.got[o] < n+50 {
				return false
			}
		}
		return true
	})
}

// The same with all that is above: two servers on a cluster of three nodes, under
// load, one node killed, a partition made and healed. Their clients
// get every message once and in order, or are told that they lost it.
func TestServersOnCluster(t *testing.T) {
	c := natstest.New(t, 3)
	var at witness
	serve := func(urls string, change func(*natsbus.Config)) *pushtest.Server {
		cfg := natsbus.Config{Servers: urls, MaxData: 64 << 10}
		change(&cfg)
		bus, err := natsbus.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return pushtest.NewServer(t, push.Config{Bus: bus, Setup: func(h *push.Hub) error {
			return h.SetGroups([]push.Group{{Number: 1, Name: "one"}, {Number: 2, Name: "two"}})
		}, Limits: push.Limits{Beacon: 50 * time.Millisecond}}, server.Config{})
	}
	a := serve(c.Nodes[0].URL()+","+c.Nodes[2].URL(), at.log)
	b := serve(c.Nodes[1].URL(), func(*natsbus.Config) {})
	alice, bob := keepBooks(t, "alice@R", a), keepBooks(t, "bob@R", b)
	ofA, ofB := alice.c.Welcome.Origin, bob.c.Welcome.Origin

	stop := make(chan struct{})
	var loads sync.WaitGroup
	for _, s := range []*pushtest.Server{a, b} {
		loads.Go(func() {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				groups := [][]uint32{{1}, {2}, {1, 2}}[n%3]
				s.Hub().Publish(t.Context(), fmt.Append(nil, n), groups...)
			}
		})
	}
	flow := func(what string) {
		t.Helper()
		alice.flows(what, ofA, ofB)
		bob.flows(what, ofA, ofB)
	}
	flow("at first")

	own := at.node(c)
	c.Nodes[own].Kill()
	flow("after a node was killed")
	if now := at.node(c); now == own {
		t.Errorf("still at node %d, which was killed", now)
	}
	c.Nodes[own].Start()
	c.Wait()
	flow("after the node came back")

	c.Isolate(1)
	alice.flows("own messages in the partition", ofA)
	bob.flows("own messages in the partition", ofB)
	bob.mu.Lock()
	before := bob.lost
	bob.mu.Unlock()
	c.Heal()
	flow("after the partition")
	close(stop)
	loads.Wait()

	// In the end everybody is where the servers are.
	for _, k := range []*bookkeeper{alice, bob} {
		for _, s := range []struct {
			origin pushwire.Origin
			c      *bookkeeper
		}{{ofA, alice}, {ofB, bob}} {
			for _, group := range []uint32{1, 2} {
				p := place{s.origin, group}
				s.c.mu.Lock()
				want := s.c.at[p]
				s.c.mu.Unlock()
				k.await("the last number", func() bool { return k.at[p] == want })
			}
		}
		k.mu.Lock()
		t.Logf("%s got %d and %d, lost %d", k.name, k.got[ofA], k.got[ofB], k.lost)
		k.mu.Unlock()
	}
	bob.mu.Lock()
	defer bob.mu.Unlock()
	if bob.lost == before {
		t.Error("the partition lost nothing: there was none")
	}
}

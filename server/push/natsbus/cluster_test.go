package natsbus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/natsbus"
	"github.com/countersign-go/countersign/server/push/natsbus/natstest"
)

// A witness is a log hook that knows where the Bus is connected.
type witness struct {
	mu sync.Mutex
	at string
}

func (w *witness) Levels() []logrus.Level { return logrus.AllLevels }

func (w *witness) Fire(e *logrus.Entry) error {
	if e.Message == "connected to NATS" {
		w.mu.Lock()
		w.at = "nats://" + e.Data["nats"].(string)
		w.mu.Unlock()
	}
	return nil
}

func (w *witness) node(c *natstest.Cluster) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.IndexFunc(c.Nodes, func(n *natstest.Node) bool { return n.URL() == w.at })
}

func (w *witness) log(cfg *natsbus.Config) {
	cfg.Log = logrus.New()
	cfg.Log.SetOutput(io.Discard)
	cfg.Log.AddHook(w)
}

// A counter is a Receiver that looks at the numbers of what it is told.
type counter struct {
	t  *testing.T
	mu sync.Mutex

	last        int // of what was published
	got, lost   int
	interrupted int
	directs     map[string]int
	changed     chan struct{}
}

func newCounter(t *testing.T) *counter {
	return &counter{t: t, directs: map[string]int{}, changed: make(chan struct{})}
}

func (c *counter) lock() func() {
	c.mu.Lock()
	return func() {
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
	}
}

func (c *counter) Published(msg []byte) {
	defer c.lock()()
	var n int
	if _, err := fmt.Sscan(string(msg), &n); err != nil {
		c.t.Errorf("published %q", msg)
	}
	if n <= c.last {
		c.t.Errorf("message %d came after %d", n, c.last)
		return
	}
	c.lost += n - c.last - 1
	c.last = n
	c.got++
}

func (c *counter) Sent(_ push.User, msg []byte) (int, error) {
	defer c.lock()()
	if c.directs[string(msg)]++; c.directs[string(msg)] > 1 {
		c.t.Errorf("message to a user came twice: %s", msg)
	}
	return 1, nil
}

func (c *counter) Announced([]byte) {}

func (c *counter) Interrupted() {
	defer c.lock()()
	c.interrupted++
}

// await waits until something is the case.
func (c *counter) await(what string, ok func() bool) {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		done, changed := ok(), c.changed
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			c.t.Fatalf("%s: last %d, got %d, lost %d, interrupted %d", what, c.last, c.got, c.lost, c.interrupted)
		}
	}
}

// flows waits until so many more messages than now have come.
func (c *counter) flows(what string) {
	c.t.Helper()
	c.mu.Lock()
	want := c.got + 100
	c.mu.Unlock()
	c.await(what, func() bool { return c.got >= want })
}

// A load publishes and sends from a Bus until it is told to stop.
type load struct {
	bus     *natsbus.Bus
	to      push.User
	stop    chan struct{}
	done    chan struct{}
	count   atomic.Int64
	last    int      // number
	sent    []string // that somebody had
	nobody  []string // that nobody had
	refused int
}

func startLoad(bus *natsbus.Bus, to string) *load {
	l := &load{bus: bus, to: push.User{Name: to}, stop: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l
}

func (l *load) run() {
	defer close(l.done)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		l.last++
		l.count.Store(int64(l.last))
		groups := []uint32{1, 2}[:1+l.last%2]
		if err := l.bus.Publish(groups, fmt.Appendf(nil, "%d %s", l.last, strings.Repeat("x", l.last%3000))); err != nil {
			l.refused++
		}
		if l.last%10 != 0 {
			continue
		}
		msg := fmt.Sprint("direct ", l.last)
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		switch n, err := l.bus.Send(ctx, l.to, []byte(msg)); {
		case err == nil && n == 1:
			l.sent = append(l.sent, msg)
		case errors.Is(err, push.ErrNobody):
			l.nobody = append(l.nobody, msg)
		}
		cancel()
	}
}

// Three nodes of NATS under load: one is killed, to which a server is connected,
// and comes back; another is cut off, and joined again. Nothing comes twice or in
// another order, and the numbers say all that was lost.
func TestCluster(t *testing.T) {
	c := natstest.New(t, 3)
	var atA, atB witness
	recA, recB := newCounter(t), newCounter(t)
	start := func(rec *counter, at *witness, name, urls string) *natsbus.Bus {
		cfg := natsbus.Config{Servers: urls, MaxData: 64 << 10}
		at.log(&cfg)
		bus, err := natsbus.New(cfg)
		if err == nil {
			err = bus.Join(rec)
		}
		if err == nil {
			err = errors.Join(bus.WantGroup(1, true), bus.WantUser(push.User{Name: name}, true))
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { bus.Close() })
		return bus
	}
	a := start(recA, &atA, "a", c.Nodes[0].URL()+","+c.Nodes[2].URL())
	b := start(recB, &atB, "b", c.Nodes[1].URL())
	loadA, loadB := startLoad(a, "b"), startLoad(b, "a")
	flow := func(what string) {
		t.Helper()
		recA.flows(what)
		recB.flows(what)
	}
	flow("at first")

	own := atA.node(c)
	c.Nodes[own].Kill()
	recA.await("the loss of the connection is told", func() bool { return recA.interrupted == 1 })
	flow("after a node was killed")
	if at := atA.node(c); at == own || at < 0 {
		t.Errorf("at node %d, which was killed", at)
	}
	c.Nodes[own].Start()
	c.Wait()
	flow("after the node came back")

	c.Isolate(1)
	for _, l := range []*load{loadA, loadB} {
		for enough := l.count.Load() + 200; l.count.Load() < enough; {
			time.Sleep(time.Millisecond)
		}
	}
	c.Heal()
	flow("after the partition")
	recB.mu.Lock()
	if recB.lost == 0 {
		t.Error("a partition lost nothing: there was none")
	}
	if recB.interrupted > 0 {
		t.Errorf("interrupted %d times, though its node stayed", recB.interrupted)
	}
	recB.mu.Unlock()

	for _, side := range []struct {
		load *load
		rec  *counter
	}{{loadA, recB}, {loadB, recA}} {
		close(side.load.stop)
		<-side.load.done
		last := side.load.last + 1
		for err := errors.New("not yet"); err != nil; {
			err = side.load.bus.Publish([]uint32{1}, fmt.Append(nil, last))
		}
		side.rec.await("the last message", func() bool { return side.rec.last == last })
		side.rec.mu.Lock()
		if side.rec.got+side.rec.lost != last {
			t.Errorf("%d got and %d lost of %d", side.rec.got, side.rec.lost, last)
		}
		for _, msg := range side.load.sent {
			if side.rec.directs[msg] != 1 {
				t.Errorf("%s came %d times, though the sender was told that it came", msg, side.rec.directs[msg])
			}
		}
		for _, msg := range side.load.nobody {
			if side.rec.directs[msg] != 0 {
				t.Errorf("%s came, though the sender was told that nobody had it", msg)
			}
		}
		t.Logf("%d published, %d refused, %d got, %d lost, interrupted %d times; of %d sent %d answered, %d for nobody",
			last, side.load.refused, side.rec.got, side.rec.lost, side.rec.interrupted, last/10, len(side.load.sent), len(side.load.nobody))
		side.rec.mu.Unlock()
	}
}

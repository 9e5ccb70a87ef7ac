package natsbus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/natsbus"
)

// patience is how long anything may take that has to come.
const patience = 20 * time.Second

// A hub is a Receiver that keeps what it is told, as lines.
type hub struct {
	*natsbus.Bus
	t testing.TB

	mu       sync.Mutex
	lines    []string
	changed  chan struct{} // closed at each line
	sessions func(push.User) int
	block    chan struct{} // what is told waits until it is closed; nil: not
	running  int
}

// join gives a hub at NATS servers.
func join(t testing.TB, urls string, change ...func(*natsbus.Config)) *hub {
	t.Helper()
	cfg := natsbus.Config{Servers: urls, MaxData: 64 << 10}
	for _, f := range change {
		f(&cfg)
	}
	b, err := natsbus.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{Bus: b, t: t, changed: make(chan struct{}), sessions: func(push.User) int { return 1 }}
	if err := b.Join(h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return h
}

func (h *hub) told(format string, args ...any) {
	h.mu.Lock()
	h.lines = append(h.lines, fmt.Sprintf(format, args...))
	close(h.changed)
	h.changed = make(chan struct{})
	h.running++
	if h.running > 1 {
		h.t.Error("told by two goroutines at a time")
	}
	block := h.block
	h.mu.Unlock()
	if block != nil {
		<-block
	}
	h.mu.Lock()
	h.running--
	h.mu.Unlock()
}

func (h *hub) Published(msg []byte) { h.told("published %s", msg) }
func (h *hub) Announced(msg []byte) { h.told("announced %s", msg) }
func (h *hub) Interrupted()         { h.told("interrupted") }

func (h *hub) Sent(user push.User, msg []byte) (int, error) {
	h.told("sent %q %v %s", user.Name, user.Local, msg)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch n := h.sessions(user); n {
	case 0:
		return 0, push.ErrNobody
	case full:
		return 0, nil
	default:
		return n, nil
	}
}

// hold has the hub take nothing more once it was told something, until it is released.
func (h *hub) hold() (release func()) {
	block := make(chan struct{})
	h.mu.Lock()
	h.block = block
	h.mu.Unlock()
	return func() {
		h.mu.Lock()
		h.block = nil
		h.mu.Unlock()
		close(block)
	}
}

// full is for sessions that take nothing more.
const full = -1

// has says how many sessions every user has here.
func (h *hub) has(sessions int) {
	h.mu.Lock()
	h.sessions = func(push.User) int { return sessions }
	h.mu.Unlock()
}

// await waits until ok says that the lines told are what is to come.
func (h *hub) await(what string, ok func(lines []string) bool) []string {
	h.t.Helper()
	timeout := time.After(patience)
	for {
		h.mu.Lock()
		lines, changed := h.lines, h.changed
		h.mu.Unlock()
		if ok(lines) {
			return lines
		}
		select {
		case <-changed:
		case <-timeout:
			h.t.Fatalf("%s: not in %.2000q", what, lines)
		}
	}
}

func (h *hub) awaitLast(line string) []string {
	h.t.Helper()
	return h.await(line, func(lines []string) bool { return len(lines) > 0 && lines[len(lines)-1] == line })
}

func (h *hub) forget() {
	h.mu.Lock()
	h.lines = nil
	h.mu.Unlock()
}

// reaches waits until what from sends to the user gets to somebody, which takes as
// long as NATS's nodes need to tell each other of subscriptions. Before that,
// what was wanted before is wanted, too: NATS keeps the order.
func (h *hub) reaches(from *hub) {
	h.t.Helper()
	probe := push.User{Name: fmt.Sprintf("probe of %p", h)}
	h.ok(h.WantUser(probe, true))
	for deadline := time.Now().Add(patience); ; {
		_, err := from.Send(context.Background(), probe, []byte("probe"))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("subscriptions do not get to the other server: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
	h.ok(h.WantUser(probe, false))
	h.forget()
}

func (h *hub) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// outsider is a client of NATS without manners.
func outsider(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

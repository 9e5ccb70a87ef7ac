package natsbus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/natsbus"
	"github.com/countersign-go/countersign/server/push/natsbus/natstest"
)

var alice = push.User{Name: "alice@EXAMPLE.ORG"}

// All that one gives arrives at the others who want it, in the order given,
// and at nobody else.
func TestBus(t *testing.T) {
	url := natstest.New(t, 1).URLs()
	a, b, c := join(t, url), join(t, url), join(t, url)
	b.ok(b.WantGroup(1, true))
	b.ok(b.WantGroup(1, true)) // once more is the same
	b.ok(b.WantGroup(4294967295, true))
	b.ok(b.WantUser(alice, true))
	c.ok(c.WantGroup(2, true))
	c.ok(c.WantGroup(1, true))
	c.ok(c.WantGroup(1, false))
	a.ok(a.WantGroup(1, true))
	b.reaches(a)
	c.reaches(a)
	a.forget()

	a.ok(a.Publish([]uint32{1}, []byte("to 1")))
	a.ok(a.Publish([]uint32{1, 2}, []byte("to 1 and 2")))
	a.ok(a.Publish([]uint32{2}, []byte("to 2")))
	a.ok(a.Publish([]uint32{4294967295}, []byte("to the last")))
	a.ok(a.Announce([]byte("to all")))
	if n, err := a.Send(context.Background(), alice, []byte("to alice")); n != 1 || err != nil {
		t.Errorf("sent to %d, %v", n, err)
	}
	a.ok(a.Announce([]byte("end")))

	want := []string{"published to 1", "published to 1 and 2", "published to the last", "announced to all", `sent "alice@EXAMPLE.ORG" false to alice`, "announced end"}
	if got := b.awaitLast("announced end"); !slices.Equal(got, want) {
		t.Errorf("b was told %q", got)
	}
	want = []string{"published to 1 and 2", "published to 2", "announced to all", "announced end"}
	if got := c.awaitLast("announced end"); !slices.Equal(got, want) {
		t.Errorf("c was told %q", got)
	}
	b.ok(b.Announce([]byte("from b")))
	if got := a.awaitLast("announced from b"); len(got) != 1 {
		t.Errorf("a was told its own: %q", got)
	}
}

// A message to a user comes back with the number of sessions of one server that
// has any; servers that have none do not decide.
func TestSend(t *testing.T) {
	url := natstest.New(t, 1).URLs()
	quick := func(c *natsbus.Config) { c.SendTimeout = 300 * time.Millisecond }
	a, b, c := join(t, url, quick), join(t, url), join(t, url)
	ctx := context.Background()

	_, err := a.Send(ctx, alice, []byte("1"))
	wantErr(t, "to nobody", err, push.ErrNobody)
	a.ok(a.WantUser(alice, true))
	_, err = a.Send(ctx, alice, []byte("2"))
	wantErr(t, "to oneself alone", err, push.ErrNobody)

	b.ok(b.WantUser(alice, true))
	b.reaches(a)
	b.has(0)
	_, err = a.Send(ctx, alice, []byte("3"))
	wantErr(t, "to a user who has just left", err, push.ErrNobody)

	c.has(7)
	c.ok(c.WantUser(alice, true))
	c.reaches(a)
	for range 20 {
		if n, err := a.Send(ctx, alice, []byte("4")); n != 7 || err != nil {
			t.Fatalf("%d, %v, though one server has 7", n, err)
		}
	}
	c.has(full)
	if n, err := a.Send(ctx, alice, []byte("4")); n != 0 || err != nil {
		t.Errorf("to a user who is there and takes nothing more: %d, %v", n, err)
	}
	c.ok(c.WantUser(alice, false))
	_, err = a.Send(ctx, push.User{Name: alice.Name, Local: true}, []byte("5"))
	wantErr(t, "to a local user of the principal's name", err, push.ErrNobody)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = a.Send(ended, alice, []byte("6"))
	wantErr(t, "without time", err, context.Canceled)

	// A server that does not answer: whether the user got it is not known.
	defer c.hold()()
	b.ok(b.WantUser(alice, false))
	bob := push.User{Name: "bob", Local: true}
	c.ok(c.WantUser(bob, true))
	for err = push.ErrNobody; err == push.ErrNobody; {
		_, err = a.Send(ctx, bob, []byte("7"))
	}
	wantErr(t, "to a server that hangs", err, context.DeadlineExceeded)
}

// Many at once, and each has its own answer.
func TestSendMany(t *testing.T) {
	url := natstest.New(t, 1).URLs()
	a, b := join(t, url), join(t, url)
	b.sessions = func(u push.User) int { return len(u.Name) }
	for n := range 200 {
		b.ok(b.WantUser(push.User{Name: strings.Repeat("u", n+1)}, true))
	}
	b.reaches(a)
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() {
			got, err := a.Send(context.Background(), push.User{Name: strings.Repeat("u", n+1)}, []byte("x"))
			if got != n+1 || err != nil {
				t.Errorf("%d of %d, %v", got, n+1, err)
			}
		})
	}
	wg.Wait()
}

// Messages at the limit get through, beside short ones and in order.
func TestLongMessages(t *testing.T) {
	url := natstest.New(t, 1).URLs()
	a, b := join(t, url), join(t, url)
	b.ok(b.WantGroup(1, true))
	b.reaches(a)
	var want []string
	for i := range 50 {
		msg := fmt.Sprint(i)
		if i%2 == 0 {
			msg += strings.Repeat("x", 64<<10)
		}
		want = append(want, "published "+msg)
		a.ok(a.Publish([]uint32{1}, []byte(msg)))
	}
	got := b.await("all", func(lines []string) bool { return len(lines) == len(want) })
	if !slices.Equal(got, want) {
		t.Error("long and short messages changed, or changed places")
	}
}

// After Close nothing is told, and nothing taken; what was given before is sent.
func TestClose(t *testing.T) {
	url := natstest.New(t, 1).URLs()
	a, b := join(t, url), join(t, url)
	for i := range 100 {
		a.ok(a.Announce([]byte(fmt.Sprint(i))))
	}
	a.ok(a.Close())
	a.ok(a.Close())
	b.awaitLast("announced 99")
	if err := a.Announce([]byte("late")); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("announced after Close: %v", err)
	}
	if err := a.WantGroup(1, true); err == nil {
		t.Error("a group is wanted after Close")
	}
	if _, err := a.Send(context.Background(), alice, nil); err == nil {
		t.Error("sent after Close")
	}
	if err := a.Join(a); err == nil {
		t.Error("joined again")
	}
	never, err := natsbus.New(natsbus.Config{Servers: url})
	a.ok(err)
	if err := never.Announce(nil); err == nil {
		t.Error("announced before Join")
	}
	a.ok(never.Close())
	if err := never.Join(a); err == nil {
		t.Error("joined after Close")
	}
	b.ok(b.Close())
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if !bytes.Contains(stacks, []byte("nats-io/nats")) && !bytes.Contains(stacks, []byte("natsbus.(*")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still running:\n%s", stacks)
		}
	}
}

// A user who comes and goes: the sender has an answer, whenever it asks.
func TestSendWhileLeaving(t *testing.T) {
	c := natstest.New(t, 2)
	a, b := join(t, c.Nodes[0].URL()), join(t, c.Nodes[1].URL())
	b.ok(b.WantUser(alice, true))
	b.reaches(a)
	for _, coming := range []bool{false, true, false, true, false} {
		if coming {
			b.has(1)
		} else {
			b.has(0)
		}
		b.ok(b.WantUser(alice, coming))
		switch n, err := a.Send(context.Background(), alice, []byte("x")); {
		case coming && (n != 1 || err != nil):
			t.Errorf("user who has come back: %d sessions, %v", n, err)
		case !coming:
			wantErr(t, "user who has left", err, push.ErrNobody)
		}
	}
	// In the end NATS knows, and b is asked no more.
	for deadline := time.Now().Add(patience); ; {
		msg := fmt.Sprint(time.Until(deadline))
		_, err := a.Send(context.Background(), alice, []byte(msg))
		lines := b.await("x", func([]string) bool { return true })
		asked := len(lines) > 0 && strings.HasSuffix(lines[len(lines)-1], msg)
		if errors.Is(err, push.ErrNobody) && !asked {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server listens for ever for a user who has gone")
		}
	}
}

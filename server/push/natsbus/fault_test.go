package natsbus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/natsbus"
	"github.com/countersign-go/countersign/server/push/natsbus/natstest"
)

// awaitErr calls until there is an error like want.
func awaitErr(t *testing.T, what string, call func() error, want error) error {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err := call()
		if errors.Is(err, want) {
			return err
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v, want %v", what, err, want)
		}
	}
}

// Without NATS everything fails at once, and says so; nothing of it is sent
// later. What is wanted is wanted again afterwards.
func TestDisconnected(t *testing.T) {
	c := natstest.New(t, 1)
	a, b := join(t, c.URLs()), join(t, c.URLs())
	b.ok(b.WantGroup(1, true))
	b.ok(b.WantGroup(2, true))
	b.reaches(a)
	c.Nodes[0].Kill()
	awaitErr(t, "publish", func() error { return b.Publish([]uint32{1}, []byte("stale")) }, natsbus.ErrDisconnected)
	err := awaitErr(t, "publish", func() error { return a.Publish([]uint32{1}, []byte("stale")) }, natsbus.ErrDisconnected)
	if err.Error() == natsbus.ErrDisconnected.Error() {
		t.Errorf("%v: no reason", err)
	}
	wantErr(t, "announce", a.Announce([]byte("stale")), natsbus.ErrDisconnected)
	_, err = a.Send(context.Background(), alice, []byte("stale"))
	wantErr(t, "send", err, natsbus.ErrDisconnected)
	b.ok(b.WantUser(alice, true))
	b.ok(b.WantGroup(2, false))
	for i := range 10000 { // users come and go meanwhile
		b.ok(b.WantUser(push.User{Name: fmt.Sprint(i)}, true))
		b.ok(b.WantUser(push.User{Name: fmt.Sprint(i)}, false))
	}

	c.Nodes[0].Start()
	b.awaitLast("interrupted") // and can say something then
	b.ok(b.Announce([]byte("back")))
	a.await("interrupted", func(lines []string) bool { return slices.Contains(lines, "interrupted") })
	b.reaches(a)
	a.ok(a.Publish([]uint32{2}, []byte("2")))
	a.ok(a.Publish([]uint32{1}, []byte("1")))
	if n, err := a.Send(context.Background(), alice, []byte("alice")); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := b.awaitLast(`sent "alice@EXAMPLE.ORG" false alice`); !slices.Equal(got, []string{"published 1", got[len(got)-1]}) {
		t.Errorf("told %q", got)
	}
}

// A Send whose connection ends does not wait for its time.
func TestSendInterrupted(t *testing.T) {
	c := natstest.New(t, 1)
	never := func(c *natsbus.Config) { c.SendTimeout = time.Hour }
	a, b := join(t, c.URLs(), never), join(t, c.URLs())
	b.ok(b.WantUser(alice, true))
	b.reaches(a)
	defer b.hold()()
	failed := make(chan error, 1)
	go func() {
		_, err := a.Send(context.Background(), alice, []byte("x"))
		failed <- err
	}()
	b.awaitLast(`sent "alice@EXAMPLE.ORG" false x`)
	c.Nodes[0].Kill()
	wantErr(t, "send", <-failed, natsbus.ErrDisconnected)
}

// A Hub that takes nothing has others' messages dropped, is told so when it
// goes on, and then gets what comes.
func TestSlowReceiver(t *testing.T) {
	url := natstest.New(t, 1).URLs()
	a, b := join(t, url), join(t, url)
	b.ok(b.WantGroup(1, true))
	b.reaches(a)
	release := b.hold()
	const total = 1000
	msg := strings.Repeat("x", 64<<10)
	for i := range total {
		awaitErr(t, "publish", func() error { return a.Publish([]uint32{1}, []byte(fmt.Sprint(i, " ", msg))) }, nil)
	}
	// NATS has it all when a is answered, and b has taken or dropped all when
	// b is answered: that goes the same way.
	bob := push.User{Name: "bob"}
	c := join(t, url)
	c.ok(c.WantUser(bob, true))
	c.reaches(a)
	for _, h := range []*hub{a, b} {
		if n, err := h.Send(context.Background(), bob, []byte("x")); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	release()
	lines := b.await("the end", func(lines []string) bool {
		if len(lines) > 0 && lines[len(lines)-1] == "announced end" {
			return true
		}
		a.Announce([]byte("end"))
		return false
	})
	n := slices.Index(lines, "interrupted")
	if n < 0 {
		t.Fatalf("%d of %d messages were told, and not that some were lost", len(lines), total)
	}
	for i, line := range lines[:n] {
		if !strings.HasPrefix(line, fmt.Sprintf("published %d x", i)) {
			t.Fatalf("message %d is %.30q", i, line)
		}
	}
	if n < 100 || n > total-100 {
		t.Errorf("%d of %d messages were kept", n, total)
	}
}

package push_test

import (
	"context"
	"encoding/binary"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/token"
	"github.com/countersign-go/countersign/token/pushwire"
)

// Whatever is no request ends the session of who sent it, who is told why.
func TestViolations(t *testing.T) {
	s := newServer(t, push.Config{})
	other := pushtest.Dial(t, s, "other@R", pushwire.Hello{})
	good := encode(t, pushwire.SubscribeRequest{ID: 1, Groups: []uint32{1}})
	manyGroups := binary.BigEndian.AppendUint16(make([]byte, 8), 40_000) // 10,000 numbers
	manyGroups = append(manyGroups, make([]byte, 40_000)...)
	for name, raw := range map[string][]byte{
		"server's message":  encode(t, pushwire.Direct{From: "boss@R", Data: []byte("you are fired")}),
		"publication":       encode(t, pushwire.Publication{From: "boss@R", Stamps: []pushwire.Stamp{{Group: 1, Seq: 7}}}),
		"result":            encode(t, pushwire.Result{}),
		"between servers":   encode(t, pushwire.Forward{To: "other@R", Direct: pushwire.Direct{From: "boss@R"}}),
		"beacon":            encode(t, pushwire.Beacon{}),
		"second greeting":   encode(t, pushwire.Hello{Version: 1}),
		"unknown kind":      {0x7f, 0, 0, 0},
		"truncated":         good[:len(good)-1],
		"longer than token": {0x02, 0xff, 0xff, 0xff},
		"no groups":         {0x02, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0},
		"10,000 groups":     append([]byte{0x02, 0, byte(len(manyGroups) >> 8), byte(len(manyGroups))}, manyGroups...),
		"rubbish after":     append(encode(t, pushwire.Ping{Number: 1}), 0),
		"wait too long":     {0x07, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff},
	} {
		c := pushtest.Dial(t, s, "evil@R", pushwire.Hello{})
		if err := c.WriteRaw(raw); err != nil {
			t.Fatal(err)
		}
		if bye, err := c.Expelled(); bye.Code != pushwire.Violation || bye.Why == "" || err == nil {
			t.Errorf("%s: told %+v, ended with %v", name, bye, err)
		}
	}
	other.Bye()
	if rest := other.Rest(); len(rest) > 0 {
		t.Errorf("another one got %v", rest)
	}
}

// Frames that are none of this service end the session, before and after the greeting.
func TestFrames(t *testing.T) {
	for name, tt := range map[string]struct {
		first token.Flags
		want  string
	}{
		"version 1":       {0, "expected a frame with"},
		"unauthenticated": {token.NOOP, "expected a frame with"},
		"data":            {token.Data, "expected a frame with"},
	} {
		s := newServer(t, push.Config{})
		ours, theirs := net.Pipe()
		ended := s.ServeConn(t.Context(), theirs)
		cfg := token.Config{Version: token.V2}
		if tt.first == 0 {
			cfg.Version = token.V1
		}
		frames, err := cfg.NewConn(ours)
		if err != nil {
			t.Fatal(err)
		}
		if err := frames.WriteFrame(tt.first, []byte("I am alice@R")); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		_ = ours.Close()
	}
}

// A context with sequencing, in which no signature would verify, is refused by name.
func TestSequencing(t *testing.T) {
	arrived := false
	s := newServer(t, push.Config{
		Acceptor: pushtest.Acceptor{Flags: pushtest.Flags | gss.Sequencing},
		Hooks:    push.Hooks{Arrive: func(context.Context, *push.Member) error { arrived = true; return nil }},
	})
	c := pushtest.Connect(t, s, "alice@R")
	c.Write(pushwire.Hello{Version: 1})
	if bye, err := c.Expelled(); bye.Code != pushwire.Violation || !strings.Contains(bye.Why, "GSS_C_SEQUENCE_FLAG") || err == nil || arrived {
		t.Errorf("told %+v, ended with %v, arrived %v", bye, err, arrived)
	}
}

// A frame or token that is not the next of this context ends the session.
func TestTokens(t *testing.T) {
	s := newServer(t, push.Config{})
	const sealed = token.Data | token.Wrapped | token.Encrypted
	frame := func(flags token.Flags, data string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{byte(flags)}, uint32(len(data))), data...)
	}
	number := func(n byte) string { return "\x00\x00\x00\x00\x00\x00\x00" + string(n) }
	ping := string(encode(t, pushwire.Ping{Number: 1}))
	for name, tt := range map[string]struct {
		raw  []byte
		want string
	}{
		"huge":          {[]byte{byte(sealed), 0x7f, 0xff, 0xff, 0xff}, "longer than"},
		"a bit longer":  {binary.BigEndian.AppendUint32([]byte{byte(sealed)}, pushwire.MaxToken+1<<10+1), "longer than"},
		"plain":         {frame(token.Data, ping), "expected a frame with"},
		"noop":          {frame(token.NOOP, ""), "expected a frame with"},
		"not encrypted": {frame(sealed, "P"+number(1)+ping), "not encrypted"},
		"repeated":      {frame(sealed, "S"+number(0)+ping), "token 0 came where token 1 was due"},
		"ahead":         {frame(sealed, "S"+number(2)+ping), "token 2 came where token 1 was due"},
		"no token":      {frame(sealed, "x"), "Invalid token"},
		"no number":     {frame(sealed, "Sabc"), "without a number"},
		"cut off":       {frame(sealed, "S"+number(1)+ping)[:20], ""},
	} {
		c := pushtest.Dial(t, s, "evil@R", pushwire.Hello{})
		if err := c.WriteBytes(tt.raw); err != nil {
			t.Fatal(err)
		}
		if tt.want == "" {
			c.Close()
		}
		bye, err := c.Expelled()
		if err == nil || !strings.Contains(err.Error(), tt.want) || tt.want != "" && bye.Code != pushwire.Violation {
			t.Errorf("%s: told %+v, ended with %v", name, bye, err)
		}
	}
	if used := s.Memory().Used(); used != 0 {
		t.Errorf("%d octets are held", used)
	}
}

// Who the sender is, its context says; a name too long for the encoding is refused.
func TestNames(t *testing.T) {
	s := newServer(t, push.Config{})
	bob := pushtest.Dial(t, s, "bob@R", pushwire.Hello{})
	bob.Subscribe(1)
	mallory := pushtest.Dial(t, s, "alice\\@R@EVIL", pushwire.Hello{})
	mallory.Publish("I am alice@R", 1)
	if p := pushtest.Expect[pushwire.Publication](bob); p.From != "alice\\@R@EVIL" {
		t.Errorf("from %q", p.From)
	}
	mallory.Send("bob@R", "I am alice@R")
	if d := pushtest.Expect[pushwire.Direct](bob); d.From != "alice\\@R@EVIL" {
		t.Errorf("from %q", d.From)
	}
	if r := bob.Send("alice@R", "secret"); r.Status != pushwire.Absent {
		t.Errorf("%+v", r)
	}
	if err := <-pushtest.Connect(t, s, strings.Repeat("x", pushwire.MaxName+1)).Ended; err == nil || !strings.Contains(err.Error(), "name is longer") {
		t.Errorf("ended with %v", err)
	}
	bob.Bye()
	mallory.Bye()
}

// The greeting has to come within the handshake's time.
func TestLateGreeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{})
		c := pushtest.Connect(t, s, "alice@R")
		start := time.Now()
		if err := <-c.Ended; err == nil || !strings.Contains(err.Error(), "handshake not finished") || time.Since(start) != server.DefaultHandshakeTimeout {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}

// What clients have being read has a bound, for all of them together.
func TestMemory(t *testing.T) {
	s := newServer(t, push.Config{Limits: push.Limits{Memory: 1 << 20, MaxData: 1 << 20}})
	bob := pushtest.Dial(t, s, "bob@R", pushwire.Hello{})
	evil := pushtest.Dial(t, s, "evil@R", pushwire.Hello{})
	_ = evil.TryWrite(pushwire.SignRequest{Data: make([]byte, 1<<20)})
	if _, err := evil.Expelled(); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("ended with %v", err)
	}
	if r := bob.Publish(strings.Repeat("x", 100_000), 1); r.Status != pushwire.Done {
		t.Errorf("%+v", r)
	}
	bob.Bye()
}

// Requests that wait for a slow one are given up with the session, and no goroutine
// is left, which synctest would find.
func TestWaitingRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{Limits: push.Limits{Rate: 1_000_000}})
		for name, end := range map[string]func(*pushtest.Client){
			"lost":      func(c *pushtest.Client) { c.Close() },
			"violation": func(c *pushtest.Client) { _ = c.WriteRaw([]byte("x")) },
		} {
			c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
			requests := []pushwire.Message{pushwire.WaitRequest{ID: 1, For: pushwire.MaxWait}}
			for i := range 100 {
				requests = append(requests, pushwire.PublishRequest{ID: uint64(i + 2), Groups: []uint32{1}, Data: make([]byte, 1000)})
			}
			c.Write(requests...)
			c.Sync()
			start := time.Now()
			end(c)
			<-c.Ended
			synctest.Wait()
			if passed := time.Since(start); passed > 0 {
				t.Errorf("%s: the session took %s to end", name, passed)
			}
		}
		if used := s.Memory().Used(); used != 0 {
			t.Errorf("%d octets are still held", used)
		}
	})
}

// Idle sessions have one goroutine each, as every session of the server has.
func TestIdleSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{})
		const n = 100
		clients := make([]*pushtest.Client, n)
		for i := range clients {
			clients[i] = pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
			clients[i].Subscribe(1)
		}
		publish(t, s, "x", 1)
		synctest.Wait()
		all := make([]byte, 16<<20)
		stacks := string(all[:runtime.Stack(all, true)])
		for does, want := range map[string]int{"read": n, "write": 0, "work": 0} {
			if got := strings.Count(stacks, "push.(*Member)."+does+"("); got != want {
				t.Errorf("%d sessions have %d goroutines that %s", n, got, does)
			}
		}
		if got := strings.Count(stacks, ".(*Server).ServeConn("); got != n {
			t.Errorf("%d sessions have %d goroutines that serve", n, got)
		}
		for _, c := range clients {
			c.Bye()
		}
	})
}

// A stopped server ends within the grace time, whatever a hook does until its context ends.
func TestStopInHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{Hooks: push.Hooks{Send: func(ctx context.Context, _ *push.Member, _ string, _ []byte) error {
			<-ctx.Done()
			return ctx.Err()
		}}})
		ctx, stop := context.WithCancel(t.Context())
		c := s.Dial(ctx, t, "alice@R")
		c.Write(pushwire.SendRequest{To: "bob"})
		c.Sync()
		stop()
		if bye, err := c.Expelled(); bye.Code != pushwire.Stopping || err != nil {
			t.Errorf("%+v, %v", bye, err)
		}
	})
}

package push_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/token/pushwire"
)

func groups(h *push.Hub) error {
	return h.SetGroups([]push.Group{{Number: 1, Name: "one"}, {Number: 2, Name: "two"}, {Number: 3, Name: "three"}})
}

func newServer(t testing.TB, cfg push.Config) *pushtest.Server {
	t.Helper()
	if cfg.Setup == nil {
		cfg.Setup = groups
	}
	return pushtest.NewServer(t, cfg, server.Config{})
}

func TestConfig(t *testing.T) {
	good := pushtest.Acceptor{}
	for want, cfg := range map[string]push.Config{
		"no acceptor":         {},
		"-1 octets of data":   {Acceptor: good, Limits: push.Limits{MaxData: -1}},
		"the encoding takes":  {Acceptor: good, Limits: push.Limits{MaxData: pushwire.MaxData + 1}},
		"-1 messages queued":  {Acceptor: good, Limits: push.Limits{Queue: -1}},
		"negative write time": {Acceptor: good, Limits: push.Limits{WriteTime: -1}},
		"Limits.Beacon of 10": {Acceptor: good, Limits: push.Limits{Beacon: 10*time.Second + 1}}, // others would miss it
		"negative beacon":     {Acceptor: good, Limits: push.Limits{Beacon: -1}},
		"-1 octets of memory": {Acceptor: good, Limits: push.Limits{Memory: -1}},
		"not today":           {Acceptor: good, Setup: func(*push.Hub) error { return errors.New("not today") }},
		"group 1 twice":       {Acceptor: good, Setup: func(h *push.Hub) error { return h.SetGroups([]push.Group{{Number: 1}, {Number: 1}}) }},
		"more groups than":    {Acceptor: good, Setup: func(h *push.Hub) error { return h.SetGroups(manyGroups(10_000)) }},
	} {
		if _, err := push.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

func manyGroups(n int) []push.Group {
	groups := make([]push.Group, n)
	for i := range groups {
		groups[i].Number = uint32(i)
	}
	return groups
}

// What a client is told at first, and what the requests do.
func TestRequests(t *testing.T) {
	s := newServer(t, push.Config{})
	alice := pushtest.Dial(t, s, "alice@R", pushwire.Hello{Version: 9})
	bob := pushtest.Dial(t, s, "bob@R", pushwire.Hello{})
	w := alice.Welcome
	all := pushwire.Read | pushwire.Publish
	if w.Version != 1 || w.You != "alice@R" || w.Local != "alice" || w.Server != "push/server@R" || w.MaxData != 64<<10 || w.Idle != server.DefaultIdleTimeout ||
		!slices.Equal(w.Groups, []pushwire.Group{{Number: 1, Rights: all, Name: "one"}, {Number: 2, Rights: all, Name: "two"}, {Number: 3, Rights: all, Name: "three"}}) {
		t.Errorf("welcome %+v", w)
	}
	if r := alice.Publish("before", 1); r.Status != pushwire.Done || r.Receivers != 0 {
		t.Errorf("%+v", r)
	}
	r := bob.Subscribe(3, 1, 1)
	if want := []pushwire.Position{{Origin: w.Origin, Group: 1, Seq: 1}, {Origin: w.Origin, Group: 3}}; !slices.Equal(r.Positions, want) {
		t.Errorf("positions %v, want %v", r.Positions, want)
	}
	if r := alice.Publish("both", 2, 3, 1); r.Status != pushwire.Done || r.Receivers != 1 {
		t.Errorf("%+v", r)
	}
	p := pushtest.Expect[pushwire.Publication](bob)
	if want := []pushwire.Stamp{{Group: 1, Seq: 2}, {Group: 2, Seq: 1}, {Group: 3, Seq: 1}}; p.From != "alice@R" || string(p.Data) != "both" || !slices.Equal(p.Stamps, want) {
		t.Errorf("%+v", p)
	}
	for to, want := range map[string]pushwire.Status{"bob@R": pushwire.Done, "bob": pushwire.Done, "carol": pushwire.Absent, "bob\\@R": pushwire.Absent} {
		r := alice.Send(to, "hello")
		if r.Status != want {
			t.Errorf("%s: %+v", to, r)
		}
		if want == pushwire.Done {
			if d := pushtest.Expect[pushwire.Direct](bob); d.From != "alice@R" || string(d.Data) != "hello" || r.Receivers != 1 {
				t.Errorf("%+v, %+v", d, r)
			}
		}
	}
	if r := bob.Leave(1); r.Status != pushwire.Done {
		t.Errorf("%+v", r)
	}
	if r := alice.Publish("after", 1); r.Receivers != 0 {
		t.Errorf("%+v", r)
	}
	for _, r := range []pushwire.Result{alice.Subscribe(9), alice.Leave(9), alice.Publish("x", 1, 9)} {
		if r.Status != pushwire.NoGroup || !strings.Contains(r.Why, "9") {
			t.Errorf("%+v", r)
		}
	}
	if r := alice.Publish(strings.Repeat("x", 64<<10+1), 1); r.Status != pushwire.TooLong {
		t.Errorf("%+v", r)
	}
	alice.Bye()
	bob.Bye()
}

// A MIC is that of the data, and many of them come in one token's worth at most.
func TestSign(t *testing.T) {
	s := newServer(t, push.Config{})
	c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
	const n = 100
	requests := make([]pushwire.Message, n)
	for i := range requests {
		requests[i] = pushwire.SignRequest{ID: c.ID(), Data: []byte{byte(i)}}
	}
	c.Write(requests...)
	for i := range requests {
		r := pushtest.Expect[pushwire.Result](c)
		if err := c.Context.VerifyMIC([]byte{byte(i)}, r.MIC); r.Status != pushwire.Done || r.ID != uint64(i+1) || err != nil {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	c.Bye()
}

// A slow request delays those that come after it, but no push and no ping.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{})
		c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
		c.Subscribe(1)
		wait, after := c.ID(), c.ID()
		start := time.Now()
		c.Write(pushwire.WaitRequest{ID: wait, For: 10 * time.Second}, pushwire.SignRequest{ID: after, Data: []byte("x")})
		if _, err := s.Hub().Publish(t.Context(), []byte("meanwhile"), 1); err != nil {
			t.Error(err)
		}
		pushtest.Expect[pushwire.Publication](c)
		c.Sync()
		if passed := time.Since(start); passed > 0 {
			t.Errorf("a push and a pong took %s", passed)
		}
		c.Result(wait)
		if passed := time.Since(start); passed != 10*time.Second {
			t.Errorf("waited %s", passed)
		}
		c.Result(after)

		c.Write(pushwire.WaitRequest{ID: c.ID(), For: pushwire.MaxWait}, pushwire.SignRequest{ID: after + 10, Data: []byte("x")})
		c.Bye()
		if passed := time.Since(start); passed != 10*time.Second {
			t.Errorf("the end waited %s", passed-10*time.Second)
		}
		c.Result(after + 10)
	})
}

// What is signed behind a slow request is signed as well, and the session goes on.
func TestSignAfterWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{})
		c := pushtest.Dial(t, s, "alice@R", pushwire.Hello{})
		for _, data := range []string{"", "data"} {
			wait, sign := c.ID(), c.ID()
			c.Write(pushwire.WaitRequest{ID: wait, For: time.Second}, pushwire.SignRequest{ID: sign, Data: []byte(data)})
			c.Result(wait)
			if err := c.Context.VerifyMIC([]byte(data), c.Result(sign).MIC); err != nil {
				t.Errorf("%q: %v", data, err)
			}
		}
		if r := c.Publish("x", 1); r.Status != pushwire.Done {
			t.Errorf("%+v", r)
		}
		c.Bye()
		if used := s.Memory().Used(); used != 0 {
			t.Errorf("%d octets are held", used)
		}
	})
}

// Contexts that lack something are refused, and whoever does not begin as a client of this service.
func TestRefusedAtTheDoor(t *testing.T) {
	for name, tt := range map[string]struct {
		flags gss.Flags
		first []byte
		want  string
	}{
		"no mutual authentication": {flags: pushtest.Flags &^ gss.Mutual, want: "it lacks GSS_C_MUTUAL_FLAG"},
		"no confidentiality":       {flags: pushtest.Flags &^ gss.Confidentiality, want: "it lacks GSS_C_CONF_FLAG"},
		"message of sign":          {first: []byte("hello, sign this"), want: "receiving the greeting"},
		"request first":            {first: encode(t, pushwire.SignRequest{}), want: "no greeting"},
		"version 0":                {first: encode(t, pushwire.Hello{}), want: "no greeting"},
		"server's message":         {first: encode(t, pushwire.Welcome{}), want: "no greeting"},
		"nothing":                  {first: []byte{}, want: "receiving the greeting"},
	} {
		s := newServer(t, push.Config{Acceptor: pushtest.Acceptor{Flags: tt.flags}})
		c := pushtest.Connect(t, s, "alice@R")
		if tt.first != nil {
			if err := c.WriteRaw(tt.first); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-c.Ended; err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: ended with %v", name, err)
		}
		if rest := c.Rest(); len(rest) > 0 {
			t.Errorf("%s: was told %v", name, rest)
		}
	}
}

func encode(t testing.TB, msgs ...pushwire.Message) []byte {
	t.Helper()
	b, err := pushwire.Append(nil, msgs...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A client that says that it is done gets all that was queued for it before the
// server's last word, and nobody is told of what it does not get.
func TestByeAfterQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, push.Config{})
		alice, bob := s.Dial(t.Context(), t, "alice@R"), s.Dial(t.Context(), t, "bob@R")
		const many = 100
		alice.Hold()
		for range many {
			if r := bob.Send("alice@R", "x"); r.Receivers != 1 {
				t.Fatalf("%+v", r)
			}
		}
		alice.Write(pushwire.Bye{Code: pushwire.Finished})
		synctest.Wait()
		if r := bob.Send("alice@R", "late"); r.Status != pushwire.Absent {
			t.Errorf("to one who is done: %+v", r)
		}
		alice.Resume()
		for range many {
			pushtest.Expect[pushwire.Direct](alice)
		}
		if bye, err := alice.Expelled(); bye.Code != pushwire.Finished || err != nil {
			t.Errorf("%+v, %v", bye, err)
		}
		bob.Bye()
	})
}

// A server that stops tells its clients, after what they still have to get.
func TestStop(t *testing.T) {
	s := newServer(t, push.Config{})
	ctx, stop := context.WithCancel(t.Context())
	idle, waiting := s.Dial(ctx, t, "alice@R"), s.Dial(ctx, t, "bob@R")
	idle.Subscribe(1)
	waiting.Write(pushwire.WaitRequest{ID: 1, For: pushwire.MaxWait})
	waiting.Sync()
	if n, err := s.Hub().Publish(t.Context(), []byte("last"), 1); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	stop()
	pushtest.Expect[pushwire.Publication](idle)
	for _, c := range []*pushtest.Client{idle, waiting} {
		if bye, err := c.Expelled(); bye.Code != pushwire.Stopping || err != nil {
			t.Errorf("%+v, %v", bye, err)
		}
	}
}

// One that takes nothing delays a stopping server by the grace time, and nobody's last word.
func TestStopBesideSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushtest.NewServer(t, push.Config{Setup: groups}, server.Config{Grace: 3 * time.Second})
		ctx, stop := context.WithCancel(t.Context())
		slow, fast := s.Dial(ctx, t, "slow@R"), s.Dial(ctx, t, "fast@R")
		slow.Subscribe(1)
		fast.Subscribe(1)
		synctest.Wait()
		slow.Hold()
		for range 3 {
			publish(t, s, strings.Repeat("x", 10_000), 1)
		}
		start := time.Now()
		stop()
		if bye, err := fast.Expelled(); bye.Code != pushwire.Stopping || err != nil || time.Since(start) > 0 {
			t.Errorf("after %s: %+v, %v", time.Since(start), bye, err)
		}
		if err := <-slow.Ended; err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		slow.Resume()
	})
}

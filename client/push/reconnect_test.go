package push_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A client comes back, subscribes again to what it was subscribed to, and is told
// what it missed; nothing comes twice. What was under way is given up, what was
// not sent yet is sent.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d := listen(), newDiary()
		cfg := l.config()
		cfg.Groups, cfg.Events = []uint32{1, 2}, d.events()
		c, p := dial(t, l, cfg, at("here", 1, 4))
		r := c.Subscribe(3, 4)
		p.done(pushwire.Result{Positions: []pushwire.Position{at("gone", 3, 2)}})
		r.Wait(t.Context())
		r = c.Leave(4)
		p.done(pushwire.Result{})
		r.Wait(t.Context())
		p.say(pushwire.Joined{Groups: []uint32{5, 6}, Positions: []pushwire.Position{at("here", 5, 1)}}, pushwire.Removed{Groups: []uint32{2}})
		p.say(published("here", 5, 1, 9))
		d.expect(t, "connected", "joined [5 6]", "removed [2]", "here-5")
		lost := c.Publish([]byte("x"), 1)
		p.read()
		p.hangUp()
		d.expect(t, "disconnected")
		waits := c.Publish([]byte("y"), 1)
		if _, err := lost.Wait(t.Context()); !errors.Is(err, push.ErrInterrupted) {
			t.Errorf("a request under way: %v", err)
		}

		p = l.welcome(t, pushwire.Joined{Groups: []uint32{5}, Positions: []pushwire.Position{at("here", 5, 3), at("new", 5, 2)}})
		d.expect(t, "connected", "directs may be lost", "lost 4 0 map[5:4] false", "joined [5]")
		m, ok := p.done(pushwire.Result{Positions: []pushwire.Position{at("here", 1, 8), at("slow", 1, 0)}}).(pushwire.SubscribeRequest)
		if !ok || !slices.Equal(m.Groups, []uint32{1, 3}) {
			t.Errorf("subscribed again to %v", m.Groups)
		}
		d.expect(t, "lost 3 0 map[1:3] true")
		if m, ok := p.done(pushwire.Result{}).(pushwire.PublishRequest); !ok || string(m.Data) != "y" {
			t.Errorf("then the client asked for %+v", m)
		}
		if _, err := waits.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		// 8 was told as lost, "gone" was known up to 2, and 2 is left.
		p.say(published("here", 8, 1), published("gone", 2, 3), published("here", 9, 2), published("gone", 4, 3), published("here", 9, 1, 2))
		d.expect(t, "lost 1 0 map[3:1] false", "gone-4", "here-9")

		// A server that is gone for good is told of once.
		p.hangUp()
		d.expect(t, "disconnected")
		p = l.welcome(t)
		p.done(pushwire.Result{Positions: []pushwire.Position{at("here", 1, 9), at("gone", 3, 4)}})
		d.expect(t, "connected", "directs may be lost", "lost 0 0 map[] true") // "slow" published nothing
		p.hangUp()
		d.expect(t, "disconnected")
		p = l.welcome(t)
		p.done(pushwire.Result{Positions: []pushwire.Position{at("here", 1, 9), at("gone", 3, 4)}})
		d.expect(t, "connected", "directs may be lost")
		end(t, c, p)
		d.empty(t)
	})
}

func lost(count, directs uint32, gaps ...pushwire.Gap) pushwire.Lost {
	return pushwire.Lost{Count: count, Directs: directs, Gaps: gaps}
}

func open(from string, group uint32, seq uint64) pushwire.Gap {
	g := gap(from, group, seq, seq)
	g.Open = true
	return g
}

func atLeast(from string, group uint32, seq uint64) pushwire.Position {
	p := at(from, group, seq)
	p.AtLeast = true
	return p
}

// Gaps and the server's word of losses are counted once.
func TestLosses(t *testing.T) {
	for name, tt := range map[string]struct {
		said []pushwire.Message
		told []string
	}{
		"none":         {[]pushwire.Message{published("here", 5, 1), published("here", 6, 1)}, []string{"here-5", "here-6"}},
		"gap":          {[]pushwire.Message{published("here", 7, 1)}, []string{"lost 2 0 map[1:2] false", "here-7"}},
		"gap in two":   {[]pushwire.Message{published("here", 7, 1, 2)}, []string{"lost 2 0 map[1:2] false", "here-7"}},
		"new origin":   {[]pushwire.Message{published("new", 7, 1), published("new", 9, 1)}, []string{"new-7", "lost 1 0 map[1:1] false", "new-9"}},
		"seen":         {[]pushwire.Message{published("here", 4, 1), published("here", 3, 1), published("here", 5, 1), published("here", 5, 1)}, []string{"here-5"}},
		"others'":      {[]pushwire.Message{published("here", 9, 3)}, nil},
		"queue full":   {[]pushwire.Message{lost(3, 1, gap("here", 1, 4, 6)), published("here", 7, 1)}, []string{"lost 3 1 map[1:2] false", "here-7"}},
		"on the way":   {[]pushwire.Message{lost(0, 0, gap("here", 1, 4, 6), gap("new", 1, 1, 2)), published("here", 6, 1), published("new", 3, 1)}, []string{"lost 3 0 map[1:3] false", "new-3"}},
		"new and full": {[]pushwire.Message{lost(2, 0, gap("new", 1, 0, 2)), published("new", 3, 1)}, []string{"lost 2 0 map[1:2] false", "new-3"}},
		"only directs": {[]pushwire.Message{lost(2, 2)}, []string{"lost 2 2 map[] false"}},
		"old gap":      {[]pushwire.Message{lost(0, 0, gap("here", 1, 2, 3), gap("here", 9, 0, 8)), published("here", 5, 1)}, []string{"here-5"}},
		"gap of none":  {[]pushwire.Message{lost(0, 0, gap("new", 1, 7, 7)), published("new", 9, 1)}, []string{"lost 1 0 map[1:1] false", "new-9"}},
		"known before": {[]pushwire.Message{lost(0, 0, gap("here", 1, 7, 7)), published("here", 8, 1)}, []string{"lost 3 0 map[1:3] false", "here-8"}},
		"at least":     {[]pushwire.Message{published("stale", 7, 1), published("stale", 9, 1)}, []string{"stale-7", "lost 1 0 map[1:1] false", "stale-9"}},
		"at most":      {[]pushwire.Message{lost(0, 0, gap("stale", 1, 6, 8)), published("stale", 9, 1)}, []string{"lost 2 0 map[1:2] false", "stale-9"}},
		"silent":       {[]pushwire.Message{lost(0, 0, open("here", 1, 4)), published("here", 7, 1)}, []string{"lost 0 0 map[] true", "lost 2 0 map[1:2] false", "here-7"}},
		"again":        {[]pushwire.Message{pushwire.Joined{Groups: []uint32{1}, Positions: []pushwire.Position{at("here", 1, 8)}}, published("here", 5, 1)}, []string{"joined [1]", "here-5"}},
		"absurd":       {[]pushwire.Message{lost(1, 0, gap("here", 1, 4, 1<<64-1), gap("new", 1, 0, 1<<64-1))}, []string{"lost 18446744073709551615 0 map[1:18446744073709551615] false"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, d := listen(), newDiary()
				cfg := l.config()
				cfg.Groups, cfg.Events = []uint32{1, 2}, d.events()
				c, p := dial(t, l, cfg, at("here", 1, 4), atLeast("stale", 1, 3))
				p.say(tt.said...)
				d.expect(t, append([]string{"connected"}, tt.told...)...)
				end(t, c, p)
				d.empty(t)
			})
		})
	}
}

// What another server says is counted from what this one said.
func TestAnotherServer(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after []pushwire.Position
		said          pushwire.Message
		told          []string
	}{
		"nothing missed":        {[]pushwire.Position{at("x", 1, 4)}, []pushwire.Position{at("x", 1, 4)}, published("x", 5, 1), []string{"x-5"}},
		"missed":                {[]pushwire.Position{at("x", 1, 4)}, []pushwire.Position{at("x", 1, 6)}, published("x", 7, 1), []string{"lost 2 0 map[1:2] false", "x-7"}},
		"heard at once":         {[]pushwire.Position{at("x", 1, 4)}, []pushwire.Position{atLeast("x", 1, 5)}, published("x", 9, 1), []string{"lost 1 0 map[1:1] false", "lost 3 0 map[1:3] false", "x-9"}},
		"heard later":           {[]pushwire.Position{at("x", 1, 4)}, []pushwire.Position{atLeast("x", 1, 4)}, lost(0, 0, gap("x", 1, 6, 6)), []string{"lost 2 0 map[1:2] false"}},
		"began since":           {nil, []pushwire.Position{at("x", 1, 2)}, published("x", 3, 1), []string{"lost 2 0 map[1:2] false", "x-3"}},
		"never heard":           {[]pushwire.Position{atLeast("x", 1, 4)}, []pushwire.Position{at("x", 1, 6)}, published("x", 7, 1), []string{"lost 0 0 map[] true", "x-7"}},
		"never heard, the same": {[]pushwire.Position{atLeast("x", 1, 4)}, []pushwire.Position{at("x", 1, 4)}, published("x", 6, 1), []string{"lost 1 0 map[1:1] false", "x-6"}},
		"gone":                  {[]pushwire.Position{at("x", 1, 4)}, nil, published("x", 6, 1), []string{"lost 0 0 map[] true", "lost 1 0 map[1:1] false", "x-6"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, d := listen(), newDiary()
				cfg := l.config()
				cfg.Groups, cfg.Events = []uint32{1}, d.events()
				c, p := dial(t, l, cfg, tt.before...)
				p.hangUp()
				p = l.welcome(t)
				p.done(pushwire.Result{Positions: tt.after})
				p.say(tt.said)
				d.expect(t, append([]string{"connected", "disconnected", "connected", "directs may be lost"}, tt.told...)...)
				end(t, c, p)
				d.empty(t)
			})
		})
	}
}

// The pauses grow up to the highest, with a random part, and begin anew after a
// connection that stood; all servers are tried in turn.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		cfg := l.config()
		cfg.Addrs = []string{"server:2"}
		cfg.MinBackOff, cfg.MaxBackOff = 100*time.Millisecond, 300*time.Millisecond
		pauses := make(chan time.Duration, 100)
		cfg.Events.Disconnected = func(_ error, in time.Duration) { pauses <- in }
		c, p := dial(t, l, cfg)
		for range 3 {
			l.setDown("server:1", "server:2")
			p.hangUp()
			var jittered bool
			for i, most := range []time.Duration{100, 100, 200, 200, 300, 300, 300} {
				most *= time.Millisecond
				got := <-pauses
				if got > most || got < most/2 {
					t.Errorf("pause %d is %v, want half to all of %v", i, got, most)
				}
				jittered = jittered || got != most
			}
			if !jittered {
				t.Error("all pauses are the longest")
			}
			l.setDown()
			p = l.welcome(t)
			time.Sleep(cfg.MaxBackOff) // it stands
		}
		tried := l.attempts()
		for i := 1; i < len(tried); i++ {
			if tried[i] == tried[i-1] {
				t.Errorf("tried %v, not in turn", tried)
			}
		}
		end(t, c, p)
	})
}

// What a server refuses for good ends the client; what it says of itself has
// another server tried.
func TestBye(t *testing.T) {
	for code, final := range map[pushwire.ByeCode]bool{
		pushwire.Finished: false, pushwire.Stopping: false, pushwire.TooSlow: false, pushwire.Failed: false,
		pushwire.Refused: true, pushwire.Violation: true,
	} {
		synctest.Test(t, func(t *testing.T) {
			l, d := listen(), newDiary()
			cfg := l.config()
			cfg.Addrs = []string{"server:2"}
			cfg.Events = d.events()
			c, p := dial(t, l, cfg)
			underWay := c.Wait(time.Second)
			p.read()
			p.say(pushwire.Bye{Code: code, Why: "so it is"})
			_, err := underWay.Wait(t.Context())
			bye, ok := errors.AsType[*push.ByeError](err)
			if !ok || bye.Code != code || !errors.Is(err, push.ErrInterrupted) {
				t.Errorf("a request under way: %v", err)
			}
			d.expect(t, "connected")
			if final {
				d.expect(t, "disconnected for good")
				<-c.Done()
				if bye, ok := errors.AsType[*push.ByeError](c.Err()); !ok || bye.Code != code || bye.Why != "so it is" {
					t.Errorf("ended by %v", c.Err())
				}
				if _, err := c.Sign(nil).Wait(t.Context()); !errors.Is(err, c.Err()) {
					t.Errorf("a request afterwards: %v", err)
				}
				p.hangUp()
				return
			}
			d.expect(t, "disconnected")
			p = l.welcome(t)
			d.expect(t, "connected")
			if code != pushwire.Finished && code != pushwire.Stopping { // it had more for the user, maybe
				d.expect(t, "directs may be lost")
			}
			synctest.Wait()
			d.empty(t)
			if got, want := l.attempts(), []string{"server:1", "server:2"}; !slices.Equal(got, want) {
				t.Errorf("tried %v, want %v", got, want)
			}
			end(t, c, p)
		})
	}
}

// The first connection may be with any of the servers, and has to stand.
func TestDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		cfg := l.config()
		cfg.Addrs = []string{"server:2", "server:3"}
		l.setDown("server:1", "server:2")
		c, p := dial(t, l, cfg)
		end(t, c, p)
		l.setDown("server:1", "server:2", "server:3")
		if _, err := push.Dial(t.Context(), cfg); !errors.Is(err, errNobody) {
			t.Errorf("nobody there: %v", err)
		}
		l.setDown("server:1", "server:2")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := push.Dial(ctx, cfg); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that takes long: %v", err)
		}

		dialing := make(chan error)
		ctx, cancel = context.WithCancel(t.Context())
		go func() {
			_, err := push.Dial(ctx, cfg)
			dialing <- err
		}()
		p = l.accept(t)
		cancel()
		if err := <-dialing; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before the welcome: %v", err)
		}
		p.hangUp()

		go func() {
			_, err := push.Dial(t.Context(), cfg)
			dialing <- err
		}()
		p = l.accept(t) // and no welcome
		if err := <-dialing; err == nil {
			t.Error("connected without a welcome")
		}
		p.hangUp()

		cfg.Groups = []uint32{1}
		go func() {
			_, err := push.Dial(t.Context(), cfg)
			dialing <- err
		}()
		p = l.welcome(t)
		p.done(pushwire.Result{Status: pushwire.Forbidden})
		if bye, ok := p.read().(pushwire.Bye); !ok || bye.Code != pushwire.Finished {
			t.Errorf("the client ends with %+v", bye)
		}
		p.hangUp()
		if err := <-dialing; !errors.Is(err, push.ErrForbidden) {
			t.Errorf("group refused: %v", err)
		}
	})
}

// A group that cannot be subscribed to again is told as removed, and the others
// stay.
func TestRefusedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d := listen(), newDiary()
		cfg := l.config()
		cfg.Groups, cfg.Events = []uint32{1, 2}, d.events()
		c, p := dial(t, l, cfg)
		p.hangUp()
		p = l.welcome(t)
		p.done(pushwire.Result{Status: pushwire.Forbidden})
		p.done(pushwire.Result{Status: pushwire.Forbidden})
		p.done(pushwire.Result{})
		d.expect(t, "connected", "disconnected", "connected", "directs may be lost", "removed [1]")
		synctest.Wait()
		if got := c.Subscribed(); !slices.Equal(got, []uint32{2}) {
			t.Errorf("subscribed to %v", got)
		}
		end(t, c, p)
	})
}

// Where leaving a group was interrupted, it is not subscribed to again.
func TestLeaveInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		cfg := l.config()
		cfg.Groups = []uint32{1, 2}
		c, p := dial(t, l, cfg)
		r := c.Leave(1)
		p.read()
		p.hangUp()
		p = l.welcome(t)
		if m, ok := p.done(pushwire.Result{}).(pushwire.SubscribeRequest); !ok || !slices.Equal(m.Groups, []uint32{2}) {
			t.Errorf("subscribed again to %v", m.Groups)
		}
		if _, err := r.Wait(t.Context()); !errors.Is(err, push.ErrInterrupted) {
			t.Error(err)
		}
		end(t, c, p)
	})
}

// Close interrupts whatever the client is at.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		c, p := dial(t, l, l.config())
		r := c.Wait(time.Second)
		p.read()
		served := make(chan bool)
		go func() {
			defer close(served)
			if bye, ok := p.read().(pushwire.Bye); !ok || bye.Code != pushwire.Finished {
				t.Errorf("the client ends with %+v", bye)
			}
			p.hangUp()
		}()
		check(t, c.Close())
		check(t, c.Close())
		<-served
		if _, err := r.Wait(t.Context()); !errors.Is(err, push.ErrInterrupted) || !errors.Is(err, push.ErrClosed) {
			t.Errorf("under way at Close: %v", err)
		}

		c, p = dial(t, l, l.config()) // the server reads nothing
		check(t, c.Close())
		p.hangUp()

		c, p = dial(t, l, l.config())
		p.hangUp()
		l.accept(t) // the client is connecting again
		waiting := c.Sign(nil)
		check(t, c.Close())
		if _, err := waiting.Wait(t.Context()); !errors.Is(err, push.ErrClosed) {
			t.Errorf("not sent at Close: %v", err)
		}

		c, p = dial(t, l, l.config())
		l.setDown("server:1")
		p.hangUp()
		synctest.Wait() // a pause
		check(t, c.Close())
	})
}

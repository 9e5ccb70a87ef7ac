package push_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

// Every kind of event is told with what belongs to it; presence is asked for
// where it is of use, and the list of groups kept up to date.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d := listen(), newDiary()
		cfg := l.config()
		cfg.Groups, cfg.Events = []uint32{1}, d.events()
		var got push.Publication
		cfg.Events.Published = func(p push.Publication) { got = p; d <- "published" }
		c, p := dial(t, l, cfg)
		m := published("here", 1, 1, 7)
		changed := []pushwire.Group{{Number: 3, Rights: pushwire.Publish, Name: "three"}}
		p.say(
			m,
			pushwire.Direct{Time: time.Unix(2, 0), From: "carol@R", Data: []byte("psst")},
			pushwire.Presence{Entered: true, Who: "bob@R", Groups: []uint32{1}},
			pushwire.Presence{Who: "bob@R", Groups: []uint32{1}},
			pushwire.GroupsChanged{Groups: changed},
			pushwire.Joined{Groups: []uint32{2}},
			pushwire.Removed{Groups: []uint32{1, 2}},
		)
		d.expect(t, "connected", "published", "sent psst by carol@R", "entered bob@R[1]", "left bob@R[1]", "joined [2]", "removed [1 2]")
		if want := (push.Publication{From: "bob@R", Groups: m.Stamps, Origin: m.Origin, Time: m.Time, Data: m.Data}); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("told of %v, want %v", got, want)
		}
		if w := c.Welcome(); w.You != "alice@R" || !slices.Equal(c.Groups(), changed) {
			t.Errorf("welcomed by %+v, groups %v", w, c.Groups())
		}
		end(t, c, p)
	})
	for _, events := range []push.Events{{}, {Entered: func(string, []uint32) {}}, {Left: func(string, []uint32) {}}} {
		synctest.Test(t, func(t *testing.T) {
			l := listen()
			cfg := l.config()
			cfg.Events = events
			hello := make(chan pushwire.Message, 1)
			peers := make(chan *peer)
			go func() {
				p := l.accept(t)
				hello <- p.read()
				p.say(welcome, pushwire.Presence{Who: "bob@R", Groups: []uint32{1}}, pushwire.Direct{}, published("here", 2, 1))
				peers <- p
			}()
			c, err := push.Dial(t.Context(), cfg)
			check(t, err)
			want := pushwire.Hello{Version: pushwire.Version, Presence: events.Entered != nil || events.Left != nil}
			if m := <-hello; m != pushwire.Message(want) {
				t.Errorf("the client begins with %+v", m)
			}
			end(t, c, <-peers)
		})
	}
}

// A server's ping is answered.
func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		c, p := dial(t, l, l.config())
		for range 100 {
			p.say(pushwire.Ping{Number: 9})
			if pong, ok := p.read().(pushwire.Pong); !ok || pong.Number != 9 {
				t.Errorf("answered by %+v", pong)
			}
		}
		end(t, c, p)
	})
}

// Callbacks that take long keep the server waiting, and nothing is left out. The
// server is not taken for dead meanwhile.
func TestSlowCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 5000
		l := listen()
		cfg := l.config()
		cfg.Groups, cfg.Heartbeat = []uint32{1}, time.Second
		var told []uint64
		done := make(chan bool)
		cfg.Events.Published = func(p push.Publication) {
			time.Sleep(10 * time.Millisecond)
			if told = append(told, p.Groups[0].Seq); len(told) == messages {
				close(done)
			}
		}
		cfg.Events.Lost = func(l push.Loss) { t.Errorf("lost %+v", l) }
		cfg.Events.Disconnected = func(err error, _ time.Duration) { t.Errorf("disconnected: %v", err) }
		c, p := dial(t, l, cfg)
		reader := p.other()
		began := time.Now()
		go func() {
			for m := reader.read(); m != nil; m = reader.read() {
				if _, ok := m.(pushwire.Bye); ok {
					reader.hangUp()
					return
				}
			}
		}()
		for n := range uint64(messages) {
			p.say(published("here", n+1, 1))
		}
		if time.Since(began) == 0 {
			t.Error("the server was never kept waiting")
		}
		<-done
		for i, n := range told {
			if n != uint64(i+1) {
				t.Fatalf("number %d came as %d", n, i)
			}
		}
		check(t, c.Close())
		<-c.Done()
	})
}

// A callback may make requests and wait for them, however much the server
// tells meanwhile. What there is no room for is told as lost, and nothing else.
func TestWaitInCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 20000
		l := listen()
		cfg := l.config()
		cfg.Groups = []uint32{1}
		var c *push.Client
		var came, lost uint64
		ready, through := make(chan bool), make(chan bool)
		count := func() {
			if came+lost == messages+1 {
				close(through)
			}
		}
		cfg.Events.Published = func(p push.Publication) {
			if came == 0 {
				<-ready
				if _, err := c.Sign([]byte("x")).Wait(t.Context()); err != nil {
					t.Error(err)
				}
			}
			came++
			count()
		}
		cfg.Events.Lost = func(l push.Loss) {
			if l.Count != l.Groups[1] || l.Directs != 0 || l.Unknown {
				t.Errorf("lost %+v", l)
			}
			lost += l.Count
			count()
		}
		c, p := dial(t, l, cfg)
		close(ready)
		p.say(published("here", 1, 1))
		sign := p.read()
		for n := range uint64(messages) {
			p.say(published("here", n+2, 1))
		}
		p.say(pushwire.Result{ID: requestID(t, sign), MIC: fakeMIC([]byte("x"))})
		<-through
		if lost == 0 || came < 8*1024 {
			t.Errorf("%d came, %d were lost", came, lost)
		}
		end(t, c, p)
	})
}

// A callback may close the client.
func TestCloseInCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		cfg := l.config()
		var c *push.Client
		ready := make(chan bool)
		cfg.Events.Sent = func(push.Direct) {
			<-ready
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		c, p := dial(t, l, cfg)
		close(ready)
		p.say(pushwire.Direct{})
		if bye, ok := p.read().(pushwire.Bye); !ok {
			t.Errorf("the client ends with %+v", bye)
		}
		p.hangUp()
		<-c.Done()
		if !errors.Is(c.Err(), push.ErrClosed) {
			t.Error(c.Err())
		}
	})
}

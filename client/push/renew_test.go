package push_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token/pushwire"
)

func sent(data string) pushwire.Direct {
	return pushwire.Direct{From: "bob@R", Time: time.Unix(1, 0), Data: []byte(data)}
}

// A minute before a long context ends there is a new one; then the old connection
// ends in order: what is under way gets its result, what the server still has comes,
// and what is asked for meanwhile goes by the new connection.
func TestRenew(t *testing.T) {
	for life, ahead := range map[time.Duration]time.Duration{10 * time.Hour: time.Minute, 12 * time.Second: 1200 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			l, d := listen(), newDiary()
			cfg := l.config()
			cfg.Client.Initiator = &fake{life: life}
			cfg.Groups, cfg.Events, cfg.Heartbeat = []uint32{1}, d.events(), 2*life
			began := time.Now()
			c, old := dial(t, l, cfg, at("here", 1, 4))
			d.expect(t, "connected")
			underWay := make(chan *push.Request)
			go func() {
				time.Sleep(life - ahead - 1)
				underWay <- c.Publish([]byte("x"), 1)
			}()
			m := old.read()
			r := <-underWay

			next := l.accept(t) // before the old one is done with
			if took := time.Since(began); took != life-ahead {
				t.Errorf("renewed after %v, want %v", took, life-ahead)
			}
			synctest.Wait()
			waits := c.Publish([]byte("y"), 1)
			old.say(sent("one"), pushwire.Result{ID: requestID(t, m)})
			if bye, ok := old.read().(pushwire.Bye); !ok || bye.Code != pushwire.Finished {
				t.Fatalf("the client ends with %+v", bye)
			}
			if _, err := r.Wait(t.Context()); err != nil {
				t.Errorf("what was under way: %v", err)
			}
			old.say(published("here", 5, 1), sent("two"))
			old.say(pushwire.Bye{Code: pushwire.Finished})
			old.hangUp()
			if _, ok := next.read().(pushwire.Hello); !ok {
				t.Fatal("the client does not greet")
			}
			next.say(welcome)
			next.done(pushwire.Result{Positions: []pushwire.Position{at("here", 1, 5)}})
			if m, ok := next.done(pushwire.Result{}).(pushwire.PublishRequest); !ok || string(m.Data) != "y" {
				t.Errorf("then the client asked for %+v", m)
			}
			_, err := waits.Wait(t.Context())
			check(t, err)
			d.expect(t, "sent one by bob@R", "here-5", "sent two by bob@R", "connected")
			end(t, c, next)
			d.empty(t)
		})
	}
}

// Without a new ticket the client stays while it can, ends the connection in order, and
// comes back when the ticket that ends cannot be had any more.
func TestRenewWithoutTicket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const life = 40 * time.Second // ahead 4 s, in steps of 1 s
		l, d := listen(), newDiary()
		cfg := l.config()
		expires := time.Now().Add(life)
		initiated := 0
		cfg.Client.Initiator = &fake{
			asked: func(gss.Request) { initiated++ },
			until: func() time.Time {
				if time.Now().Before(expires) {
					return expires
				}
				return time.Now().Add(time.Hour)
			},
		}
		cfg.Events, cfg.Heartbeat = d.events(), time.Hour
		var why error
		told := cfg.Events.Disconnected
		cfg.Events.Disconnected = func(err error, in time.Duration) { why = err; told(err, in) }
		c, p := dial(t, l, cfg)
		began := time.Now()
		attempts := make(chan net.Conn)
		go func() {
			for range 3 {
				attempt := l.accept(t)
				if attempt.next() != nil {
					t.Error("the client says something by a context that is of no use")
				}
				attempts <- attempt.conn
			}
		}()
		go func() {
			for range 3 {
				(<-attempts).Close()
			}
		}()
		if bye, ok := p.read().(pushwire.Bye); !ok || time.Since(began) != life-time.Second {
			t.Errorf("after %v the client said %+v", time.Since(began), bye)
		}
		p.say(sent("last"), pushwire.Bye{Code: pushwire.Finished})
		p.hangUp()
		p = l.welcome(t)
		if took := time.Since(began); took != life || initiated != 5 {
			t.Errorf("back after %v, with %d contexts", took, initiated)
		}
		d.expect(t, "connected", "sent last by bob@R", "disconnected", "connected")
		if want := "push: the context ends, and there is no new one: the ticket is still the one that ends"; why.Error() != want {
			t.Errorf("disconnected by %q", why)
		}
		end(t, c, p)
		d.empty(t)
	})
}

// A ticket that comes late is in time, and a server that does not answer the Bye holds up
// nothing for long; but what it had for the user may be lost.
func TestRenewLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const life = 40 * time.Second
		l, d := listen(), newDiary()
		cfg := l.config()
		cfg.Client.Initiator = &fake{life: life}
		cfg.Client.Timeout = 500 * time.Millisecond
		refused := 1 // dials still to be refused
		dialed := false
		cfg.Client.Open = func(ctx context.Context, addr string) (net.Conn, error) {
			if dialed && refused > 0 {
				refused--
				return nil, errors.New("no ticket today")
			}
			dialed = true
			return l.open(ctx, addr)
		}
		cfg.Events, cfg.Heartbeat = d.events(), time.Hour
		c, p := dial(t, l, cfg)
		began := time.Now()
		next := make(chan *peer)
		go func() { next <- l.welcome(t) }()
		if bye, ok := p.read().(pushwire.Bye); !ok || time.Since(began) != life-3*time.Second {
			t.Errorf("after %v the client said %+v", time.Since(began), bye)
		}
		n := <-next
		if took := time.Since(began); took != life-3*time.Second+cfg.Client.Timeout {
			t.Errorf("went on after %v", took)
		}
		p.hangUp()
		d.expect(t, "connected", "connected", "directs may be lost")
		end(t, c, n)
		d.empty(t)
	})
}

// When a context has expired that was too short to be renewed ahead, the client comes
// back with a new one, for which the mechanism gets a new ticket.
func TestContextExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		cfg := l.config()
		initiated := 0
		cfg.Client.Initiator = &fake{life: 900 * time.Millisecond, asked: func(gss.Request) { initiated++ }}
		lost := make(chan error, 1)
		cfg.Events.Disconnected = func(err error, _ time.Duration) { lost <- err }
		c, p := dial(t, l, cfg)
		ended := make(chan bool)
		go func() {
			defer close(ended)
			for p.read() != nil {
			}
			p.hangUp()
		}()
		began := time.Now()
		if err := <-lost; !errors.Is(err, gss.ErrContextExpired) || time.Since(began) > welcome.Idle {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		<-ended
		p = l.welcome(t)
		r := c.Publish(nil, 1)
		p.done(pushwire.Result{})
		if _, err := r.Wait(t.Context()); err != nil || initiated != 2 {
			t.Errorf("%d contexts, then %v", initiated, err)
		}
		end(t, c, p)
	})
}

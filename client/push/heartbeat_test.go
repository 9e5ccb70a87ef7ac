package push_test

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A server that is silent is asked for a sign of life, and is dead if none
// comes in the same time again. Any octet is one.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const beat = 5 * time.Second
		l := listen()
		cfg := l.config()
		cfg.Heartbeat = beat
		lost := make(chan error, 1)
		cfg.Events.Disconnected = func(err error, _ time.Duration) { lost <- err }
		c, p := dial(t, l, cfg)
		for range 3 {
			before := time.Now()
			ping, ok := p.next().(pushwire.Ping)
			if took := time.Since(before); !ok || took != beat {
				t.Fatalf("asked after %v: %+v", took, ping)
			}
			time.Sleep(beat - 1)
			p.say(pushwire.Pong(ping))
		}
		p.next()
		time.Sleep(beat - 1)
		p.say(published("here", 1, 1))
		p.next()
		select {
		case err := <-lost:
			t.Fatalf("a server that lives was left: %v", err)
		default:
		}
		before := time.Now()
		err := <-lost
		if took := time.Since(before); took != beat {
			t.Errorf("left after %v: %v", took, err)
		}
		p.hangUp()
		p = l.welcome(t)
		end(t, c, p)
	})
}

// A server that talks hears from the client all the same, before it takes it for dead.
func TestHeartbeatOfClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		cfg := l.config()
		cfg.Heartbeat = time.Hour
		c, p := dial(t, l, cfg)
		stop := make(chan bool)
		talked := make(chan bool)
		talker := p.other()
		go func() {
			defer close(talked)
			for n := uint64(1); ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Second):
					talker.say(published("here", n, 1))
				}
			}
		}()
		last := time.Now()
		for range 5 {
			if _, ok := p.next().(pushwire.Ping); !ok || time.Since(last) > welcome.Idle/2 {
				t.Errorf("the client was silent for %v", time.Since(last))
			}
			last = time.Now()
		}
		close(stop)
		<-talked
		end(t, c, p)
	})
}

// A server that has no idle time, or an absurd one, does not make the client ping
// without end, and a patient one is not trusted for long.
func TestHeartbeatBounds(t *testing.T) {
	for idle, want := range map[time.Duration]time.Duration{0: 20 * time.Second, time.Millisecond: 100 * time.Millisecond, 10 * time.Minute: 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			l := listen()
			peers := make(chan *peer)
			go func() {
				p := l.accept(t)
				p.read()
				w := welcome
				w.Idle = idle
				p.say(w)
				peers <- p
			}()
			c, err := push.Dial(t.Context(), l.config())
			check(t, err)
			p := <-peers
			before := time.Now()
			if _, ok := p.next().(pushwire.Ping); !ok || time.Since(before) != want {
				t.Errorf("idle time of %v: ping after %v", idle, time.Since(before))
			}
			end(t, c, p)
		})
	}
}

// A server that takes nothing is left when a write has taken too long.
func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		cfg := l.config()
		cfg.Client.Timeout = 5 * time.Second
		lost := make(chan error, 1)
		cfg.Events.Disconnected = func(err error, _ time.Duration) { lost <- err }
		c, p := dial(t, l, cfg)
		before := time.Now()
		r := c.Publish(nil, 1)
		err := <-lost
		if took := time.Since(before); took != cfg.Client.Timeout || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("left after %v: %v", took, err)
		}
		if _, err := r.Wait(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the request: %v", err)
		}
		p.hangUp()
		p = l.welcome(t)
		end(t, c, p)
	})
}

package push_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A forgetful bus loses some of the publications.
type forgetful struct{ push.Bus }

func (b forgetful) Publish(groups []uint32, msg []byte) error {
	if rand.N(10) == 0 {
		return nil
	}
	return b.Bus.Publish(groups, msg)
}

// spot is an origin in a group, known what a client knows of it.
type spot struct {
	origin pushwire.Origin
	group  uint32
}

type known struct {
	seq   uint64
	exact bool
}

// An account is what a client was told of the groups that it is in.
type account struct {
	t         *testing.T
	at        map[spot]known
	came      int
	lost      uint64
	uncounted int // publications whose predecessors were before the subscription
}

func (a *account) take(m pushwire.Message) {
	switch m := m.(type) {
	case pushwire.Result:
		for _, p := range m.Positions {
			a.at[spot{p.Origin, p.Group}] = known{p.Seq, !p.AtLeast}
		}
	case pushwire.Publication:
		a.came++
		for _, s := range m.Stamps {
			if s.Group > 2 {
				continue // which it is not in
			}
			at := a.at[spot{m.Origin, s.Group}]
			switch {
			case s.Seq <= at.seq:
				a.t.Errorf("%d came after %d", s.Seq, at.seq)
			case !at.exact:
				a.uncounted++
			case s.Seq != at.seq+1:
				a.t.Errorf("%d came after %d, and nothing was lost", s.Seq, at.seq)
			}
			a.at[spot{m.Origin, s.Group}] = known{s.Seq, true}
		}
	case pushwire.Lost:
		for _, g := range m.Gaps {
			at := a.at[spot{g.Origin, g.Group}]
			if at.exact && g.After != at.seq || g.After < at.seq {
				a.t.Errorf("%d to %d was lost, and it came to %+v", g.After, g.Seq, at)
			}
			a.at[spot{g.Origin, g.Group}] = known{g.Seq, true}
			a.lost += g.Seq - g.After
		}
	default:
		a.t.Errorf("got %#v", m)
	}
}

// Clients come and go at three servers, of which each publishes, over a bus that loses
// some of it, and with queues that are too short: what they are told adds up,
// and where the counting has begun nothing is missing that was not said to be lost.
func TestCounting(t *testing.T) {
	var network pushtest.Network
	var servers []*pushtest.Server
	for range 3 {
		servers = append(servers, pushtest.NewServer(t, push.Config{
			Setup: groups, Bus: forgetful{network.NewBus()}, Limits: push.Limits{Beacon: time.Millisecond, Queue: 8, Rate: 1_000_000},
		}, server.Config{}))
	}
	var publishers, subscribers sync.WaitGroup
	done := make(chan struct{})
	for _, s := range servers {
		publishers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				to := [][]uint32{{1}, {1, 2}, {2, 3}, {1, 2, 3}}[n%4]
				if _, err := s.Hub().Publish(context.Background(), []byte("x"), to...); err != nil {
					t.Error(err)
				}
				time.Sleep(20 * time.Microsecond)
			}
		})
	}
	accounts := make([]*account, 6)
	for i := range accounts {
		c := pushtest.Dial(t, servers[i%3], fmt.Sprintf("client%d@R", i), pushwire.Hello{})
		a := &account{t: t}
		accounts[i] = a
		subscribers.Go(func() {
			for range 20 {
				a.at = make(map[spot]known)
				c.Write(pushwire.SubscribeRequest{ID: c.ID(), Groups: []uint32{1, 2}})
				for range 100 {
					m, err := c.Next()
					if err != nil {
						t.Error(err)
						return
					}
					a.take(m)
				}
				c.Leave(1, 2)
				c.Rest()
			}
			c.Bye()
		})
	}
	subscribers.Wait()
	close(done)
	publishers.Wait()
	var came, uncounted int
	var lost uint64
	for _, a := range accounts {
		came, lost, uncounted = came+a.came, lost+a.lost, uncounted+a.uncounted
	}
	if lost == 0 {
		t.Error("nothing was lost")
	}
	t.Logf("%d came, %d were lost; the counting began with %d of them", came, lost, uncounted)
}

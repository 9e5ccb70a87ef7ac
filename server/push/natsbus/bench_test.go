package natsbus_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/natsbus"
	"github.com/countersign-go/countersign/server/push/natsbus/natstest"
)

const (
	subscribers = 1000
	payload     = 100 // octets
	perSecond   = 100 // publications
	underWay    = 16  // publications, where they go as fast as they can
)

// BenchmarkNATSFanOut is what NATS and nats.go do alone: nothing of this module
// is in it. One operation is a publication, delivered to 1,000 subscribers, each
// with a connection of its own; nats-server is a process, all clients
// are in this one. It stands beside the push service's own fan-out.
func BenchmarkNATSFanOut(b *testing.B) {
	b.Run("100 a second", func(b *testing.B) { benchmarkFanOut(b, time.Second/perSecond) })
	b.Run("as fast as it goes", func(b *testing.B) { benchmarkFanOut(b, 0) })
}

func benchmarkFanOut(b *testing.B, interval time.Duration) {
	url := natstest.New(b, 1).URLs()
	connect := func() *nats.Conn {
		nc, err := nats.Connect(url)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(nc.Close)
		return nc
	}
	var (
		start    = time.Now()
		times    [subscribers]histogram
		measured atomic.Bool
		left     = make([]atomic.Int64, underWay)     // deliveries of a publication under way
		slots    = make(chan int, underWay)           // free for a publication
		pending  sync.WaitGroup                       // publications
		publish  = func(nc *nats.Conn, i int) error { // by slot
			left[i].Store(subscribers)
			pending.Add(1)
			msg := make([]byte, payload)
			binary.BigEndian.PutUint64(msg, uint64(time.Since(start)))
			msg[8] = byte(i)
			return nc.Publish("fan.out", msg)
		}
	)
	for i := range underWay {
		slots <- i
	}
	for i := range subscribers {
		nc := connect()
		_, err := nc.Subscribe("fan.out", func(m *nats.Msg) {
			if measured.Load() {
				times[i].add(time.Since(start) - time.Duration(binary.BigEndian.Uint64(m.Data)))
			}
			if slot := int(m.Data[8]); left[slot].Add(-1) == 0 {
				slots <- slot
				pending.Done()
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			b.Fatal(err)
		}
	}
	publisher := connect()
	if err := publish(publisher, <-slots); err != nil { // to warm up
		b.Fatal(err)
	}
	pending.Wait()
	measured.Store(true)

	b.ResetTimer()
	began := time.Now()
	for n := range b.N {
		if interval > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(n) * interval)))
		}
		if err := publish(publisher, <-slots); err != nil {
			b.Fatal(err)
		}
	}
	pending.Wait()
	took := b.Elapsed()
	b.StopTimer()

	var all histogram
	for i := range times {
		all.merge(&times[i])
	}
	if want := b.N * subscribers; all.total() != want {
		b.Fatalf("%d deliveries of %d", all.total(), want)
	}
	b.ReportMetric(float64(all.total())/took.Seconds(), "deliveries/s")
	for _, p := range []float64{50, 99, 99.9} {
		b.ReportMetric(all.percentile(p).Seconds()*1e3, fmt.Sprintf("ms-p%g", p))
	}
}

// A tally is a Receiver that counts.
type tally struct{ n atomic.Int64 }

func (c *tally) Published([]byte)           { c.n.Add(1) }
func (c *tally) Sent(push.User, []byte) int { return 1 }
func (c *tally) Announced([]byte)           {}
func (c *tally) Interrupted()               {}

// BenchmarkBus is what one server of the push service gives another: 100 octets to
// one group, as fast as they go with 1,000 under way; and messages to a user, one
// after the other, each with its answer.
func BenchmarkBus(b *testing.B) {
	url := natstest.New(b, 1).URLs()
	var got tally
	bus := func() *natsbus.Bus {
		n, err := natsbus.New(natsbus.Config{Servers: url, MaxData: 64 << 10})
		if err == nil {
			err = n.Join(&got)
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { n.Close() })
		return n
	}
	from, to := bus(), bus()
	user := push.User{Name: "alice@EXAMPLE.ORG"}
	if err := errors.Join(to.WantGroup(1, true), to.WantUser(user, true)); err != nil {
		b.Fatal(err)
	}
	msg := make([]byte, payload)
	for err := push.ErrNobody; err != nil; { // until NATS knows who wants it
		_, err = from.Send(b.Context(), user, msg)
	}
	b.Run("publish", func(b *testing.B) {
		first := got.n.Load()
		for i := range b.N {
			if err := from.Publish([]uint32{1}, msg); err != nil {
				b.Fatal(err)
			}
			for int64(i)-(got.n.Load()-first) > 1000 {
				runtime.Gosched()
			}
		}
		for got.n.Load()-first < int64(b.N) {
			runtime.Gosched()
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
	b.Run("send", func(b *testing.B) {
		for b.Loop() {
			if _, err := from.Send(b.Context(), user, msg); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A histogram counts times, each in one of 16 steps for every doubling.
type histogram [64 * steps]uint32

const steps = 16

func (h *histogram) add(d time.Duration) {
	n := uint64(max(d, 1))
	top := bits.Len64(n) - 1
	h[top*steps+int((n<<(63-top)>>(63-4))&(steps-1))]++
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other {
		h[i] += n
	}
}

func (h *histogram) total() (total int) {
	for _, n := range h {
		total += int(n)
	}
	return total
}

// percentile is a time that so many do not exceed, up to its step.
func (h *histogram) percentile(p float64) time.Duration {
	left := float64(h.total()) * p / 100
	for i, n := range h {
		if left -= float64(n); left <= 0 && n > 0 {
			return time.Duration(float64(uint64(1)<<(i/steps)) * (1 + float64(i%steps+1)/steps))
		}
	}
	return 0
}

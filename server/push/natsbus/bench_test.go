package natsbus_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net"
	"runtime"
	"strings"
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

	// sampled is every how manyth subscriber is one of nats.go, where the others
	// take what they get from the connection and no more, as they would on
	// machines of their own. So it is in the push service's own benchmark.
	sampled = 50
)

// BenchmarkNATSFanOut is what NATS and nats.go do alone: nothing of this module is
// in it. An operation is a publication to 1,000 subscribers, each with a
// connection; nats-server is a process, the clients are all in this one. It
// stands beside the push service's BenchmarkFanOut, and has its windows.
func BenchmarkNATSFanOut(b *testing.B) {
	for _, kind := range []struct {
		name string
		full int // every how manyth is of nats.go
	}{{"nats.go", 1}, {"sampled", sampled}} {
		b.Run(kind.name, func(b *testing.B) {
			f := newFanOut(b, kind.full)
			for _, window := range []int{1, 32} {
				b.Run(fmt.Sprintf("window %d", window), func(b *testing.B) { f.run(b, window, 0) })
			}
			b.Run("100 a second", func(b *testing.B) { f.run(b, 1<<16, time.Second/perSecond) })
		})
	}
}

// A fanOut is subscribers of NATS and who publishes to them.
type fanOut struct {
	publisher *nats.Conn
	start     time.Time
	readers   int
	times     []histogram   // of each reader
	came      chan struct{} // a delivery
}

func newFanOut(b *testing.B, full int) *fanOut {
	url := natstest.New(b, 1).URLs()
	f := &fanOut{
		start: time.Now(), readers: subscribers / full,
		times: make([]histogram, subscribers/full), came: make(chan struct{}, 1<<20),
	}
	connect := func() *nats.Conn {
		nc, err := nats.Connect(url)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(nc.Close)
		return nc
	}
	for i := range subscribers {
		if i%full != 0 {
			rawSubscriber(b, url)
			continue
		}
		nc, times := connect(), &f.times[i/full]
		_, err := nc.Subscribe("fan.out", func(m *nats.Msg) {
			times.add(time.Since(f.start) - time.Duration(binary.BigEndian.Uint64(m.Data)))
			f.came <- struct{}{}
		})
		if err == nil {
			err = nc.Flush()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	f.publisher = connect()
	return f
}

// rawSubscriber subscribes and throws away what comes.
func rawSubscriber(b *testing.B, url string) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	const pong = "PONG\r\n"
	if _, err := io.WriteString(conn, "CONNECT {\"verbose\":false}\r\nSUB fan.out 1\r\nPING\r\n"); err != nil {
		b.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for line := ""; line != pong; {
		if line, err = r.ReadString('\n'); err != nil {
			b.Fatal(err)
		}
	}
	go io.Copy(io.Discard, conn)
}

// run publishes, with so many publications under way at the most, and not more
// often than the interval says.
func (f *fanOut) run(b *testing.B, window int, interval time.Duration) {
	clear(f.times)
	underWay := 0
	wait := func() {
		for range f.readers {
			<-f.came
		}
		underWay--
	}
	began, n := time.Now(), 0
	for b.Loop() {
		if interval > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(n) * interval)))
		}
		n++
		msg := make([]byte, payload)
		binary.BigEndian.PutUint64(msg, uint64(time.Since(f.start)))
		if err := f.publisher.Publish("fan.out", msg); err != nil {
			b.Fatal(err)
		}
		for underWay++; underWay == window || len(f.came) >= f.readers; {
			wait()
		}
	}
	for underWay > 0 {
		wait()
	}
	took := time.Since(began)
	var all histogram
	for i := range f.times {
		all.merge(&f.times[i])
	}
	b.ReportMetric(float64(n*subscribers)/took.Seconds(), "deliveries/s")
	for _, p := range []float64{50, 99, 99.9} {
		b.ReportMetric(float64(all.percentile(p).Microseconds()), fmt.Sprintf("p%g-µs", p))
	}
}

// A tally is a Receiver that counts.
type tally struct{ n atomic.Int64 }

func (c *tally) Published([]byte)                    { c.n.Add(1) }
func (c *tally) Sent(push.User, []byte) (int, error) { return 1, nil }
func (c *tally) Announced([]byte)                    {}
func (c *tally) Interrupted()                        {}

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

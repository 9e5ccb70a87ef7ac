package push_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/token"
	"github.com/countersign-go/countersign/token/pushwire"
)

// sampled is every how manyth subscriber reads what it gets; the others take it
// from the connection and no more, as they would on machines of their own.
const sampled = 50

// BenchmarkFanOut publishes to 1,000 subscribers, with real contexts over TCP. One at
// a time, every delivery is a token and a write of its own; of 32 under way, those
// that wait for the same client may leave together. At last as many a second as make
// 100,000 deliveries, and how long they take.
func BenchmarkFanOut(b *testing.B) {
	const subscribers = 1000
	k := newKerberos(b)
	alice := k.user(b, "alice")
	s := pushtest.NewServer(b, push.Config{Setup: groups, Acceptor: k.acceptor}, server.Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s.ServeAll(b, l)
	var delays delays
	var octets atomic.Int64
	came := make(chan struct{}, 1<<20)
	for i := range subscribers {
		subscriber(b, l.Addr().String(), alice, i%sampled == sampled-1, &delays, &octets, came)
	}
	data := bytes.Repeat([]byte("x"), 100)
	for _, window := range []int{1, 32} {
		b.Run(fmt.Sprintf("window %d", window), func(b *testing.B) {
			delays.reset()
			underWay := 0
			wait := func() {
				for range subscribers / sampled {
					<-came
				}
				underWay--
			}
			for b.Loop() {
				n, err := s.Hub().Publish(b.Context(), data, 1)
				if err != nil || n != subscribers {
					b.Fatalf("%d receivers, %v", n, err)
				}
				if underWay++; underWay == window {
					wait()
				}
			}
			for underWay > 0 {
				wait()
			}
			b.ReportMetric(float64(b.N*subscribers)/b.Elapsed().Seconds(), "deliveries/s")
			delays.report(b)
		})
	}
	b.Run("100 a second", func(b *testing.B) {
		delays.reset()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		queued, sent := 0, 0
		for b.Loop() {
			<-tick.C
			n, err := s.Hub().Publish(b.Context(), data, 1)
			if err != nil {
				b.Fatal(err)
			}
			queued += n
			sent++
		}
		if queued == sent*subscribers {
			for range sent * subscribers / sampled {
				<-came
			}
		}
		b.ReportMetric(float64(queued)/b.Elapsed().Seconds(), "deliveries/s")
		b.ReportMetric(float64(sent*subscribers-queued), "lost")
		delays.report(b)
	})
}

// delays are times from a publication to its reading.
type delays struct {
	mu   sync.Mutex
	list []time.Duration
}

func (d *delays) add(delay time.Duration) {
	d.mu.Lock()
	d.list = append(d.list, delay)
	d.mu.Unlock()
}

func (d *delays) reset() {
	d.mu.Lock()
	d.list = d.list[:0]
	d.mu.Unlock()
}

func (d *delays) report(b *testing.B) {
	d.mu.Lock()
	defer d.mu.Unlock()
	slices.Sort(d.list)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(d.list[len(d.list)*p/100].Microseconds()), fmt.Sprintf("p%d-µs", p))
	}
}

func subscriber(b *testing.B, address string, who gss.Initiator, samples bool, delays *delays, octets *atomic.Int64, came chan<- struct{}) {
	b.Helper()
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	conn, err := net.Dial("tcp", address)
	check(err)
	b.Cleanup(func() { _ = conn.Close() })
	frames := token.NewConn(conn)
	check(frames.WriteFrame(token.NOOP|token.ContextNext, nil))
	sec, err := gss.Initiate(b.Context(), frames, who, target)
	check(err)
	wire := pushwire.NewConn(frames, sec, nil)
	check(wire.Write(encode(b, pushwire.Hello{Version: 1}, pushwire.SubscribeRequest{Groups: []uint32{1}})))
	for {
		msgs, err := wire.Read()
		check(err)
		first, rest, err := pushwire.Next(msgs)
		check(err)
		if _, ok := first.(pushwire.Welcome); ok && len(rest) == 0 {
			continue
		}
		break
	}
	if !samples {
		go func() { _, _ = io.Copy(counter{octets}, conn) }()
		return
	}
	go func() {
		for {
			msgs, err := wire.Read()
			for len(msgs) > 0 && err == nil {
				var m pushwire.Message
				if m, msgs, err = pushwire.Next(msgs); err == nil {
					if p, ok := m.(pushwire.Publication); ok {
						delays.add(time.Since(p.Time))
						came <- struct{}{}
					}
				}
			}
			if err != nil {
				return
			}
		}
	}()
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

// BenchmarkIdle has sessions that do nothing, and tells what each takes.
func BenchmarkIdle(b *testing.B) {
	const n = 1000
	s := newServer(b, push.Config{})
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		conns := make([]*pushtest.Client, n)
		for i := range conns {
			conns[i] = pushtest.Dial(b, s, fmt.Sprintf("user%d@R", i), pushwire.Hello{})
			conns[i].Subscribe(1, 2)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/n, "octets/session+client")
		for _, c := range conns {
			c.Bye()
		}
	}
}

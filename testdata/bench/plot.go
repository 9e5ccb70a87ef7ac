package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-go/countersign/client"
)

// What the plots are made of: the time of an exchange by its message's size, and
// exchanges a second by the number of connections, of each side's gss-server.
const (
	opExchange   = "exchange"
	opThroughput = "throughput/s"
)

var (
	plotSizes       = []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 8 << 20}
	plotConnections = []int{1, 10, 100, 1000, 10000}
)

func (b *bench) plots() error {
	s, err := b.newSite()
	if err != nil {
		return err
	}
	defer s.close()
	rounds := b.rounds(3)
	for round := range rounds {
		progress("plots, round %d of %d", round+1, rounds)
		for _, side := range s.sides() {
			if err := b.bySize(s, side); err != nil {
				return fmt.Errorf("%s: %w", side, err)
			}
			for _, n := range plotConnections {
				if err := b.byConnections(s, side, n); err != nil {
					return fmt.Errorf("%s: %w", side, err)
				}
			}
		}
	}
	return nil
}

// bySize times exchanges of one connection.
func (b *bench) bySize(s *site, side string) error {
	srv, err := s.start(side)
	if err != nil {
		return err
	}
	defer srv.stop()
	session, err := srv.dial()
	if err != nil {
		return err
	}
	defer session.Close()
	for _, size := range plotSizes {
		msg := text(size)
		var times []time.Duration
		for end := time.Now().Add(200 * time.Millisecond); len(times) < 5 || time.Now().Before(end); {
			start := time.Now()
			if _, err := session.Sign(msg); err != nil {
				return err
			}
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		b.figures.add(key{side, opExchange, 18, size}, float64(times[len(times)/2]))
	}
	return nil
}

// byConnections counts the exchanges of 1 KiB that n connections, made
// beforehand, come to in a second. MIT's server serves the first of them only,
// and the others wait.
func (b *bench) byConnections(s *site, side string, n int) error {
	srv, err := s.start(side)
	if err != nil {
		return err
	}
	defer srv.stop()
	var sessions []*client.Session
	if side == "mit" {
		first, err := srv.dial()
		if err != nil {
			return err
		}
		sessions = append(sessions, first)
		// The others connect, and are never answered.
		waiting, stop := context.WithCancel(context.Background())
		defer stop()
		cfg := srv.config()
		cfg.Timeout = time.Minute
		for range n - 1 {
			go func() { _, _ = client.Dial(waiting, cfg) }()
		}
	} else if sessions, err = srv.dialMany(n); err != nil {
		closeAll(sessions)
		left("%d connections (ulimit -n): %v", n, err)
		return nil
	}
	defer closeAll(sessions)
	var (
		count atomic.Int64
		over  atomic.Bool
		work  sync.WaitGroup
		mu    sync.Mutex
		fault error
	)
	msg := text(1024)
	start := time.Now()
	for _, session := range sessions {
		work.Go(func() {
			for !over.Load() {
				if _, err := session.Sign(msg); err != nil {
					mu.Lock()
					defer mu.Unlock()
					fault = err
					return
				}
				count.Add(1)
			}
		})
	}
	time.Sleep(time.Second)
	over.Store(true)
	work.Wait()
	if fault != nil {
		return fault
	}
	b.figures.add(key{side, opThroughput, 18, n}, float64(count.Load())/time.Since(start).Seconds())
	return nil
}

func (f *figures) sizePlot() string {
	return f.plot("Time of an exchange by its message's size", "message", opExchange, plotSizes, bytesText, timeText)
}

func (f *figures) connectionsPlot() string {
	return f.plot("Exchanges of 1 KiB a second by connections", "connections", opThroughput, plotConnections,
		func(n int) string { return fmt.Sprint(n) }, func(v float64) string { return fmt.Sprintf("%.0f/s", v) })
}

const (
	plotWidth, plotHeight = 720.0, 400.0
	marginLeft            = 80.0
	marginRight           = 110.0
	marginTop             = 50.0
	marginBottom          = 60.0
)

// plot draws both sides' medians on logarithmic axes, as SVG.
func (f *figures) plot(title, xTitle, op string, xs []int, xText func(int) string, yText func(float64) string) string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, side := range []string{"ours", "mit"} {
		for _, x := range xs {
			if v := f.median(key{side, op, 18, x}); v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if low > high {
		return ""
	}
	bottom, top := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	xAt := func(x int) float64 {
		first, last := math.Log(float64(xs[0])), math.Log(float64(xs[len(xs)-1]))
		return marginLeft + (math.Log(float64(x))-first)/(last-first)*(plotWidth-marginLeft-marginRight)
	}
	yAt := func(y float64) float64 {
		return plotHeight - marginBottom - (math.Log10(y)-bottom)/(top-bottom)*(plotHeight-marginTop-marginBottom)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="13">
<rect width="100%%" height="100%%" fill="white"/>
<text x="%g" y="28" font-size="16" text-anchor="middle">%s</text>
<text x="%g" y="%g" text-anchor="middle">%s</text>
`, plotWidth, plotHeight, plotWidth/2, title, (marginLeft+plotWidth-marginRight)/2, plotHeight-12, xTitle)
	for decade := bottom; decade <= top; decade++ {
		v := math.Pow(10, decade)
		fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%g" y="%.1f" text-anchor="end">%s</text>`+"\n",
			marginLeft, plotWidth-marginRight, yAt(v), yAt(v), marginLeft-8, yAt(v)+4, yText(v))
	}
	for _, x := range xs {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%g" y2="%g" stroke="#ddd"/><text x="%.1f" y="%g" text-anchor="middle">%s</text>`+"\n",
			xAt(x), xAt(x), marginTop, plotHeight-marginBottom, xAt(x), plotHeight-marginBottom+20, xText(x))
	}
	for _, side := range []struct{ name, label, colour string }{{"ours", "ours", "#0b6bcb"}, {"mit", "MIT’s", "#c4420c"}} {
		var points []string
		var end string
		for _, x := range xs {
			v := f.median(key{side.name, op, 18, x})
			if v == 0 {
				continue
			}
			points = append(points, fmt.Sprintf("%.1f,%.1f", xAt(x), yAt(v)))
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", xAt(x), yAt(v), side.colour)
			end = fmt.Sprintf(`<text x="%.1f" y="%.1f" fill="%s">%s</text>`, xAt(x)+10, yAt(v)+4, side.colour, side.label)
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>%s`+"\n", strings.Join(points, " "), side.colour, end)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

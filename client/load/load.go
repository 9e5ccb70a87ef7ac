package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/gss"
)

// Config says what to send, how often and how long.
type Config struct {
	Client  client.Config // of every session
	Message []byte        // sent again and again

	Concurrency int           // sessions at once; 1 if zero
	Connections int           // sessions in all; zero: as many as Duration allows
	Messages    int           // on each session; zero: as many as Duration allows
	Duration    time.Duration // after which no message is begun; zero: no end but the counts'
	Rate        float64       // messages a second, over all sessions; zero: each as soon as the last is answered

	// Progress is told how far the run is, a few times a second, by one
	// goroutine; may be nil.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Elapsed  time.Duration
	Messages int64
	Failed   int64
	Done     float64 // part of the work or of the time, 0 to 1
}

// maxConcurrency keeps goroutines and sockets within what one machine has.
const maxConcurrency = 100_000

func (c Config) complete() (Config, error) {
	if c.Concurrency == 0 {
		c.Concurrency = 1
	}
	switch {
	case c.Concurrency < 0 || c.Concurrency > maxConcurrency:
		return c, fmt.Errorf("load: concurrency of %d is not between 1 and %d", c.Concurrency, maxConcurrency)
	case c.Connections < 0, c.Messages < 0, c.Duration < 0:
		return c, errors.New("load: negative number of connections or messages, or duration")
	case c.Rate < 0, math.IsNaN(c.Rate), math.IsInf(c.Rate, 0):
		return c, fmt.Errorf("load: rate of %v messages a second", c.Rate)
	case c.Duration == 0 && (c.Connections == 0 || c.Messages == 0):
		return c, errors.New("load: without a duration, the number of connections and of messages is needed")
	}
	return c, c.Client.Validate()
}

// Pauses of a worker after sessions that failed, the longest after many in a
// row, so that a server that is down is not hammered.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
)

// startWithin is how long a schedule waits for its first connections: a server
// may serve fewer at a time.
const startWithin = time.Second

const progressInterval = 200 * time.Millisecond

// Run does what the config says and reports. Sessions that fail are counted and
// replaced by others. When ctx ends, so does the run: the report then says what
// was done until that. An error means that nothing was: the config is wrong, or
// there is no service ticket, which is fetched once before the clock starts.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	if err := warmUp(ctx, cfg.Client); err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, begun: make(chan struct{}), over: make(chan struct{}), due: make(chan time.Time)}
	r.undialled.Store(int64(cfg.Concurrency))
	if cfg.Rate == 0 {
		r.start()
	} else {
		defer time.AfterFunc(startWithin, r.start).Stop()
	}
	defer context.AfterFunc(ctx, r.stop)()
	defer r.stop()

	var workers, pacer, reporter sync.WaitGroup
	if cfg.Progress != nil {
		finished := make(chan struct{})
		reporter.Go(func() {
			select {
			case <-r.begun:
				r.reportProgress(finished)
			case <-finished:
			}
		})
		defer reporter.Wait()
		defer close(finished)
	}
	if cfg.Rate > 0 {
		pacer.Go(r.pace)
	}
	for range cfg.Concurrency {
		workers.Go(func() { r.work(ctx) })
	}
	workers.Wait()
	r.start() // for a run that ended before
	r.clock.Stop()
	r.stop()
	pacer.Wait()
	return r.report(ctx), nil
}

// warmUp has the initiator's cache hold the service ticket, so that the first
// sessions do not all ask the KDC for it.
func warmUp(ctx context.Context, cfg client.Config) error {
	if cfg.Unauthenticated {
		return nil
	}
	limit := cfg.Timeout
	if limit == 0 {
		limit = client.DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	sec, err := cfg.Initiator.Initiate(ctx, gss.Request{Target: cfg.Target, Flags: cfg.Flags})
	if err != nil {
		return &client.Error{Step: client.Initializing, Err: err}
	}
	sec.Delete()
	return nil
}

// run is the state that workers share.
type run struct {
	cfg Config

	undialled atomic.Int64 // workers that have yet to dial for the first time
	beginOnce sync.Once
	begun     chan struct{} // closed when begin and clock are set
	begin     time.Time
	clock     *time.Timer // stops the run

	overOnce sync.Once
	over     chan struct{} // closed when no message is to be begun any more

	due    chan time.Time // with a rate: the times of messages, as they come
	unsent int64          // set when the pacer has ended

	dialled     atomic.Int64 // sessions begun
	connections atomic.Int64
	messages    atomic.Int64
	connect     histogram
	message     histogram
	failures    failures
}

// start begins the time that counts. With a rate that is when every worker has
// dialled, lest the schedule's first messages wait for connections.
func (r *run) start() {
	r.beginOnce.Do(func() {
		r.begin = time.Now()
		r.clock = time.AfterFunc(cmp.Or(r.cfg.Duration, math.MaxInt64), r.stop)
		close(r.begun)
	})
}

// arrive tells that a worker has dialled, or never will.
func (r *run) arrive() {
	if r.undialled.Add(-1) == 0 {
		r.start()
	}
}

func (r *run) stop() { r.overOnce.Do(func() { close(r.over) }) }

func (r *run) isOver() bool {
	select {
	case <-r.over:
		return true
	default:
		return false
	}
}

// work makes one session after the other until none is left to make.
func (r *run) work(ctx context.Context) {
	arrive := sync.OnceFunc(r.arrive)
	defer arrive()
	wait, pause := newTimer(r.over), firstPause
	for !r.isOver() {
		if n := r.dialled.Add(1); r.cfg.Connections > 0 && n > int64(r.cfg.Connections) {
			return
		}
		err := r.session(ctx, arrive)
		if err == nil || ctx.Err() != nil {
			pause = firstPause
			continue
		}
		r.failures.add(err)
		wait(time.Now().Add(pause))
		pause = min(2*pause, lastPause)
	}
}

// session is one connection with its messages.
func (r *run) session(ctx context.Context, arrive func()) error {
	dialled := time.Now()
	session, err := client.Dial(ctx, r.cfg.Client)
	arrive()
	if err != nil {
		return err
	}
	defer session.Close()
	defer context.AfterFunc(ctx, func() { session.Close() })()
	r.connect.record(time.Since(dialled))
	r.connections.Add(1)
	select {
	case <-r.begun:
	case <-r.over:
		return nil
	}
	due, ok := r.nextSlot()
	if !ok {
		return nil
	}
	for n := 1; ; n++ {
		if _, err := session.Sign(r.cfg.Message); err != nil {
			return err
		}
		r.message.record(time.Since(due))
		r.messages.Add(1)
		if n == r.cfg.Messages {
			return nil
		}
		if due, ok = r.nextSlot(); !ok {
			return nil
		}
	}
}

// nextSlot waits for the time of the next message, which is now unless there
// is a rate, and gives it. It is false when no message is to be begun.
func (r *run) nextSlot() (due time.Time, ok bool) {
	if r.isOver() {
		return time.Time{}, false
	}
	if r.cfg.Rate == 0 {
		return time.Now(), true
	}
	due, ok = <-r.due
	return due, ok
}

func (r *run) reportProgress(finished <-chan struct{}) {
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.cfg.Progress(r.progress())
		case <-finished:
			return
		}
	}
}

func (r *run) progress() Progress {
	p := Progress{Elapsed: time.Since(r.begin), Messages: r.messages.Load(), Failed: r.failures.total()}
	if r.cfg.Duration > 0 {
		p.Done = float64(p.Elapsed) / float64(r.cfg.Duration)
	}
	if asked := r.asked(); asked > 0 {
		p.Done = max(p.Done, float64(p.Messages)/asked)
	}
	p.Done = min(p.Done, 1)
	return p
}

// asked is the number of messages asked for, zero when it has no bound.
func (r *run) asked() float64 { return float64(r.cfg.Connections) * float64(r.cfg.Messages) }

func (r *run) report(ctx context.Context) *Report {
	rep := &Report{
		Elapsed:     time.Since(r.begin),
		Connections: r.connections.Load(),
		Messages:    r.messages.Load(),
		Connect:     r.connect.latency(),
		Message:     r.message.latency(),
		Errors:      r.failures.list(),
	}
	rep.Bytes = rep.Messages * int64(len(r.cfg.Message))
	rep.Interrupted = ctx.Err() != nil
	if r.cfg.Duration > 0 {
		rep.Unsent = r.unsent
	}
	return rep
}

package load

import (
	"math"
	"time"
)

// stride is the least time between two wake-ups of the pacer: what is due
// meanwhile goes out with the next one. At tens of thousands of messages a second
// a wake-up for each takes the processors from those who send and answer, and
// the latest messages are then later by far more than this.
const stride = 100 * time.Microsecond

// pace hands out the schedule's times as they come, each to a worker that is
// free: one goroutine, as a timer for each worker takes a quarter of the CPU time
// of a message. Where all are busy the times wait for them.
func (r *run) pace() {
	defer close(r.due)
	select {
	case <-r.begun:
	case <-r.over:
		return
	}
	wait, woken := newAlarm(r.over), r.begin
	for n := int64(0); ; n++ {
		due := r.dueAt(n)
		if time.Until(due) > 0 {
			if !wait(later(due, woken.Add(stride))) {
				return
			}
			woken = time.Now()
		}
		select {
		case r.due <- due:
			continue
		default:
		}
		select {
		case r.due <- due:
		case <-r.over:
			r.unsent = max(0, r.dueBefore(time.Now())-n)
			return
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// dueAt is the time of the nth message on the schedule.
func (r *run) dueAt(n int64) time.Time {
	return r.begin.Add(time.Duration(float64(n) / r.cfg.Rate * float64(time.Second)))
}

// dueBefore is how many messages the schedule has before a time, and before the
// end of the run.
func (r *run) dueBefore(t time.Time) int64 {
	elapsed := t.Sub(r.begin)
	if r.cfg.Duration > 0 {
		elapsed = min(elapsed, r.cfg.Duration)
	}
	due := math.Ceil(r.cfg.Rate * elapsed.Seconds())
	if asked := r.asked(); asked > 0 {
		due = min(due, asked)
	}
	return int64(due)
}

// An alarm waits until a time. It is false if the run is over before.
type alarm func(until time.Time) bool

// newTimer makes an alarm of Go's timers, which are up to a millisecond late.
func newTimer(over <-chan struct{}) alarm {
	timer := time.NewTimer(0)
	return func(until time.Time) bool {
		d := time.Until(until)
		if d <= 0 {
			return true
		}
		timer.Reset(d)
		select {
		case <-timer.C:
			return true
		case <-over:
			return false
		}
	}
}

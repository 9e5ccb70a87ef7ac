package main

import (
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// overlap is for how long sessions may overlap and still count as one after
	// the other: a client that is done may be back before its last session's
	// connection is closed here.
	overlap = time.Millisecond

	// quietTime is for how long sessions have to come one after the other before
	// one processor is left for them.
	quietTime = time.Second
)

// processors are those on which Go runs goroutines at once. A single session
// never needs two: whatever it waits for comes by the network, and for each such
// event the runtime would wake another thread, to see whether there is more to
// do. That is a fifth of the time of a short session. As soon as sessions are
// served side by side there are all processors again.
type processors struct {
	setting sync.Mutex
	set     func(all bool)

	mu    sync.Mutex
	many  bool        // there are several sessions
	since time.Time   // when there were no longer, or not yet, several
	one   bool        // what set was told last, or is being told
	timer *time.Timer // of the next look
}

// newProcessors gives nil where the user decides, by GOMAXPROCS, and where
// sessions are not all the work: datagrams of anybody come to DTLS listeners.
func newProcessors(opts options) *processors {
	dtls := func(e endpoint) bool { return e.transport == "dtls" }
	if os.Getenv("GOMAXPROCS") != "" || opts.inetd || slices.ContainsFunc(opts.endpoints(), dtls) {
		return nil
	}
	return makeProcessors(func(all bool) {
		if all {
			runtime.SetDefaultGOMAXPROCS()
		} else {
			runtime.GOMAXPROCS(1)
		}
	})
}

func makeProcessors(set func(all bool)) *processors {
	p := &processors{set: set, since: time.Now()}
	p.timer = time.AfterFunc(quietTime, p.look)
	return p
}

// sessions is told how many sessions there are.
func (p *processors) sessions(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if many := n > 1; many != p.many {
		now := time.Now()
		if short := now.Sub(p.since) <= overlap; p.many && !p.one && !short {
			p.timer.Reset(quietTime)
		}
		p.many, p.since = many, now
		if p.one && many {
			p.timer.Reset(overlap)
		} else if p.one {
			p.timer.Stop()
		}
	}
}

// look sets what the sessions need now.
func (p *processors) look() {
	p.setting.Lock()
	defer p.setting.Unlock()
	p.mu.Lock()
	if p.many && !p.one && time.Since(p.since) <= overlap {
		p.timer.Reset(overlap) // they may be one after the other
		p.mu.Unlock()
		return
	}
	change := p.one == p.many
	p.one = !p.many
	all := p.many
	p.mu.Unlock()
	if change {
		p.set(all) // waits for a garbage collection's end
	}
}

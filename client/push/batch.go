package push

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Batch is requests that leave together: it is filled, and then committed. Its
// methods are safe for concurrent use. The requests have their own results, too.
type Batch struct {
	client *Client

	mu        sync.Mutex
	requests  []*Request
	committed bool
	missing   int // requests without a result
	all       chan struct{}
	thens     []func([]Outcome)
}

// An Outcome is what came of a request.
type Outcome struct {
	Result
	Err error // as of [Request.Wait]
}

// Batch gives a new batch.
func (c *Client) Batch() *Batch { return &Batch{client: c, all: make(chan struct{})} }

// Subscribe adds what [Client.Subscribe] does.
func (b *Batch) Subscribe(groups ...uint32) *Request { return b.add(b.client.subscribeRequest(groups)) }

// Leave adds what [Client.Leave] does.
func (b *Batch) Leave(groups ...uint32) *Request { return b.add(b.client.leaveRequest(groups)) }

// Publish adds what [Client.Publish] does.
func (b *Batch) Publish(data []byte, groups ...uint32) *Request {
	return b.add(b.client.publishRequest(data, groups))
}

// Send adds what [Client.Send] does.
func (b *Batch) Send(to string, data []byte) *Request { return b.add(b.client.sendRequest(to, data)) }

// Sign adds what [Client.Sign] does.
func (b *Batch) Sign(data []byte) *Request { return b.add(b.client.signRequest(data)) }

// Delay adds what [Client.Wait] does: what is added after it is done after it.
func (b *Batch) Delay(d time.Duration) *Request { return b.add(b.client.waitRequest(d)) }

func (b *Batch) add(r *Request) *Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.committed {
		r.finish(Result{}, errCommitted)
		return r
	}
	b.requests = append(b.requests, r)
	return r
}

var errCommitted = errors.New("push: the batch is committed already")

// Commit sends all in one token, or as few as have room for it, and does not wait:
// what is more than may be under way follows as results come. Committing twice
// does nothing.
func (b *Batch) Commit() {
	b.mu.Lock()
	if b.committed {
		b.mu.Unlock()
		return
	}
	b.committed = true
	b.missing = 1 // until all know of the batch
	for _, r := range b.requests {
		if r.joins(b) {
			b.missing++
		}
	}
	b.mu.Unlock()
	b.client.enqueue(b.requests...)
	b.finishedOne()
}

// joins has a request tell the batch when it is finished, unless it is.
func (r *Request) joins(b *Batch) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.finished {
		r.batch = b
	}
	return !r.finished
}

func (b *Batch) finishedOne() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.missing--; b.missing > 0 {
		return
	}
	close(b.all)
	for _, f := range b.thens {
		b.call(f)
	}
	b.thens = nil
}

func (b *Batch) call(f func([]Outcome)) {
	outcomes := b.outcomes()
	b.client.callbacks.put(func() { f(outcomes) })
}

// Wait waits for all results, in the order in which the requests were added. The
// error is that of ctx.
func (b *Batch) Wait(ctx context.Context) ([]Outcome, error) {
	if !isDone(b.all) {
		defer b.client.callbacks.wait()()
		select {
		case <-b.all:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return b.outcomes(), nil
}

// Then has f called once with all results, as [Request.Then] does.
func (b *Batch) Then(f func([]Outcome)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if isDone(b.all) {
		b.call(f)
		return
	}
	b.thens = append(b.thens, f)
}

// outcomes are those of requests that are all done.
func (b *Batch) outcomes() []Outcome {
	outcomes := make([]Outcome, len(b.requests))
	for i, r := range b.requests {
		outcomes[i] = Outcome{r.result, r.err}
	}
	return outcomes
}

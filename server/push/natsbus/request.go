package natsbus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/countersign-go/countersign/server/push"
)

// requests are those that wait for answers, by the number in the subject of these.
type requests struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]*request
}

// A request waits for the first server that has sessions of a user.
type request struct {
	answer chan int    // has what that said; 0: NATS says that nobody listens
	none   atomic.Bool // a server said that it has none
}

func (r *requests) add() (uint64, *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	q := &request{answer: make(chan int, 1)}
	r.waiting[r.last] = q
	return r.last, q
}

func (r *requests) remove(number uint64) {
	r.mu.Lock()
	delete(r.waiting, number)
	r.mu.Unlock()
}

// answered says what a server answered. Answers that nobody waits for are dropped.
func (r *requests) answered(number uint64, sessions int) {
	if sessions == 0 {
		r.mu.Lock()
		q := r.waiting[number]
		r.mu.Unlock()
		if q != nil {
			q.none.Store(true)
		}
		return
	}
	r.settle(number, sessions)
}

// settle ends a request's waiting.
func (r *requests) settle(number uint64, sessions int) {
	r.mu.Lock()
	q := r.waiting[number]
	r.mu.Unlock()
	if q == nil {
		return
	}
	select {
	case q.answer <- sessions:
	default:
	}
}

// Send sends a message to the servers that want the user's. The first that has
// sessions of it decides. One that says it has none (the last has just left)
// does not: the wait goes on until ctx or the [Config]'s SendTimeout ends it, and
// then the user is not there. Where no server listens for the user NATS says so at once.
func (b *Bus) Send(ctx context.Context, user push.User, msg []byte) (int, error) {
	data, err := appendUser(b.subj.instance, user, msg)
	if err != nil {
		return 0, err
	}
	number, q := b.requests.add()
	defer b.requests.remove(number)
	b.mu.Lock()
	down := b.down
	b.mu.Unlock()
	if err := b.send(b.subj.user(user), b.subj.reply(number), data); err != nil {
		return 0, err
	}
	limited, cancel := context.WithTimeout(ctx, b.cfg.SendTimeout)
	defer cancel()
	select {
	case n := <-q.answer:
		if n == 0 {
			return 0, push.ErrNobody
		}
		return n, nil
	case <-down:
		return 0, fmt.Errorf("%w: the connection ended before the answer came", ErrDisconnected)
	case <-b.ctx.Done():
		return 0, errClosed
	case <-limited.Done():
	}
	switch {
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return 0, ctx.Err()
	case q.none.Load():
		return 0, push.ErrNobody
	}
	return 0, fmt.Errorf("push: no answer over NATS: %w", limited.Err())
}

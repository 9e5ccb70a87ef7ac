package natsbus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/countersign-go/countersign/server/push"
)

// requests are those that wait for answers, by the number in the subject of these.
type requests struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]*request
}

// noneGrace is how long others may take to answer once a server has said that it
// has no session of the user: they were asked at the same time.
const noneGrace = 250 * time.Millisecond

// An answer is what a server said, or NATS.
type answer struct {
	receivers int
	err       error // NATS says that nobody listens
	away      bool  // the server has no session of the user
}

// A request waits for the first server that has sessions of a user.
type request struct {
	answer chan answer   // has what that said, or NATS of there being none
	none   chan struct{} // has one when a server has said that it has none
}

func (r *requests) add() (uint64, *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	q := &request{answer: make(chan answer, 1), none: make(chan struct{}, 1)}
	r.waiting[r.last] = q
	return r.last, q
}

func (r *requests) remove(number uint64) {
	r.mu.Lock()
	delete(r.waiting, number)
	r.mu.Unlock()
}

// answered says what a server answered, or that none listens. Answers that nobody
// waits for, or no longer, are dropped.
func (r *requests) answered(number uint64, a answer) {
	r.mu.Lock()
	q := r.waiting[number]
	r.mu.Unlock()
	switch {
	case q == nil:
	case !a.away:
		select {
		case q.answer <- a:
		default:
		}
	default:
		select {
		case q.none <- struct{}{}:
		default:
		}
	}
}

// Send sends a message to the servers that want the user's. The first that has
// sessions of it decides, even where none of them took it. One that says it has none (the last has just left) does
// not: others have a little more time, and then the user is not there. Where no
// server listens for the user NATS says so at once. Nothing is known when ctx or the
// [Config]'s SendTimeout ends without an answer.
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
	ctx, cancel := context.WithTimeout(ctx, b.cfg.SendTimeout)
	defer cancel()
	var others <-chan time.Time
	for {
		select {
		case a := <-q.answer:
			return a.receivers, a.err
		case <-q.none:
			if others == nil {
				others = time.After(noneGrace)
			}
		case <-others:
			return 0, push.ErrNobody
		case <-down:
			return 0, fmt.Errorf("%w: the connection ended before an answer came", ErrDisconnected)
		case <-b.ctx.Done():
			return 0, errClosed
		case <-ctx.Done():
			if others != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return 0, push.ErrNobody
			}
			return 0, fmt.Errorf("push: no answer over NATS: %w", ctx.Err())
		}
	}
}

package natsbus

import "sync"

// A queue hands things from many goroutines to one, in order and as long as they
// weigh no more than the limit together. Who puts does not wait.
type queue[T any] struct {
	mu     sync.Mutex
	items  []T
	taken  int // weight of what was taken and is being worked on
	weight int
	limit  int
	closed bool
	ready  chan struct{} // has one when there may be something
}

func newQueue[T any](limit int) *queue[T] {
	return &queue[T]{limit: limit, ready: make(chan struct{}, 1)}
}

// put adds an item, unless the queue is full or closed.
func (q *queue[T]) put(item T, weight int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.weight+weight > q.limit {
		return false
	}
	q.items = append(q.items, item)
	q.weight += weight
	q.wake()
	return true
}

// mark adds an item that weighs nothing, unless last says that the queue's last
// does as well.
func (q *queue[T]) mark(item T, last func(T) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.items) > 0 && last(q.items[len(q.items)-1]) {
		return
	}
	q.items = append(q.items, item)
	q.wake()
}

func (q *queue[T]) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// keptItems is for how many items room is kept.
const keptItems = 1024

// take gives all that is there. What it gave before no longer weighs, and comes back
// to be used again.
func (q *queue[T]) take(into []T) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.weight -= q.taken
	q.taken = q.weight
	clear(into)
	if cap(into) > keptItems {
		into = nil
	}
	items := q.items
	q.items = into[:0]
	return items
}

// close lets nothing more in.
func (q *queue[T]) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
}

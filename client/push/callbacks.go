package push

import "sync"

const (
	// Beyond so many events or octets of them in the queue nothing is read from
	// the server, unless somebody waits for a result.
	softEvents = 1024
	softSize   = 4 << 20

	// Beyond so many, messages are left out.
	hardEvents = 8 * softEvents
	hardSize   = 4 * softSize
)

// callbacks calls functions, one after the other, in its own goroutine. Those
// that the server is the cause of are bounded; those of the program's own
// requests are as many as it made.
type callbacks struct {
	lost func(Loss) // tells what was left out; may be nil

	mu      sync.Mutex
	filled  sync.Cond // there is something to call, or nothing ever again
	room    sync.Cond // there may be room
	queue   []callback
	events  int // of the server's, in the queue or being called
	size    int // of these
	waiting int // goroutines that wait for results
	left    Loss
	ended   bool
	stopped bool // run has returned
}

type callback struct {
	call func()
	size int // zero: none of the server's
}

func newCallbacks(lost func(Loss)) *callbacks {
	q := &callbacks{lost: lost}
	q.filled.L, q.room.L = &q.mu, &q.mu
	return q
}

// run calls until there is nothing more to call and end was called.
func (q *callbacks) run() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		q.tellLeft(len(q.queue) == 0)
		for len(q.queue) == 0 {
			if q.ended {
				q.stopped = true
				return
			}
			q.filled.Wait()
		}
		batch := q.queue
		q.queue = nil
		for _, c := range batch {
			q.mu.Unlock()
			c.call()
			q.mu.Lock()
			if c.size > 0 {
				q.events--
				q.size -= c.size
				q.room.Broadcast()
			}
		}
	}
}

// offer queues what the server is the cause of. Where the queue is full it waits
// for room, unless a result is awaited or interrupted says not to; it may then
// have to say that there is none.
func (q *callbacks) offer(size int, f func(), interrupted func() bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.ended && q.waiting == 0 && q.over(softEvents, softSize) && !interrupted() {
		q.room.Wait()
	}
	if q.ended || q.over(hardEvents, hardSize) {
		return false
	}
	q.tellLeft(true)
	q.queue = append(q.queue, callback{f, size})
	q.events++
	q.size += size
	q.filled.Signal()
	return true
}

func (q *callbacks) over(events, size int) bool { return q.events >= events || q.size >= size }

// put queues what the program is the cause of. That is called even if all else
// was called before.
func (q *callbacks) put(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, callback{call: f})
	if q.stopped {
		q.stopped = false
		go q.run()
	}
	q.filled.Signal()
}

// leaveOut notes what there was no room for.
func (q *callbacks) leaveOut(l Loss) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left.add(l)
}

// tellLeft queues that something was left out, where that is now. The caller
// holds q.mu.
func (q *callbacks) tellLeft(now bool) {
	if !now || q.left.isZero() {
		return
	}
	l := q.left
	q.left = Loss{}
	if q.lost != nil {
		q.queue = append(q.queue, callback{call: func() { q.lost(l) }})
	}
}

// wait says that somebody waits for a result, until the function is called.
func (q *callbacks) wait() (done func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting++
	q.room.Broadcast()
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.waiting--
	}
}

// wake has an offer that waits look again.
func (q *callbacks) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room.Broadcast()
}

// end has run return once all is called.
func (q *callbacks) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.filled.Signal()
	q.room.Broadcast()
}

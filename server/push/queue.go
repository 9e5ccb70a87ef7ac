package push

import (
	"slices"

	"github.com/countersign-go/countersign/token/pushwire"
)

// maxBatch is how much leaves in one token, in octets, unless one message alone is
// longer: large enough that a client that fell behind is served by few tokens,
// small enough for the buffers that are kept.
const maxBatch = 64 << 10

// maxKeptItems is how long a queue may be to be kept for the next time.
const maxKeptItems = 64

// An item waits in a queue. Its data is shared with other queues and never changed.
type item struct {
	data   []byte
	push   bool   // counts for the limits of the queue
	result bool   // of a request
	sign   bool   // data is to be signed, and the result still to be made
	news   bool   // the groups have changed: what they are is still to be asked
	id     uint64 // of the request to sign
	inRead bool   // data to be signed is part of what was read last
	memory int    // octets of the budget that data holds on to otherwise
}

// A queue is what waits for a client to be written. Member.mu guards it. What a
// client is pushed is bounded, and what finds no room is counted as lost; results
// are bounded by the requests under way.
type queue struct {
	items   []item
	next    int // items before it have been taken
	pushes  int // items that count
	octets  int // of these
	writing bool
	held    bool // nothing is written yet, though writing is set
	closed  bool // nothing more is taken in
	news    bool // that the groups have changed is queued

	lost loss
}

// A loss is what a client has not been told yet that it lost.
type loss struct {
	any     bool
	count   uint32
	directs uint32
	at      map[place]span
}

// A span is the publications of a place that a client lost: those after one number.
type span struct {
	after, seq uint64
	open       bool
}

type place struct {
	origin pushwire.Origin
	group  uint32
}

// push queues a publication, and reports whether there was room.
func (m *Member) push(data []byte, origin pushwire.Origin, stamps []pushwire.Stamp) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.queued(data) {
		return !m.closed
	}
	m.drop(0)
	for _, s := range stamps {
		if _, in := slices.BinarySearch(m.groups, s.Group); in {
			m.lostAt(pushwire.Gap{Origin: origin, Group: s.Group, After: s.Seq - 1, Seq: s.Seq})
		}
	}
	return false
}

// direct queues a message to the user, and reports whether there was room.
func (m *Member) direct(data []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.queued(data) {
		return !m.closed
	}
	m.drop(1)
	return false
}

// inform queues a presence. Where there is no room nothing is said of it: it is no
// message, and no promise.
func (m *Member) inform(data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.queued(data)
	}
}

// queued queues what counts for the limits, and reports whether there was room.
func (m *Member) queued(data []byte) bool {
	if !m.takes(len(data)) {
		return false
	}
	m.pushed++
	m.add(item{data: data, push: true})
	return true
}

// missed says that publications of other servers did not come. data is the message
// that does.
func (m *Member) missed(data []byte, gaps []pushwire.Gap) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if m.takes(len(data)) {
		m.add(item{data: data, push: true})
		return
	}
	m.lost.any = true
	for _, g := range gaps {
		m.lostAt(g)
	}
}

// takes reports whether there is room for a message. After a loss there is none
// before half of the queue is free, and then it is told first.
func (m *Member) takes(size int) bool {
	limits := &m.hub.cfg.Limits
	if m.lost.any {
		if m.pushes > limits.Queue/2 || m.octets > limits.QueueBytes/2 {
			return false
		}
		m.tellLost()
	}
	return m.pushes < limits.Queue && (m.pushes == 0 || m.octets+size <= limits.QueueBytes)
}

// drop counts a message that was not queued. directs is 1 if it was to the user alone.
func (m *Member) drop(directs uint32) {
	m.lost.any = true
	m.lost.count++
	m.lost.directs += directs
	m.dropped++
}

// lostAt notes a gap. It goes on where the one before it at the same place ended, as
// nothing is queued between them.
func (m *Member) lostAt(g pushwire.Gap) {
	if m.lost.at == nil {
		m.lost.at = make(map[place]span)
	}
	at := place{g.Origin, g.Group}
	all, begun := m.lost.at[at]
	if !begun {
		all.after = g.After
	}
	all.seq, all.open = g.Seq, g.Open
	m.lost.at[at] = all
}

// tellLost queues what was lost, if anything was.
func (m *Member) tellLost() {
	if m.lost.any {
		m.add(m.lostItem())
	}
}

// lostItem says what was lost, once.
func (m *Member) lostItem() item {
	msg := pushwire.Lost{Count: m.lost.count, Directs: m.lost.directs}
	for at, all := range m.lost.at {
		if len(msg.Gaps) == pushwire.MaxGaps {
			break // the others the client learns from what is published next
		}
		msg.Gaps = append(msg.Gaps, pushwire.Gap{Origin: at.origin, Group: at.group, After: all.after, Seq: all.seq, Open: all.open})
	}
	m.lost = loss{}
	encoded, _ := pushwire.Append(nil, msg) // the gaps fit
	return item{data: encoded}
}

// control queues what is never lost.
func (m *Member) control(i item) {
	if m.closed {
		m.memory.Give(i.memory)
		return
	}
	m.add(i)
}

// add appends to the queue, and has it written.
func (m *Member) add(i item) {
	if m.next >= maxKeptItems && m.next >= len(m.items)/2 { // a queue that is never empty must not grow for ever
		n := copy(m.items, m.items[m.next:])
		clear(m.items[n:])
		m.items, m.next = m.items[:n], 0
	}
	m.items = append(m.items, i)
	if i.push {
		m.pushes++
		m.octets += len(i.data)
	}
	m.wake()
}

// wake starts the goroutine that writes, unless there is one: an idle session needs none.
func (m *Member) wake() {
	if !m.writing {
		m.writing = true
		m.writer.Go(m.write)
	}
}

// take moves what leaves in one token from the queue to batch. Without anything
// the goroutine that writes is over.
func (m *Member) take(batch []item) []item {
	m.mu.Lock()
	defer m.mu.Unlock()
	size, signs := 0, 0
	for len(batch) == 0 || size < maxBatch {
		if m.next == len(m.items) && !m.refill() {
			break
		}
		i := m.items[m.next]
		if len(batch) > 0 && (size+len(i.data) > maxBatch || i.sign && signs == pushwire.MaxMICs || len(batch) == maxItems) {
			break
		}
		if i.sign {
			signs++
		}
		if i.push {
			m.pushes--
			m.octets -= len(i.data)
		}
		if i.news {
			m.news = false
		}
		size += len(i.data)
		batch = append(batch, i)
		m.items[m.next] = item{}
		m.next++
	}
	if len(batch) == 0 {
		m.writing = false
	}
	return batch
}

// refill queues what is told once all else has been, and reports whether there
// was anything.
func (m *Member) refill() bool {
	m.next = 0
	if m.items = m.items[:0]; cap(m.items) > maxKeptItems {
		m.items = nil
	}
	switch {
	case m.lost.any:
		m.items = append(m.items, m.lostItem())
	case m.last != nil:
		m.items = append(m.items, item{data: m.last})
		m.last = nil
	}
	return len(m.items) > 0
}

// discard forgets what is queued. The caller holds m.mu.
func (m *Member) discard() {
	for _, i := range m.items[m.next:] {
		m.memory.Give(i.memory)
	}
	m.items, m.next, m.pushes, m.octets = nil, 0, 0, 0
	m.lost, m.news, m.last = loss{}, false, nil
}

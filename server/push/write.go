package push

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

// maxItems is how many messages leave in one token, at the most.
const maxItems = 256

// A batch is what leaves in one token.
type batch struct {
	items []item
	parts [][]byte
}

// batches are kept for others: as a rule they are small, and there are as many as
// clients being written to.
var batches = sync.Pool{New: func() any { return new(batch) }}

// write writes what is queued until nothing is. There is one such goroutine of a
// member at a time, and none while its queue is empty: 10,000 idle sessions have
// a goroutine each, that reads, and starting one costs far less than the write.
func (m *Member) write() {
	room := batches.Get().(*batch)
	defer batches.Put(room)
	for {
		room.items = m.take(room.items[:0])
		if len(room.items) == 0 {
			return
		}
		results, signed, err := m.assemble(room)
		if err == nil {
			err = m.send(room.parts)
		}
		clear(room.items)
		clear(room.parts)
		if err != nil {
			m.fail(err)
			return
		}
		if results > 0 {
			m.answered(results, signed)
		}
	}
}

// assemble makes the parts of a token, and counts the results, and those that are
// signatures of what was read last.
func (m *Member) assemble(b *batch) (results, signed int, err error) {
	b.parts = b.parts[:0]
	for i := range b.items {
		of := &b.items[i]
		if err == nil {
			var part []byte
			part, err = m.part(of)
			b.parts = append(b.parts, part)
		}
		m.memory.Give(of.memory)
		if of.result {
			results++
		}
		if of.inRead {
			signed++
		}
	}
	return results, signed, err
}

// part gives what is written of an item.
func (m *Member) part(i *item) ([]byte, error) {
	switch {
	case i.sign:
		mic, err := m.sec.MIC(nil, i.data)
		if err != nil {
			return nil, fmt.Errorf("signing message: %w", err)
		}
		return pushwire.Append(nil, pushwire.Result{ID: i.id, MIC: mic})
	case i.news:
		return pushwire.Append(nil, pushwire.GroupsChanged{Groups: m.hub.groupsFor(m.principal)})
	default:
		return i.data, nil
	}
}

// send writes one token.
func (m *Member) send(parts [][]byte) error {
	m.deadline.Lock()
	if m.lostPeer {
		m.deadline.Unlock()
		return errGone
	}
	limit := m.hub.cfg.Limits.WriteTime
	err := m.session.SetWriteDeadline(time.Now().Add(limit))
	m.deadline.Unlock()
	if err == nil {
		err = m.wire.Write(parts...)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the client did not take a token within %s: %w", limit, err)
	}
	return err
}

// fail ends the session from the side that writes.
func (m *Member) fail(err error) {
	m.mu.Lock()
	m.closed = true
	m.failure = err
	m.discard()
	m.mu.Unlock() // writing stays set: nobody writes any more
	m.cancel()
	m.session.Interrupt()
}

// abandon interrupts what is being written: nobody reads it.
func (m *Member) abandon() {
	m.deadline.Lock()
	defer m.deadline.Unlock()
	m.lostPeer = true
	_ = m.session.SetWriteDeadline(time.Unix(1, 0)) // fails when it is closed
}

// answered counts results that were written, and lets the one who waits for that go on.
func (m *Member) answered(results, signs int) {
	m.mu.Lock()
	m.underWay -= results
	m.signing -= signs
	m.mu.Unlock()
	m.signal()
}

// signal wakes the goroutine that reads, if it waits for room.
func (m *Member) signal() {
	select {
	case m.progress <- struct{}{}:
	default:
	}
}

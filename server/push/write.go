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
	items [maxItems]item
	parts [maxItems][]byte
}

// batches are held while something is written: they are too large for a stack.
var batches = sync.Pool{New: func() any { return new(batch) }}

// write writes what is queued until nothing is. There is one such goroutine of a
// member at a time, and none while its queue is empty: 10,000 idle sessions have
// a goroutine each, that reads, and starting one costs far less than the write.
func (m *Member) write() {
	room := batches.Get().(*batch)
	defer batches.Put(room)
	for {
		batch, parts := m.take(room.items[:0]), &room.parts
		if len(batch) == 0 {
			return
		}
		results, signs := 0, 0
		for i := range batch {
			parts[i] = batch[i].data
			switch {
			case batch[i].sign:
				if batch[i].memory == 0 {
					signs++
				}
				data, err := m.signed(batch[i])
				m.memory.Give(batch[i].memory)
				if err != nil {
					m.fail(err)
					return
				}
				parts[i] = data
			case batch[i].news:
				data, err := pushwire.Append(nil, pushwire.GroupsChanged{Groups: m.hub.groupsFor(m.principal)})
				if err != nil {
					m.fail(err)
					return
				}
				parts[i] = data
			}
			if batch[i].result {
				results++
			}
		}
		err := m.send(parts[:len(batch)])
		clear(batch)
		clear(parts[:len(batch)])
		if err != nil {
			m.fail(err)
			return
		}
		if results > 0 {
			m.answered(results, signs)
		}
	}
}

// signed gives the result of a request to sign.
func (m *Member) signed(i item) ([]byte, error) {
	mic, err := m.sec.MIC(nil, i.data)
	if err != nil {
		return nil, fmt.Errorf("signing message: %w", err)
	}
	return pushwire.Append(nil, pushwire.Result{ID: i.id, MIC: mic})
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
		return fmt.Errorf("the client took nothing for %s: %w", limit, err)
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

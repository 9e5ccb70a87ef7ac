package push

import (
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

// maxPongs is how many answers to pings may wait to be written: a server
// that asks has no reason to ask again before it has one.
const maxPongs = 16

// beat asks the server for a sign of life when it was silent for long, and lets
// it have one.
func (s *session) beat() {
	var asked time.Time // when it was asked for a sign that has not come
	timer := time.NewTimer(min(s.heard, s.said))
	defer timer.Stop()
	for {
		select {
		case <-s.over:
			return
		case <-timer.C:
		}
		now := time.Now()
		heard := s.link.LastReceived()
		if s.stalled.Load() {
			heard = now // it is not listened to
		}
		if !heard.Before(asked) {
			asked = time.Time{}
		}
		said := s.began.Add(time.Duration(s.lastSaid.Load()))
		switch {
		case !asked.IsZero() && now.Sub(asked) >= s.heard:
			s.end(errSilent, nil)
			return
		case asked.IsZero() && now.Sub(heard) >= s.heard:
			asked = now
			s.ping()
			said = now
		case now.Sub(said) >= s.said:
			s.ping()
			said = now
		}
		next := heard.Add(s.heard)
		if !asked.IsZero() {
			next = asked.Add(s.heard)
		}
		timer.Reset(min(next.Sub(now), said.Add(s.said).Sub(now)))
	}
}

func (s *session) ping() {
	s.mu.Lock()
	s.pinged++
	s.control = append(s.control, pushwire.Ping{Number: s.pinged})
	s.mu.Unlock()
	s.wake()
}

func (s *session) handlePing(m pushwire.Ping) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pongs++; s.pongs > maxPongs {
		return violation("%d pings without waiting for an answer", s.pongs)
	}
	s.control = append(s.control, pushwire.Pong(m))
	s.wake()
	return nil
}

func (s *session) handlePong(m pushwire.Pong) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Number <= s.ponged || m.Number > s.pinged {
		return violation("Pong %d without such a ping", m.Number)
	}
	s.ponged = m.Number
	return nil
}

package push

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/countersign-go/countersign/token/pushwire"
)

// read reads and handles what the server says until there is an error.
func (s *session) read() error {
	b := s.first
	s.first = nil
	for {
		for len(b) > 0 {
			m, rest, err := pushwire.Next(b)
			if err != nil {
				return &ProtocolError{err}
			}
			if err := s.handle(m); err != nil {
				return err
			}
			b = rest
		}
		var err error
		if b, err = s.wire.Read(); err != nil {
			return s.readError(err)
		}
	}
}

func (s *session) handle(m pushwire.Message) error {
	events, t := &s.c.cfg.Events, &s.c.tracker
	switch m := m.(type) {
	case pushwire.Result:
		return s.handleResult(m)
	case pushwire.Publication:
		fresh, missing, err := t.publication(&m)
		if err != nil {
			return &ProtocolError{err}
		}
		if err := s.tellLoss(missing); err != nil || !fresh {
			return err
		}
		return s.publish(m)
	case pushwire.Direct:
		return s.direct(m)
	case pushwire.Lost:
		loss, err := t.lost(&m)
		if err != nil {
			return &ProtocolError{err}
		}
		return s.tellLoss(loss)
	case pushwire.Joined:
		if err := s.subscribed(m.Groups, m.Positions, true); err != nil {
			return err
		}
		return s.tellGroups(events.Joined, m.Groups)
	case pushwire.Removed:
		t.left(m.Groups)
		s.c.want(m.Groups, false)
		return s.tellGroups(events.Removed, m.Groups)
	case pushwire.Presence:
		return s.tellPresence(m)
	case pushwire.GroupsChanged:
		s.c.mu.Lock()
		s.c.welcome.Groups = m.Groups
		s.c.mu.Unlock()
		return nil
	case pushwire.Ping:
		return s.handlePing(m)
	case pushwire.Pong:
		return s.handlePong(m)
	case pushwire.Bye:
		return &ByeError{m.Code, m.Why}
	default:
		return violation("%s from a server, or not at its time", nameOf(m))
	}
}

// subscribed begins with groups, and tells what was missed.
func (s *session) subscribed(groups []uint32, positions []pushwire.Position, joined bool) error {
	loss, err := s.c.tracker.subscribed(groups, positions, joined)
	if err != nil {
		return &ProtocolError{err}
	}
	return s.tellLoss(loss)
}

func (s *session) handleResult(m pushwire.Result) error {
	c := s.c
	c.mu.Lock()
	r := c.underWay[m.ID]
	delete(c.underWay, m.ID)
	c.room.Signal()
	if len(c.pending) > 0 {
		s.wake()
	}
	settled := len(c.underWay) == 0 && s.leaving.Load()
	c.mu.Unlock()
	if settled {
		select {
		case s.settled <- struct{}{}:
		default:
		}
	}
	if r == nil {
		return violation("result of a request %d that is not under way", m.ID)
	}
	result := Result{Receivers: int(m.Receivers)}
	if err := s.settle(r, &m, &result); err != nil {
		r.finish(Result{}, err)
		return err
	}
	if m.Status != pushwire.Done {
		r.finish(result, &RefusedError{m.Status, m.Why})
		return s.refusedAgain(r, m)
	}
	r.finish(result, nil)
	return nil
}

// settle does what a result entails. Its error ends the session.
func (s *session) settle(r *Request, m *pushwire.Result, result *Result) error {
	_, signs := r.message.(pushwire.SignRequest)
	if !(signs && m.Status == pushwire.Done) && len(m.MIC) > 0 {
		return violation("MIC with the result of %s", nameOf(r.message))
	}
	subscribe, subscribes := r.message.(pushwire.SubscribeRequest)
	for _, p := range m.Positions {
		if !subscribes || m.Status != pushwire.Done || !slices.Contains(subscribe.Groups, p.Group) {
			return violation("position with the result of %s", nameOf(r.message))
		}
	}
	if m.Status != pushwire.Done {
		return nil
	}
	switch {
	case signs:
		if err := s.link.Context.VerifyMIC(r.encoded[beforeData:], m.MIC); err != nil {
			return &ProtocolError{fmt.Errorf("the MIC does not verify: %w", err)}
		}
		result.MIC = bytes.Clone(m.MIC)
	case subscribes:
		s.c.want(subscribe.Groups, true)
		return s.subscribed(subscribe.Groups, m.Positions, false)
	default:
		if leave, ok := r.message.(pushwire.LeaveRequest); ok {
			s.c.tracker.left(leave.Groups)
			s.c.want(leave.Groups, false)
		}
	}
	return nil
}

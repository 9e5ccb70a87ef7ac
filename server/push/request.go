package push

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/token/pushwire"
)

var (
	errFinished  = errors.New("push: the client said that it is done")
	errViolation = errors.New("push: a client does not send this kind of message")
)

// read reads tokens and does what they ask for, until one side ends it. begun
// is what came with the first.
func (m *Member) read(begun []byte, stopping <-chan struct{}) error {
	rest := begun
	for {
		for len(rest) > 0 {
			before := rest
			msg, after, err := pushwire.Next(rest)
			if err != nil {
				return err
			}
			rest = after
			if err := m.receive(msg, before[:len(before)-len(after)], stopping); err != nil {
				return err
			}
		}
		if err := m.wait(stopping, func() bool { return m.signing == 0 }); err != nil { // they are parts of what was read
			return err
		}
		m.session.Done(m.frames.Buffered() > 0)
		var err error
		if rest, err = m.wire.Read(); err != nil {
			return err
		}
	}
}

// wait waits until the condition holds, which is asked with m.mu locked.
func (m *Member) wait(stopping <-chan struct{}, holds func() bool) error {
	for {
		m.mu.Lock()
		ready := holds()
		m.mu.Unlock()
		if ready {
			return nil
		}
		select {
		case <-m.progress:
		case <-m.ctx.Done():
			return errGone
		case <-stopping:
			return server.ErrShutdown
		}
	}
}

// receive answers one message. Requests that come while another one takes long
// are copied and wait for it; what else comes does not.
func (m *Member) receive(msg pushwire.Message, encoded []byte, stopping <-chan struct{}) error {
	switch msg := msg.(type) {
	case pushwire.Ping:
		return m.pong(msg, stopping)
	case pushwire.Pong:
		return nil // that it came is all it says
	case pushwire.Bye:
		return errFinished
	case pushwire.SubscribeRequest, pushwire.LeaveRequest, pushwire.PublishRequest, pushwire.SendRequest, pushwire.SignRequest, pushwire.WaitRequest:
	default:
		return errViolation
	}
	limit := m.hub.cfg.Limits.Requests
	if err := m.wait(stopping, func() bool { return m.underWay < limit }); err != nil {
		return err
	}
	for {
		m.mu.Lock()
		if !m.working {
			m.underWay++
			m.mu.Unlock()
			break
		}
		if m.memory.Take(len(encoded)) == nil {
			m.underWay++
			m.waiting = append(m.waiting, bytes.Clone(encoded))
			m.mu.Unlock()
			return nil
		}
		m.mu.Unlock()
		if err := m.wait(stopping, func() bool { return !m.working }); err != nil {
			return err
		}
	}
	if !m.takesLong(msg) || m.memory.Take(len(encoded)) != nil { // without memory it is done here, if more slowly for the client
		m.do(m.ctx, msg, true)
		return nil
	}
	m.mu.Lock()
	m.working = true
	m.mu.Unlock()
	copied := bytes.Clone(encoded)
	m.worker.Go(func() { m.work(copied) })
	return nil
}

// pong answers a ping, beside all requests. One who sends pings and takes no
// answer is not read any more, as one who sends requests.
func (m *Member) pong(ping pushwire.Ping, stopping <-chan struct{}) error {
	limit := m.hub.cfg.Limits.Requests
	if err := m.wait(stopping, func() bool { return m.underWay < limit }); err != nil {
		return err
	}
	encoded, err := pushwire.Append(nil, pushwire.Pong(ping))
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.underWay++
	m.control(item{data: encoded, result: true})
	return nil
}

// takesLong reports whether the goroutine that reads should not do it itself: it
// would not see that the client is gone, nor answer a ping.
func (m *Member) takesLong(msg pushwire.Message) bool {
	hooks := &m.hub.cfg.Hooks
	switch msg := msg.(type) {
	case pushwire.WaitRequest:
		return msg.For > 0
	case pushwire.SendRequest:
		return hooks.Send != nil || m.hub.bus != nil
	case pushwire.PublishRequest:
		return hooks.Publish != nil
	case pushwire.SubscribeRequest:
		return hooks.Subscribe != nil
	case pushwire.LeaveRequest:
		return hooks.Leave != nil
	default:
		return false
	}
}

// work does a request that takes long, and those that came meanwhile. They are
// copies, whose memory is given back.
func (m *Member) work(encoded []byte) {
	for {
		held := len(encoded)
		msg, _, _ := pushwire.Next(encoded) // it was read once
		if sign, ok := msg.(pushwire.SignRequest); ok {
			held -= len(sign.Data) // until it is signed
		}
		m.do(m.ctx, msg, false)
		m.memory.Give(held)
		m.mu.Lock()
		if m.ctx.Err() != nil { // the others are not done any more
			for _, w := range m.waiting {
				m.memory.Give(len(w))
			}
			m.waiting = nil
		}
		if len(m.waiting) == 0 {
			m.working, m.waiting = false, nil
			m.mu.Unlock()
			m.signal()
			return
		}
		encoded = m.waiting[0]
		m.waiting[0] = nil
		m.waiting = m.waiting[1:]
		m.mu.Unlock()
	}
}

// do does a request and queues its result. read says that its data is part of
// what was read last.
func (m *Member) do(ctx context.Context, msg pushwire.Message, read bool) {
	m.requests++
	limits := &m.hub.cfg.Limits
	id, data := idOf(msg)
	var err error
	receivers := 0
	switch {
	case !m.bucket.take(time.Now(), limits.Rate, limits.Burst):
		err = &Error{Status: pushwire.TooOften}
	case len(data) > limits.MaxData:
		err = tooLong(limits.MaxData)
	default:
		var done bool
		if receivers, done, err = m.carryOut(ctx, msg, read); done {
			return
		}
	}
	result := pushwire.Result{ID: id, Receivers: uint32(receivers)}
	if err != nil {
		result.Status, result.Why = m.refusal(err)
	}
	encoded, err := pushwire.Append(nil, result)
	if err != nil {
		m.fail(err) // no result can be that long
		return
	}
	m.mu.Lock()
	m.control(item{data: encoded, result: true})
	m.mu.Unlock()
}

func idOf(msg pushwire.Message) (id uint64, data []byte) {
	switch msg := msg.(type) {
	case pushwire.SubscribeRequest:
		return msg.ID, nil
	case pushwire.LeaveRequest:
		return msg.ID, nil
	case pushwire.PublishRequest:
		return msg.ID, msg.Data
	case pushwire.SendRequest:
		return msg.ID, msg.Data
	case pushwire.SignRequest:
		return msg.ID, msg.Data
	case pushwire.WaitRequest:
		return msg.ID, nil
	}
	return 0, nil
}

// carryOut asks the policy and the hook and then does what is asked for. done
// says that the result is queued already.
func (m *Member) carryOut(ctx context.Context, msg pushwire.Message, read bool) (receivers int, done bool, err error) {
	h, hooks := m.hub, &m.hub.cfg.Hooks
	switch msg := msg.(type) {
	case pushwire.SubscribeRequest:
		groups := sorted(msg.Groups)
		if err := h.check(m.principal, groups, pushwire.Read); err != nil {
			return 0, false, err
		}
		if err := declined(hooks.Subscribe != nil, func() error { return hooks.Subscribe(ctx, m, groups) }); err != nil {
			return 0, false, err
		}
		err := h.subscribe(m, groups, true, func(p []pushwire.Position) pushwire.Message {
			return pushwire.Result{ID: msg.ID, Positions: p}
		})
		return 0, err == nil, err

	case pushwire.LeaveRequest:
		groups := sorted(msg.Groups)
		if err := h.check("", groups, 0); err != nil {
			return 0, false, err
		}
		if err := declined(hooks.Leave != nil, func() error { return hooks.Leave(ctx, m, groups) }); err != nil {
			return 0, false, err
		}
		locked, err := h.lock(groups)
		if err != nil {
			return 0, false, err
		}
		h.leave(m, locked, true, func([]uint32) pushwire.Message { return pushwire.Result{ID: msg.ID} })
		return 0, true, nil

	case pushwire.PublishRequest:
		groups := sorted(msg.Groups)
		if err := h.check(m.principal, groups, pushwire.Publish); err != nil {
			return 0, false, err
		}
		if err := declined(hooks.Publish != nil, func() error { return hooks.Publish(ctx, m, groups, msg.Data) }); err != nil {
			return 0, false, err
		}
		receivers, err := h.publish(m.principal, groups, msg.Data)
		return receivers, false, err

	case pushwire.SendRequest:
		if err := declined(hooks.Send != nil, func() error { return hooks.Send(ctx, m, msg.To, msg.Data) }); err != nil {
			return 0, false, err
		}
		receivers, err := h.send(ctx, m.principal, msg.To, msg.Data)
		return receivers, false, err

	case pushwire.SignRequest:
		m.mu.Lock()
		defer m.mu.Unlock()
		i := item{data: msg.Data, sign: true, result: true, id: msg.ID, inRead: read}
		if read {
			m.signing++
		} else {
			i.memory = len(msg.Data)
		}
		m.control(i)
		return 0, true, nil

	case pushwire.WaitRequest:
		wait := time.NewTimer(msg.For)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-m.leaving:
		case <-ctx.Done():
			return 0, true, nil // it was not that long
		}
		return 0, false, nil
	}
	return 0, false, nil
}

// declined asks a hook.
func declined(asked bool, hook func() error) error {
	if !asked {
		return nil
	}
	if err := hook(); err != nil {
		return &Error{Status: pushwire.Declined, Why: err.Error()}
	}
	return nil
}

// refusal gives what the client is told of an error, and logs it.
func (m *Member) refusal(err error) (pushwire.Status, string) {
	status, why := pushwire.Unreached, ""
	if e, ok := errors.AsType[*Error](err); ok {
		status, why = e.Status, e.Why
	}
	if status == pushwire.Absent {
		return status, why // not a fault of anybody
	}
	if n := m.refused.add(time.Now()); n > 0 && m.session.Logs(logrus.WarnLevel) {
		m.session.Note("refused", n)
		m.session.Note("status", status.String())
		m.session.Note("why", why)
		m.session.Log(logrus.WarnLevel, "request refused")
	}
	return status, why
}

// refusals counts refused requests, so that a flood of them is not one of log records.
type refusals struct {
	all      int
	count    int
	reported time.Time
}

// add counts one and gives the number to report now, 0 for none: those since the
// last report, once a second at most.
func (r *refusals) add(now time.Time) (report int) {
	r.all++
	r.count++
	if now.Sub(r.reported) < time.Second {
		return 0
	}
	report, r.count, r.reported = r.count, 0, now
	return report
}

package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

// A Result is what came of a request that was done.
type Result struct {
	// Receivers is how many sessions a message was queued for, as far as the
	// server knows.
	Receivers int

	// MIC is the server's MIC of the data signed, verified.
	MIC []byte
}

// A Request is something that the server was asked for, or that waits to be sent.
type Request struct {
	client  *Client
	id      uint64
	encoded []byte           // until there is a result
	message pushwire.Message // without its data
	data    int              // length of the data

	// again is set where the client subscribes again by itself.
	again bool

	done chan struct{}

	mu       sync.Mutex
	finished bool
	result   Result
	err      error
	thens    []func(Result, error)
	batch    *Batch // to be told; may be nil
}

// beforeData is what is before the data in an encoded SignRequest, in octets: kind,
// length and id.
const beforeData = 4 + 8

// newRequest makes a request of a message and its data. One that cannot be sent is
// finished already.
func (c *Client) newRequest(id uint64, without, with pushwire.Message, data []byte, err error) *Request {
	r := &Request{client: c, id: id, message: without, data: len(data), done: make(chan struct{})}
	if err == nil {
		r.encoded, err = pushwire.Append(nil, with)
	}
	if err != nil {
		r.finish(Result{}, err)
	}
	return r
}

func (c *Client) subscribeRequest(groups []uint32) *Request {
	m := pushwire.SubscribeRequest{ID: c.lastID.Add(1), Groups: slices.Clone(groups)}
	return c.newRequest(m.ID, m, m, nil, checkGroups(groups))
}

func (c *Client) leaveRequest(groups []uint32) *Request {
	m := pushwire.LeaveRequest{ID: c.lastID.Add(1), Groups: slices.Clone(groups)}
	return c.newRequest(m.ID, m, m, nil, checkGroups(groups))
}

func (c *Client) publishRequest(data []byte, groups []uint32) *Request {
	m := pushwire.PublishRequest{ID: c.lastID.Add(1), Groups: groups, Data: data}
	return c.newRequest(m.ID, pushwire.PublishRequest{}, m, data, errors.Join(checkGroups(groups), checkData(data)))
}

func (c *Client) sendRequest(to string, data []byte) *Request {
	m := pushwire.SendRequest{ID: c.lastID.Add(1), To: to, Data: data}
	return c.newRequest(m.ID, pushwire.SendRequest{}, m, data, errors.Join(checkName(to), checkData(data)))
}

func (c *Client) signRequest(data []byte) *Request {
	m := pushwire.SignRequest{ID: c.lastID.Add(1), Data: data}
	return c.newRequest(m.ID, pushwire.SignRequest{}, m, data, checkData(data))
}

func (c *Client) waitRequest(d time.Duration) *Request {
	var err error
	if d < 0 || d > pushwire.MaxWait {
		err = fmt.Errorf("push: waiting for %v, from 0 to %v are allowed", d, pushwire.MaxWait)
	}
	m := pushwire.WaitRequest{ID: c.lastID.Add(1), For: d}
	return c.newRequest(m.ID, m, m, nil, err)
}

func checkName(name string) error {
	if name == "" || len(name) > pushwire.MaxName {
		return fmt.Errorf("push: name of %d octets, from 1 to %d are allowed", len(name), pushwire.MaxName)
	}
	return nil
}

func checkGroups(groups []uint32) error {
	if len(groups) == 0 || len(groups) > pushwire.MaxGroups {
		return fmt.Errorf("push: %d groups, from 1 to %d are allowed", len(groups), pushwire.MaxGroups)
	}
	return nil
}

func checkData(data []byte) error {
	if len(data) > pushwire.MaxData {
		return tooLong(len(data), pushwire.MaxData)
	}
	return nil
}

func tooLong(length, limit int) error {
	return &RefusedError{pushwire.TooLong, fmt.Sprintf("%d octets, at most %d are allowed", length, limit)}
}

// Wait waits for the result. The error is a [*RefusedError] if the server did not
// do it, [ErrInterrupted] if it is not known, [ErrClosed] or why the client
// ended if it was not sent, or that of ctx, whose end does not take the
// request back. It may be called many times.
func (r *Request) Wait(ctx context.Context) (Result, error) {
	select {
	case <-r.done:
		return r.result, r.err
	default:
	}
	defer r.client.callbacks.wait()()
	select {
	case <-r.done:
		return r.result, r.err
	case <-ctx.Done():
		return Result{}, context.Cause(ctx)
	}
}

// Then has f called once with what Wait returns, among the events, in the order
// in which results come. For a request that is done already that is soon.
func (r *Request) Then(f func(Result, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.finished {
		r.thens = append(r.thens, f)
		return
	}
	r.client.callbacks.put(func() { f(r.result, r.err) })
}

// finish sets what came of the request, once.
func (r *Request) finish(result Result, err error) {
	r.mu.Lock()
	if r.finished {
		r.mu.Unlock()
		return
	}
	r.finished, r.result, r.err = true, result, err
	r.encoded = nil
	for _, f := range r.thens {
		r.client.callbacks.put(func() { f(result, err) })
	}
	r.thens = nil
	batch := r.batch
	close(r.done)
	r.mu.Unlock()
	if batch != nil {
		batch.finishedOne()
	}
}

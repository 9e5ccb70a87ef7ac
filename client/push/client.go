package push

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

// window is how many requests may be under way: enough to fill any connection
// with small ones, and no more than servers take.
const window = 256

// A Client is a session that connects again whenever it has to, until Close or
// until the server refuses it for good. Its methods are safe for concurrent use.
//
// Subscribe, Leave, Publish, Send, Sign and Wait make a [Request] and return at once,
// unless 256 are there without a result: then they wait until there are fewer,
// which without a connection can be long. One made while there is no connection is
// sent when there is one again. What is passed to them may be used
// again when they return.
type Client struct {
	cfg       Config
	callbacks *callbacks
	lastID    atomic.Uint64
	tracker   tracker // of the goroutine that keeps the session

	// directsUnknown says that a connection did not end in order, and that this is
	// to be told. It is of the same goroutine.
	directsUnknown bool

	ctx    context.Context // of the client's life
	cancel context.CancelFunc
	kept   chan struct{} // closed when no connection is kept any more
	done   chan struct{} // closed when nothing is called any more, either

	mu       sync.Mutex
	room     sync.Cond // there is room for requests
	pending  []*Request
	underWay map[uint64]*Request
	session  *session // nil: not connected
	wanted   map[uint32]bool
	welcome  pushwire.Welcome
	err      error // why it ended
}

// Dial connects to the first of the servers that there is. ctx bounds that, not
// the client's life. The errors are those of [client.Establish] for each of the
// servers, a [*ByeError], a [*ProtocolError], or a [*RefusedError] if the server
// refuses one of Config.Groups.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, callbacks: newCallbacks(cfg.Events.Lost), kept: make(chan struct{}), done: make(chan struct{}),
		underWay: make(map[uint64]*Request), wanted: make(map[uint32]bool),
	}
	c.room.L = &c.mu
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s, at, err := c.connectAny(ctx)
	if err != nil {
		c.cancel()
		return nil, err
	}
	c.directsUnknown = false // nothing was promised before
	subscribed := c.began(s, cfg.Groups, false)
	go c.keep(s, at)
	for _, r := range subscribed {
		if _, err := r.Wait(ctx); err != nil {
			c.shut(err)
			<-c.kept
			return nil, err
		}
	}
	go c.callback()
	return c, nil
}

// connectAny tries each server once.
func (c *Client) connectAny(ctx context.Context) (s *session, at int, err error) {
	var failed []error
	for at := range c.cfg.Addrs {
		s, err := c.connect(ctx, c.cfg.Addrs[at])
		if err == nil {
			return s, at, nil
		}
		failed = append(failed, err)
		if context.Cause(ctx) != nil || final(err) {
			break
		}
	}
	if len(failed) == 1 {
		return nil, 0, failed[0]
	}
	return nil, 0, errors.Join(failed...)
}

// callback calls callbacks to the end.
func (c *Client) callback() {
	c.callbacks.run()
	close(c.done)
}

// Subscribe asks to be told what is published to the groups, all or none of
// them. It is repeated after each reconnection.
func (c *Client) Subscribe(groups ...uint32) *Request { return c.submit(c.subscribeRequest(groups)) }

// Leave ends subscriptions.
func (c *Client) Leave(groups ...uint32) *Request { return c.submit(c.leaveRequest(groups)) }

// Publish publishes data to groups, whether subscribed to or not.
func (c *Client) Publish(data []byte, groups ...uint32) *Request {
	return c.submit(c.publishRequest(data, groups))
}

// Send sends data to all sessions of a user: a principal, or a local name if
// there is no @ in it that is not escaped.
func (c *Client) Send(to string, data []byte) *Request { return c.submit(c.sendRequest(to, data)) }

// Sign has the server make a MIC of data.
func (c *Client) Sign(data []byte) *Request { return c.submit(c.signRequest(data)) }

// Wait asks for a result after that time, [pushwire.MaxWait] at the most. What
// is asked for after it is done after it.
func (c *Client) Wait(d time.Duration) *Request { return c.submit(c.waitRequest(d)) }

// submit has a request sent, once there is room.
func (c *Client) submit(r *Request) *Request {
	if isDone(r.done) {
		return r // it could not be encoded
	}
	c.mu.Lock()
	if c.busy() {
		defer c.callbacks.wait()()
	}
	for c.busy() {
		c.room.Wait()
	}
	c.mu.Unlock()
	c.enqueue(r)
	return r
}

func (c *Client) busy() bool { return c.err == nil && len(c.pending)+len(c.underWay) >= window }

// enqueue queues requests to be sent, all at once.
func (c *Client) enqueue(requests ...*Request) {
	requests = slices.DeleteFunc(slices.Clone(requests), func(r *Request) bool { return isDone(r.done) })
	c.mu.Lock()
	err := c.err
	if err == nil {
		c.pending = append(c.pending, requests...)
		if c.session != nil {
			c.session.wake()
		}
	}
	c.mu.Unlock()
	if err != nil {
		for _, r := range requests {
			r.finish(Result{}, err)
		}
	}
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// Welcome is what the server said first on the present connection, or the last
// one there was.
func (c *Client) Welcome() pushwire.Welcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.welcome
	w.Groups = slices.Clone(w.Groups)
	return w
}

// Groups are those that the client has any right to, as the server has told last.
func (c *Client) Groups() []pushwire.Group { return c.Welcome().Groups }

// UnderWay is how many requests have no result yet.
func (c *Client) UnderWay() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending) + len(c.underWay)
}

// Subscribed are the groups that are subscribed to whenever there is a
// connection, in order. Those that the server subscribed the client to are not
// among them.
func (c *Client) Subscribed() []uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.wanted))
}

// Done is closed when the client has ended, and the last callback of what was asked
// for before has returned.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the client ended, [ErrClosed] after Close; nil while it lasts.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the client: it says so to the server and closes the connection.
// Requests without a result fail; wait for them before if that matters. It may be
// called by events and callbacks: it does not wait for these, Done does.
func (c *Client) Close() error {
	c.shut(ErrClosed)
	<-c.kept
	return nil
}

// shut ends the client for a reason, unless it has ended.
func (c *Client) shut(why error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = why
	}
	s := c.session
	pending := c.pending
	c.pending = nil
	c.room.Broadcast()
	c.mu.Unlock()
	for _, r := range pending { // before Done is closed
		r.finish(Result{}, why)
	}
	c.cancel()
	if s != nil {
		s.end(why, &pushwire.Bye{Code: pushwire.Finished})
	}
}

func (c *Client) connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session != nil
}

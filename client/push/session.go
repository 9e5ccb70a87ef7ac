package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A session is one connection, from its welcome to its end. Four goroutines
// have it: one reads, one writes, one sees to it that both sides live, and one
// that it ends before its context does.
type session struct {
	c     *Client
	addr  string
	link  *client.Link
	wire  *pushwire.Conn
	first []byte // messages that came with the welcome

	heard, said time.Duration // heartbeats
	lastSaid    atomic.Int64  // nanoseconds since began
	began       time.Time
	stalled     atomic.Bool // the reader waits for callbacks

	awake chan struct{} // there may be something to write
	over  chan struct{} // closed when the session has ended

	leaving atomic.Bool   // the context is about to end: no more is asked for
	settled chan struct{} // then, nothing is under way

	// Of the goroutine that renews, and after the session's end.
	next      *client.Link // with the next context; may be nil
	unrenewed error        // why there is none
	expires   time.Time    // when the context ends, of a session that left before

	mu      sync.Mutex
	err     error         // why it ended
	bye     *pushwire.Bye // to be said at the end
	control []pushwire.Message
	pongs   int    // of control
	parting bool   // Bye is due
	parted  bool   // and was said: nothing may follow
	pinged  uint64 // number of the last ping
	ponged  uint64 // number of the last that was answered
}

const (
	// byeTime is how long a last word may take.
	byeTime = time.Second

	// maxGathered is how much of several messages goes into one token, in octets.
	// Larger ones were slower: the other side cannot begin before all is there. A
	// longer message has a token of its own.
	maxGathered = 32 << 10
)

// connect connects to a server, up to its welcome.
func (c *Client) connect(ctx context.Context, addr string) (*session, error) {
	link, err := client.Establish(ctx, c.clientConfig(addr))
	if err != nil {
		return nil, err
	}
	return c.greeted(ctx, link, addr)
}

func (c *Client) clientConfig(addr string) client.Config {
	cfg := c.cfg.Client
	cfg.Addr = addr
	return cfg
}

// greeted makes a session of a link with a server, which is closed if that fails.
func (c *Client) greeted(ctx context.Context, link *client.Link, addr string) (*session, error) {
	s := &session{
		c: c, addr: addr, link: link, wire: pushwire.NewConn(link.Frames, link.Context, nil),
		awake: make(chan struct{}, 1), over: make(chan struct{}), settled: make(chan struct{}, 1), began: time.Now(),
	}
	stop := context.AfterFunc(ctx, func() { _ = link.Conn.SetDeadline(time.Unix(1, 0)) })
	err := s.greet()
	if !stop() && err == nil {
		err = context.Cause(ctx) // the deadline has passed
	}
	if err != nil {
		if _, told := errors.AsType[*ByeError](err); !told {
			c.directsUnknown = true // the server may have taken the client for present
		}
		s.sayBye(err)
		_ = link.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	return s, nil
}

// greet says Hello and reads the welcome.
func (s *session) greet() error {
	cfg := &s.c.cfg
	if err := s.link.Conn.SetDeadline(time.Now().Add(cfg.Client.Timeout)); err != nil {
		return err
	}
	presence := cfg.Events.Entered != nil || cfg.Events.Left != nil
	hello, err := pushwire.Append(nil, pushwire.Hello{Version: pushwire.Version, Presence: presence})
	if err != nil {
		return err
	}
	if err := s.wire.Write(hello); err != nil {
		return fmt.Errorf("push: greeting: %w", err)
	}
	b, err := s.wire.Read()
	if err != nil {
		return s.readError(err)
	}
	m, rest, err := pushwire.Next(b)
	if err != nil {
		return &ProtocolError{err}
	}
	switch m := m.(type) {
	case pushwire.Welcome:
		if m.Version != pushwire.Version {
			return violation("it speaks version %d, the client %d", m.Version, pushwire.Version)
		}
		s.heard, s.said = cfg.heartbeat(m.Idle)
		s.c.mu.Lock()
		s.c.welcome = m
		s.c.mu.Unlock()
	case pushwire.Bye:
		return &ByeError{m.Code, m.Why}
	default:
		return violation("%s before Welcome", nameOf(m))
	}
	s.first = rest
	return s.link.Conn.SetDeadline(time.Time{})
}

// nameOf is the name of a message's kind.
func nameOf(m pushwire.Message) string {
	name := fmt.Sprintf("%T", m)
	return name[len("pushwire."):]
}

// readError words the end of reading.
func (s *session) readError(err error) error {
	if err == io.ErrUnexpectedEOF {
		return fmt.Errorf("push: the server closed the connection without a word: %w", err)
	}
	return fmt.Errorf("push: receiving: %w", err)
}

// sayBye tells a server that broke the protocol why it is left.
func (s *session) sayBye(err error) {
	if bye := byeFor(err); bye != nil {
		if last, err := pushwire.Append(nil, *bye); err == nil && s.link.Conn.SetWriteDeadline(time.Now().Add(byeTime)) == nil {
			_ = s.wire.Write(last) // it is left in any case
		}
	}
}

func byeFor(err error) *pushwire.Bye {
	if broken, ok := errors.AsType[*ProtocolError](err); ok {
		return &pushwire.Bye{Code: pushwire.Violation, Why: broken.Err.Error()}
	}
	return nil
}

// run reads until the session ends, and says why it did.
func (s *session) run() error {
	var others sync.WaitGroup
	others.Go(s.write)
	others.Go(s.beat)
	others.Go(s.renew)
	err := s.read()
	s.end(err, byeFor(err))
	others.Wait()
	s.wire.Release()
	_ = s.link.Close() // it was closed by the writer
	return s.err
}

// end ends the session, once. The writer says bye, if there is one, and closes
// the connection.
func (s *session) end(err error, bye *pushwire.Bye) {
	s.mu.Lock()
	if s.err == nil {
		s.err, s.bye = err, bye
		// A write that is under way does not hold that up.
		_ = s.link.Conn.SetWriteDeadline(time.Now().Add(byeTime))
		close(s.over)
	}
	s.mu.Unlock()
	s.c.callbacks.wake()
}

func (s *session) ended() bool { return isDone(s.over) }

// offer queues an event.
func (s *session) offer(size int, f func()) bool {
	defer s.stalled.Store(false)
	return s.c.callbacks.offer(size, f, func() bool {
		s.stalled.Store(true)
		return s.ended()
	})
}

// wake has the writer look for what there is to write.
func (s *session) wake() {
	select {
	case s.awake <- struct{}{}:
	default:
	}
}

// write writes until the session ends, and closes the connection.
func (s *session) write() {
	for !s.ended() {
		msgs, err := s.gather()
		switch {
		case err != nil:
			s.end(err, nil)
		case len(msgs) > 0:
			if err := s.send(msgs); err != nil {
				s.end(fmt.Errorf("push: sending: %w", err), nil)
			}
		default:
			select {
			case <-s.awake:
			case <-s.over:
			}
		}
	}
	if s.bye != nil && !s.parted {
		if last, err := pushwire.Append(nil, *s.bye); err == nil {
			_ = s.wire.Write(last) // the other side may be gone
		}
	}
	_ = s.link.Conn.Close() // nothing is left to be said
}

func (s *session) send(msgs [][]byte) error {
	s.mu.Lock()
	var err error
	if s.err == nil {
		err = s.link.Conn.SetWriteDeadline(time.Now().Add(s.c.cfg.Client.Timeout))
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.lastSaid.Store(int64(time.Since(s.began)))
	return s.wire.Write(msgs...)
}

// gather takes what fits a token of what waits to be written.
func (s *session) gather() (msgs [][]byte, err error) {
	s.mu.Lock()
	said := s.control
	if s.parted {
		said = nil
	} else if s.parting {
		said = append(said, pushwire.Bye{Code: pushwire.Finished})
		s.parted = true
	}
	control, err := pushwire.Append(nil, said...)
	s.control, s.pongs = nil, 0
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	size := len(control)
	if size > 0 {
		msgs = append(msgs, control)
	}
	var tooLongs []*Request
	c := s.c
	c.mu.Lock()
	for len(c.pending) > 0 && len(c.underWay) < window && !s.leaving.Load() {
		r := c.pending[0]
		if size > 0 && size+len(r.encoded) > maxGathered {
			break
		}
		c.pending = c.pending[1:]
		if limit := c.welcome.MaxData; r.data > int(limit) {
			tooLongs = append(tooLongs, r)
			continue
		}
		c.underWay[r.id] = r
		msgs = append(msgs, r.encoded)
		size += len(r.encoded)
	}
	limit := int(c.welcome.MaxData)
	if len(tooLongs) > 0 {
		c.room.Broadcast()
	}
	c.mu.Unlock()
	for _, r := range tooLongs {
		r.finish(Result{}, tooLong(r.data, limit))
	}
	return msgs, nil
}

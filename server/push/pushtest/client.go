package pushtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
	"github.com/countersign-go/countersign/token/pushwire"
)

// patience is how long a client waits for what must come. No test waits for it to end.
const patience = 30 * time.Second

// A Client says what it is told to and keeps what it is told. Its methods are for
// the goroutine of the test.
type Client struct {
	t       testing.TB
	conn    *gate
	wire    *pushwire.Conn
	Context gss.Context
	Welcome pushwire.Welcome
	Ended   <-chan error // how the session ended for the server

	id uint64

	mu   sync.Mutex
	list []pushwire.Message // that came, and were not asked for
	end  error
	read int // tokens
	news chan struct{}
}

// Dial connects a principal to the server, by a pipe, and greets it.
func Dial(t testing.TB, s *Server, principal string, hello pushwire.Hello) *Client {
	t.Helper()
	return Connect(t, s, principal).greet(hello)
}

// Dial is as the function; the server stops when ctx ends.
func (s *Server) Dial(ctx context.Context, t testing.TB, principal string) *Client {
	t.Helper()
	return s.connect(ctx, t, principal).greet(pushwire.Hello{})
}

// Connect is Dial without a greeting.
func Connect(t testing.TB, s *Server, principal string) *Client {
	t.Helper()
	return s.connect(context.Background(), t, principal)
}

func (s *Server) connect(ctx context.Context, t testing.TB, principal string) *Client {
	t.Helper()
	ours, theirs := net.Pipe()
	ended := s.ServeConn(ctx, theirs)
	c, err := Establish(t, ours, principal)
	if err != nil {
		t.Fatal(err)
	}
	c.Ended = ended
	return c
}

func (c *Client) greet(hello pushwire.Hello) *Client {
	c.t.Helper()
	if hello.Version == 0 {
		hello.Version = pushwire.Version
	}
	c.Write(hello)
	c.Welcome = Expect[pushwire.Welcome](c)
	return c
}

// A gate is a connection whose reads can be held.
type gate struct {
	net.Conn
	mu   sync.Mutex
	open chan struct{} // closed while it is open
}

func (g *gate) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	<-open
	return n, err
}

// Hold has the client take nothing more, but for what one read gives, until Resume.
func (c *Client) Hold() {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	c.conn.open = make(chan struct{})
}

// Resume ends Hold.
func (c *Client) Resume() {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	close(c.conn.open)
}

// Establish makes a context of a principal over a connection, which is closed with
// the test, and reads what comes from then on.
func Establish(t testing.TB, below net.Conn, principal string) (*Client, error) {
	t.Helper()
	t.Cleanup(func() { _ = below.Close() })
	conn := newGate(below)
	frames := token.NewConn(conn)
	if err := frames.WriteFrame(token.Greeting, nil); err != nil {
		return nil, err
	}
	if err := frames.WriteToken([]byte("I am " + principal)); err != nil {
		return nil, err
	}
	if reply, err := frames.ReadToken(); err != nil || string(reply) != "welcome" {
		return nil, fmt.Errorf("no context: %q, %w", reply, err)
	}
	return newClient(t, conn, frames, &Context{client: principal}), nil
}

// DialWith makes a real context over a connection, and greets the server.
func DialWith(t testing.TB, below net.Conn, mech gss.Initiator, req gss.Request, hello pushwire.Hello) (*Client, error) {
	t.Helper()
	t.Cleanup(func() { _ = below.Close() })
	conn := newGate(below)
	frames := token.NewConn(conn)
	if err := frames.WriteFrame(token.Greeting, nil); err != nil {
		return nil, err
	}
	sec, err := gss.Initiate(t.Context(), frames, mech, req)
	if err != nil {
		return nil, err
	}
	return newClient(t, conn, frames, sec).greet(hello), nil
}

func newGate(below net.Conn) *gate {
	g := &gate{Conn: below, open: make(chan struct{})}
	close(g.open)
	return g
}

func newClient(t testing.TB, conn *gate, frames *token.Conn, sec gss.Context) *Client {
	c := &Client{t: t, conn: conn, Context: sec, wire: pushwire.NewConn(frames, sec, nil), news: make(chan struct{})}
	go c.readAll()
	return c
}

func (c *Client) readAll() {
	for {
		msgs, err := c.wire.Read()
		c.mu.Lock()
		c.read++
		for len(msgs) > 0 && err == nil {
			var m pushwire.Message
			if m, msgs, err = pushwire.Next(msgs); err == nil {
				c.list = append(c.list, detach(m))
			}
		}
		c.end = err
		close(c.news)
		c.news = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// detach gives a message of its own.
func detach(m pushwire.Message) pushwire.Message {
	switch m := m.(type) {
	case pushwire.Result:
		m.MIC = slices.Clone(m.MIC)
		return m
	case pushwire.Publication:
		m.Data = slices.Clone(m.Data)
		return m
	case pushwire.Direct:
		m.Data = slices.Clone(m.Data)
		return m
	}
	return m
}

// Write writes messages in one token.
func (c *Client) Write(msgs ...pushwire.Message) {
	c.t.Helper()
	if err := c.TryWrite(msgs...); err != nil {
		c.t.Fatal(err)
	}
}

// TryWrite is Write for when it may fail.
func (c *Client) TryWrite(msgs ...pushwire.Message) error {
	encoded, err := pushwire.Append(nil, msgs...)
	if err != nil {
		return err
	}
	return c.wire.Write(encoded)
}

// WriteRaw writes a token with whatever is in it.
func (c *Client) WriteRaw(encoded []byte) error { return c.wire.Write(encoded) }

// WriteBytes writes to the connection itself.
func (c *Client) WriteBytes(b []byte) error {
	_, err := c.conn.Write(b)
	return err
}

// Close closes the connection without a word.
func (c *Client) Close() { _ = c.conn.Close() }

// ID gives a number for a request.
func (c *Client) ID() uint64 { c.id++; return c.id }

// await takes the first message that is wanted out of what came, and waits for it.
func (c *Client) await(what string, wanted func(pushwire.Message) bool) (pushwire.Message, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		if i := slices.IndexFunc(c.list, wanted); i >= 0 {
			m := c.list[i]
			c.list = slices.Delete(c.list, i, i+1)
			c.mu.Unlock()
			return m, nil
		}
		end, news, list := c.end, c.news, slices.Clone(c.list)
		c.mu.Unlock()
		if end != nil {
			return nil, fmt.Errorf("waiting for %s: %w; what else came: %.500v", what, end, list)
		}
		select {
		case <-news:
		case <-timeout.C:
			return nil, fmt.Errorf("no %s came, but %.500v", what, list)
		}
	}
}

// Next is the next message of any kind. It fails when the connection has ended.
func (c *Client) Next() (pushwire.Message, error) {
	return c.await("message", func(pushwire.Message) bool { return true })
}

// Expect gives the next message, which has to be of the type.
func Expect[M pushwire.Message](c *Client) M {
	c.t.Helper()
	m, err := c.Next()
	if err != nil {
		c.t.Fatal(err)
	}
	wanted, ok := m.(M)
	if !ok {
		c.t.Fatalf("got %#v, want %T", m, wanted)
	}
	return wanted
}

// Find gives the next message of the type, past others, which stay.
func Find[M pushwire.Message](c *Client) M {
	c.t.Helper()
	var none M
	m, err := c.await(fmt.Sprintf("%T", none), func(m pushwire.Message) bool { _, ok := m.(M); return ok })
	if err != nil {
		c.t.Fatal(err)
	}
	return m.(M)
}

// Result waits for the result of a request, past others, which stay.
func (c *Client) Result(id uint64) pushwire.Result {
	c.t.Helper()
	m, err := c.await(fmt.Sprintf("result %d", id), func(m pushwire.Message) bool {
		r, ok := m.(pushwire.Result)
		return ok && r.ID == id
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return m.(pushwire.Result)
}

// Subscribe subscribes and waits for the result.
func (c *Client) Subscribe(groups ...uint32) pushwire.Result {
	c.t.Helper()
	id := c.ID()
	c.Write(pushwire.SubscribeRequest{ID: id, Groups: groups})
	return c.Result(id)
}

// Leave leaves groups and waits for the result.
func (c *Client) Leave(groups ...uint32) pushwire.Result {
	c.t.Helper()
	id := c.ID()
	c.Write(pushwire.LeaveRequest{ID: id, Groups: groups})
	return c.Result(id)
}

// Publish publishes and waits for the result.
func (c *Client) Publish(data string, groups ...uint32) pushwire.Result {
	c.t.Helper()
	id := c.ID()
	c.Write(pushwire.PublishRequest{ID: id, Groups: groups, Data: []byte(data)})
	return c.Result(id)
}

// Send sends to a user and waits for the result.
func (c *Client) Send(to, data string) pushwire.Result {
	c.t.Helper()
	id := c.ID()
	c.Write(pushwire.SendRequest{ID: id, To: to, Data: []byte(data)})
	return c.Result(id)
}

// Sync has the server answer a ping: what it was to say before has then come.
func (c *Client) Sync() {
	c.t.Helper()
	number := c.ID()
	c.Write(pushwire.Ping{Number: number})
	if _, err := c.await("pong", func(m pushwire.Message) bool { return m == pushwire.Message(pushwire.Pong{Number: number}) }); err != nil {
		c.t.Fatal(err)
	}
}

// Tokens is the number of tokens that came.
func (c *Client) Tokens() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read
}

// Rest gives what came and was not asked for, and forgets it.
func (c *Client) Rest() []pushwire.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	rest := c.list
	c.list = nil
	return rest
}

// Bye says that the client is done, and waits for the server's word and the end.
func (c *Client) Bye() {
	c.t.Helper()
	c.Write(pushwire.Bye{Code: pushwire.Finished})
	if bye := Find[pushwire.Bye](c); bye.Code != pushwire.Finished {
		c.t.Errorf("the server ended with %v", bye)
	}
	if err := <-c.Ended; err != nil {
		c.t.Errorf("the session ended with %v", err)
	}
}

// Expelled waits for the end of the session and gives the server's last word, and
// how it ended for it.
func (c *Client) Expelled() (pushwire.Bye, error) {
	c.t.Helper()
	for {
		m, err := c.Next()
		if err != nil {
			if errors.Is(err, context.Canceled) {
				c.t.Fatal(err)
			}
			_ = c.conn.Close()
			return pushwire.Bye{}, <-c.Ended
		}
		if bye, ok := m.(pushwire.Bye); ok {
			_ = c.conn.Close()
			return bye, <-c.Ended
		}
	}
}

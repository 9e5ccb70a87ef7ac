package push_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A listener has connections without a network: tests take the server's ends.
type listener struct {
	ends chan net.Conn

	mu    sync.Mutex
	down  []string // addresses at which nobody answers
	tried []string // addresses, in turn
}

func listen() *listener { return &listener{ends: make(chan net.Conn)} }

var errNobody = errors.New("nobody answers")

// setDown has nobody answer at these addresses any more.
func (l *listener) setDown(down ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

func (l *listener) attempts() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.tried)
}

func (l *listener) open(ctx context.Context, addr string) (net.Conn, error) {
	l.mu.Lock()
	l.tried = append(l.tried, addr)
	down := slices.Contains(l.down, addr)
	l.mu.Unlock()
	if down {
		return nil, errNobody
	}
	ours, theirs := net.Pipe()
	select {
	case l.ends <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *listener) config() push.Config {
	return push.Config{Client: client.Config{Addr: "server:1", Initiator: new(fake), Target: gss.HostService("push@server"), Open: l.open}}
}

// A peer is the server's side of a connection, by a script.
type peer struct {
	t     testing.TB
	conn  net.Conn
	wire  *pushwire.Conn
	rest  []byte
	token int // number of the token that was read last, from 1

	writing chan struct{} // a Mutex would hold the bubble's clock
}

// other is for another goroutine: one of them reads, both may say something.
func (p *peer) other() *peer {
	return &peer{t: p.t, conn: p.conn, wire: p.wire, writing: p.writing}
}

// accept takes a connection, its context established.
func (l *listener) accept(t testing.TB) *peer {
	t.Helper()
	conn := <-l.ends
	frames := token.NewConn(conn)
	for _, want := range []token.Flags{token.NOOP | token.ContextNext, token.Context} {
		if frame, err := frames.ReadFrame(); err != nil || frame.Flags != want {
			t.Fatalf("frame with %v, %v", frame.Flags, err)
		}
	}
	check(t, frames.WriteFrame(token.Context, []byte("accept")))
	return &peer{t: t, conn: conn, wire: pushwire.NewConn(frames, new(fakeContext), nil), writing: make(chan struct{}, 1)}
}

var welcome = pushwire.Welcome{
	Version: pushwire.Version, Origin: origin("here"), Server: "push/server@R", You: "alice@R", MaxData: 1000, Idle: time.Minute,
	Groups: []pushwire.Group{{Number: 1, Rights: pushwire.Read, Name: "R&D"}},
}

func origin(name string) (o pushwire.Origin) {
	copy(o[:], name)
	return o
}

// welcome takes a connection up to the welcome, with more messages in its token.
func (l *listener) welcome(t testing.TB, more ...pushwire.Message) *peer {
	t.Helper()
	p := l.accept(t)
	if hello, ok := p.read().(pushwire.Hello); !ok || hello.Version != pushwire.Version {
		t.Fatalf("the client begins with %+v", hello)
	}
	p.say(append([]pushwire.Message{welcome}, more...)...)
	return p
}

// say writes messages in one token.
func (p *peer) say(msgs ...pushwire.Message) {
	p.t.Helper()
	b, err := pushwire.Append(nil, msgs...)
	check(p.t, err)
	p.writing <- struct{}{}
	defer func() { <-p.writing }()
	check(p.t, p.wire.Write(b))
}

// next reads a message; nil is the end of the connection.
func (p *peer) next() pushwire.Message {
	p.t.Helper()
	for len(p.rest) == 0 {
		b, err := p.wire.Read()
		if err != nil {
			return nil
		}
		p.rest = slices.Clone(b)
		p.token++
	}
	m, rest, err := pushwire.Next(p.rest)
	check(p.t, err)
	p.rest = rest
	return m
}

// read reads a message that is no ping, and answers those.
func (p *peer) read() pushwire.Message {
	p.t.Helper()
	for {
		m := p.next()
		ping, ok := m.(pushwire.Ping)
		if !ok {
			return m
		}
		p.say(pushwire.Pong(ping))
	}
}

// done does the next request, which it gives.
func (p *peer) done(result pushwire.Result) pushwire.Message {
	p.t.Helper()
	m := p.read()
	result.ID = requestID(p.t, m)
	p.say(result)
	return m
}

func requestID(t testing.TB, m pushwire.Message) uint64 {
	t.Helper()
	switch m := m.(type) {
	case pushwire.SubscribeRequest:
		return m.ID
	case pushwire.LeaveRequest:
		return m.ID
	case pushwire.PublishRequest:
		return m.ID
	case pushwire.SendRequest:
		return m.ID
	case pushwire.SignRequest:
		return m.ID
	case pushwire.WaitRequest:
		return m.ID
	}
	t.Fatalf("%T where a request was due", m)
	return 0
}

// hangUp ends the connection without a word.
func (p *peer) hangUp() { p.conn.Close() }

// published is a publication from an origin, numbered the same in all groups.
func published(from string, seq uint64, groups ...uint32) pushwire.Publication {
	m := pushwire.Publication{Origin: origin(from), Time: time.Unix(1, 0), From: "bob@R", Data: fmt.Appendf(nil, "%s-%d", from, seq)}
	for _, g := range groups {
		m.Stamps = append(m.Stamps, pushwire.Stamp{Group: g, Seq: seq})
	}
	return m
}

func at(from string, group uint32, seq uint64) pushwire.Position {
	return pushwire.Position{Origin: origin(from), Group: group, Seq: seq}
}

func gap(from string, group uint32, after, seq uint64) pushwire.Gap {
	return pushwire.Gap{Origin: origin(from), Group: group, After: after, Seq: seq}
}

// A diary is what a client was told, a line for each event.
type diary chan string

func (d diary) events() push.Events {
	return push.Events{
		Published: func(p push.Publication) { d <- string(p.Data) },
		Sent:      func(m push.Direct) { d <- fmt.Sprintf("sent %s by %s", m.Data, m.From) },
		Entered:   func(who string, groups []uint32) { d <- fmt.Sprint("entered ", who, groups) },
		Left:      func(who string, groups []uint32) { d <- fmt.Sprint("left ", who, groups) },
		Joined:    func(groups []uint32) { d <- fmt.Sprint("joined ", groups) },
		Removed:   func(groups []uint32) { d <- fmt.Sprint("removed ", groups) },
		Lost: func(l push.Loss) {
			if l.DirectsUnknown {
				d <- "directs may be lost"
				return
			}
			d <- fmt.Sprint("lost ", l.Count, l.Directs, l.Groups, l.Unknown)
		},
		Connected: func(w pushwire.Welcome) { d <- "connected" },
		Disconnected: func(err error, in time.Duration) {
			if in > 0 {
				d <- "disconnected"
			} else {
				d <- "disconnected for good"
			}
		},
	}
}

func newDiary() diary { return make(diary, 100) }

// expect reads the next lines.
func (d diary) expect(t testing.TB, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if got := <-d; got != want {
			t.Fatalf("the client was told %q, want %q", got, want)
		}
	}
}

func (d diary) empty(t testing.TB) {
	t.Helper()
	select {
	case got := <-d:
		t.Fatalf("the client was told %q", got)
	default:
	}
}

// dial connects, and gives the server's end, subscribed as the config says
// from the positions on.
func dial(t testing.TB, l *listener, cfg push.Config, positions ...pushwire.Position) (*push.Client, *peer) {
	t.Helper()
	accepted := make(chan *peer, 1)
	go func() {
		p := l.welcome(t)
		if len(cfg.Groups) > 0 {
			p.done(pushwire.Result{Positions: positions})
		}
		accepted <- p
	}()
	c, err := push.Dial(t.Context(), cfg)
	check(t, err)
	return c, <-accepted
}

// end closes a client, whose callbacks are then through.
func end(t testing.TB, c *push.Client, p *peer) {
	t.Helper()
	go func() {
		for p.next() != nil {
		}
		p.hangUp()
	}()
	check(t, c.Close())
	<-c.Done()
	if !errors.Is(c.Err(), push.ErrClosed) {
		t.Errorf("ended by %v", c.Err())
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

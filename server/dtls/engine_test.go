package dtls

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server"
)

// A mixed server is one engine with a listener of TCP and two of DTLS.
type mixed struct {
	tcp       net.Listener
	datagrams [2]*Listener
	stop      context.CancelFunc
	ended     chan error
	log       bytes.Buffer // to be read when it has ended
}

func startMixed(t *testing.T, cfg Config, engine server.Config) (*mixed, *events) {
	t.Helper()
	_, c, es := setUp(t, cfg, nil)
	m := &mixed{ended: make(chan error, 1)}
	log := logrus.New()
	log.SetOutput(&m.log)
	log.SetFormatter(&logrus.JSONFormatter{})
	engine.Log = log
	srv, err := server.New(engine)
	if err != nil {
		t.Fatal(err)
	}
	if m.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	listeners := []net.Listener{&server.Listener{Listener: m.tcp, Service: c.service}}
	transport, err := New(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.datagrams {
		if m.datagrams[i], err = transport.Listen("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, &server.Listener{Listener: m.datagrams[i], Service: c.service})
	}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go func() { m.ended <- srv.Run(ctx, listeners...) }()
	t.Cleanup(stop)
	return m, es
}

func (m *mixed) dialTCP(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", m.tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Sessions by streams and by datagrams, at whichever listener, are of one
// engine: one limit, one count, one drain.
func TestOneEngine(t *testing.T) {
	m, es := startMixed(t, Config{}, server.Config{MaxConnections: 3})
	stream := m.dialTCP(t)
	if _, err := io.WriteString(stream, "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stream, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	first, second := dial(t, m.datagrams[0].Addr()), dial(t, m.datagrams[1].Addr())
	call(t, first, "two")
	call(t, second, "three")

	// Three is all, for either kind.
	if n, err := m.dialTCP(t).Read(make([]byte, 1)); err == nil {
		t.Errorf("a fourth was let in by tcp: %d bytes", n)
	}
	if _, err := dialFrom(t, newSocket(t), m.datagrams[0].Addr(), "alice", testKey); err == nil || !strings.Contains(err.Error(), "CloseNotify") {
		t.Errorf("a fourth got %v by dtls, want an alert", err)
	}
	_ = first.Close()
	es.await(t, Info, "the peer closed")
	for deadline := time.Now().Add(patience); ; { // a place is free once the session has ended
		again := m.dialTCP(t)
		_, _ = io.WriteString(again, "four")
		if _, err := io.ReadFull(again, make([]byte, 4)); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the place that a peer left is not free for a stream")
		}
	}

	m.stop()
	if err := <-m.ended; err != nil {
		t.Error(err)
	}
	if err := second.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the peer was not told of the end: %v", err)
	}
	shutdowns := 0
	numbers := make(map[float64]string)
	for line := range bytes.Lines(m.log.Bytes()) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		switch r["msg"] {
		case "shutting down":
			shutdowns++
		case "session ended", "session closed by shutdown":
			n := r["conn"].(float64)
			if numbers[n] != "" {
				t.Errorf("number %v is of %s and of %v", n, numbers[n], r["peer"])
			}
			numbers[n] = r["peer"].(string)
		case "session failed":
			t.Errorf("%s", line)
		}
	}
	for n := range 4 {
		if numbers[float64(n+1)] == "" {
			t.Errorf("nobody has number %d: %v", n+1, numbers)
		}
	}
	if shutdowns != 1 {
		t.Errorf("%d shutdowns", shutdowns)
	}
}

// The limits of handshakes are those of the transport, at whichever listener
// they are.
func TestListenersShareLimits(t *testing.T) {
	m, es := startMixed(t, Config{MaxPerPrefix: 2, HandshakeTimeout: time.Minute}, server.Config{})
	for i := range 2 {
		silentHello(t, newSocket(t), m.datagrams[i].Addr())
	}
	es.awaitCount(t, 2, Info, "verified")
	silentHello(t, newSocket(t), m.datagrams[0].Addr())
	es.await(t, Warning, "too many handshakes, closed the oldest of 127.0.0.0/24: 1, limit 2")
	m.stop()
	<-m.ended
}

// A slow service answers, and ends, when it is told to.
type slow struct{ asked, answer, end chan struct{} }

func newSlow() slow { return slow{make(chan struct{}), make(chan struct{}), make(chan struct{})} }

func (v slow) Serve(ctx context.Context, s *server.Session) error {
	s.Established()
	buf := make([]byte, MaxMessage)
	for {
		n, err := s.Read(buf)
		if err != nil {
			<-v.end
			return err
		}
		v.asked <- struct{}{}
		<-v.answer
		if _, err := s.Write(buf[:n]); err != nil {
			return err
		}
		s.Done(false)
	}
}

// What is being answered when the server stops, or the listener moves, gets its
// answer, while those who come meanwhile are ignored.
func TestStopWhileAnswering(t *testing.T) {
	for name, end := range map[string]func(s *testServer){
		"stop":     func(s *testServer) { _ = s.Stop() },
		"shutdown": func(s *testServer) { s.Shutdown() },
		"move": func(s *testServer) {
			if err := s.Listen("127.0.0.2:0"); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newSlow()
			s, es := start(t, Config{Grace: patience}, func(c *setup) { c.service, c.engine.Grace = v, patience })
			c := dial(t, s.Addr())
			r, addr := s.current(), s.Addr()
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			<-v.asked
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				end(s)
			}()
			for deadline := time.Now().Add(patience); !r.isDeaf(); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("it still listens")
				}
			}
			if _, err := newSocket(t).WriteTo(testHello(0, 0, nil), addr); err != nil {
				t.Fatal(err)
			}
			close(v.answer)
			if got := receive(t, c); got != "hello" {
				t.Errorf("got %q back", got)
			}
			close(v.end)
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the peer was not told: %v", err)
			}
			<-ended
			es.await(t, Info, "closed by shutdown")
			all, _ := es.snapshot()
			for _, e := range all {
				if e.Kind != Info && e.Kind != Datagram || e.Peer.String() != c.LocalAddr().String() {
					t.Errorf("%v %v: %s", e.Kind, e.Peer, e.Text)
				}
			}
		})
	}
}

// Who is not done by the end of the grace time is cut off.
func TestGraceTimeIsOver(t *testing.T) {
	v := newSlow()
	s, _ := start(t, Config{Grace: time.Millisecond}, func(c *setup) { c.service = v })
	c := dial(t, s.Addr())
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	<-v.asked
	s.Shutdown()
	again, err := net.ListenPacket("udp", s.Addr().String())
	if err != nil {
		t.Errorf("the address is not free: %v", err)
	} else {
		_ = again.Close()
	}
	close(v.answer)
	close(v.end)
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// A connection that is used without an engine makes its handshake by itself.
func TestPlainListener(t *testing.T) {
	transport, err := New(Config{Key: keyOf})
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		_ = l.Close()
		buf := make([]byte, MaxMessage)
		n, err := c.Read(buf)
		if err == nil {
			_, err = c.Write(buf[:n])
		}
		if _, long := c.Write(make([]byte, MaxMessage+1)); long == nil || !strings.Contains(long.Error(), "more than 8155") {
			t.Errorf("a message that cannot be sent: %v", long)
		}
		_ = c.Close()
		served <- err
	}()
	c := dial(t, l.Addr())
	if got := call(t, c, "hello"); got != "hello" {
		t.Errorf("got %q back", got)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the peer was not told: %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("it accepts after it was closed")
	}
}

package gss_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/countersign-go/countersign/gss"
)

var fakeTarget = gss.HostService("echo@server.example")

// streams gives both ends of a stream over a connection's two ends. The
// handshake is to be done.
func streams(t testing.TB, client, server net.Conn) (c, s *gss.Stream) {
	t.Helper()
	c = gss.Client(client, gss.ClientConfig{Mechanism: &fakeMech{}, Target: fakeTarget})
	s = gss.Server(server, gss.ServerConfig{Mechanism: &fakeMech{}})
	t.Cleanup(func() {
		client.Close() // first, so that no end is taken the time to tell
		server.Close()
		c.Close()
		s.Close()
	})
	return c, s
}

// handshake has both ends do their handshakes.
func handshake(t testing.TB, c, s *gss.Stream) {
	t.Helper()
	done := make(chan error)
	go func() { done <- s.Handshake() }()
	if err := errors.Join(c.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
}

func pipeStreams(t testing.TB) (c, s *gss.Stream) {
	t.Helper()
	a, b := net.Pipe()
	c, s = streams(t, a, b)
	handshake(t, c, s)
	return c, s
}

// loopback gives both ends of a TCP connection.
func loopback(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// A Stream is a net.Conn in every respect that x/net has a test for, expired
// deadlines included.
func TestStreamConformance(t *testing.T) {
	for name, connect := range map[string]func(testing.TB) (net.Conn, net.Conn){
		"pipe": func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() },
		"tcp":  loopback,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				a, b := connect(t)
				c, s := streams(t, a, b)
				handshake(t, c, s)
				return c, s, func() {
					a.Close()
					b.Close()
					c.Close()
					s.Close()
				}, nil
			})
		})
	}
}

// The first use establishes the context, from either side and by either call.
func TestStreamHandshakeOnFirstUse(t *testing.T) {
	a, b := net.Pipe()
	c, s := streams(t, a, b)
	if info := c.ConnectionState(); info.Established || info.Mechanism != "" {
		t.Errorf("before the handshake: %+v", info)
	}
	go func() { _, _ = c.Write([]byte("hello")) }()
	buf := make([]byte, 16)
	n, err := s.Read(buf)
	if err != nil || string(buf[:n]) != "hello" {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	for _, stream := range []*gss.Stream{c, s} {
		info := stream.ConnectionState()
		if !info.Established || info.Mechanism != mechFake || info.Local != (stream == c) || info.Flags&gss.DefaultFlags != gss.DefaultFlags {
			t.Errorf("after the handshake: %+v", info)
		}
	}
	if got := s.ConnectionState().Peer().String(); got != "alice" {
		t.Errorf("the server's peer is %q", got)
	}
	if s.RemoteAddr().Network() != "pipe" || s.LocalAddr().Network() != "pipe" {
		t.Error("the addresses are not those of the connection")
	}
}

// What is written arrives, in records of bounded size, whatever the sizes of
// writes and reads.
func TestStreamSizes(t *testing.T) {
	const record = 64<<10 - fakeHeader - 16 - 1
	for _, size := range []int{1, 2, record - 1, record, record + 1, 2*record + 1, 1 << 20} {
		for _, piece := range []int{1000, 64 << 10, 1 << 20} {
			t.Run(fmt.Sprintf("write=%d/read=%d", size, piece), func(t *testing.T) {
				c, s := pipeStreams(t)
				msg := make([]byte, size)
				for i := range msg {
					msg[i] = byte(i ^ i>>8 ^ i>>16)
				}
				go func() {
					if n, err := c.Write(msg); n != size || err != nil {
						t.Errorf("wrote %d, %v", n, err)
					}
					if err := c.CloseWrite(); err != nil {
						t.Error(err)
					}
				}()
				var got []byte
				buf := make([]byte, piece)
				for {
					n, err := s.Read(buf)
					got = append(got, buf[:n]...)
					if err == io.EOF {
						break
					}
					if err != nil || n == 0 {
						t.Fatalf("read %d, %v", n, err)
					}
				}
				if !bytes.Equal(got, msg) {
					t.Errorf("%d octets came, not those %d that were sent", len(got), size)
				}
			})
		}
	}
}

// Each direction ends for itself, and only by its sender's word.
func TestStreamHalfClose(t *testing.T) {
	c, s := pipeStreams(t)
	go func() {
		_, _ = c.Write([]byte("question"))
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(s)
	if string(got) != "question" || err != nil {
		t.Fatalf("read %q, %v", got, err)
	}
	if n, err := c.Write([]byte("more")); n != 0 || err == nil {
		t.Errorf("a write after CloseWrite: %d, %v", n, err)
	}
	go func() {
		_, _ = s.Write([]byte("answer"))
		_ = s.Close()
	}()
	if got, err = io.ReadAll(c); string(got) != "answer" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if n, err := s.Read(make([]byte, 1)); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read after Close: %d, %v", n, err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("closing after the peer did: %v", err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
	if !c.ConnectionState().Established {
		t.Error("the connection state went with the connection")
	}
}

// A cut connection is not an end, wherever it is cut.
func TestStreamCut(t *testing.T) {
	c, s := pipeStreams(t)
	go func() {
		_, _ = c.Write([]byte("pay 100"))
		c.NetConn().Close()
	}()
	got, err := io.ReadAll(s)
	if string(got) != "pay 100" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := s.Read(make([]byte, 8)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the next read: %v", err)
	}
}

// Neither end goes on with a context that lacks what a stream rests on, and a
// server bound to a channel takes no context that is not.
func TestStreamRefusesContext(t *testing.T) {
	bound := &gss.ChannelBindings{ApplicationData: []byte("tls-exporter:0123")}
	other := &gss.ChannelBindings{ApplicationData: []byte("tls-exporter:4567")}
	for _, tt := range []struct {
		name           string
		client, server fakeMech
		cb, sb         *gss.ChannelBindings
		clientErr      error
		serverErr      error
	}{
		{name: "wrong password", client: fakeMech{password: "x"}, clientErr: gss.ErrFailure, serverErr: gss.ErrUnauthorized},
		{name: "not mutual", server: fakeMech{grants: gss.DefaultFlags &^ gss.Mutual}, clientErr: gss.ErrUnauthorized, serverErr: gss.ErrUnauthorized},
		{name: "not sealed", server: fakeMech{grants: gss.DefaultFlags &^ gss.Confidentiality}, clientErr: gss.ErrUnauthorized, serverErr: gss.ErrUnauthorized},
		{name: "no integrity", server: fakeMech{grants: gss.DefaultFlags &^ gss.Integrity}, clientErr: gss.ErrUnauthorized, serverErr: gss.ErrUnauthorized},
		{name: "no replay detection", server: fakeMech{grants: gss.DefaultFlags &^ gss.ReplayDetection}, clientErr: gss.ErrUnauthorized, serverErr: gss.ErrUnauthorized},
		{name: "no sequencing", client: fakeMech{without: gss.Sequencing}, clientErr: gss.ErrUnauthorized, serverErr: gss.ErrUnauthorized},
		{name: "bound", cb: bound, sb: bound},
		{name: "client alone bound", cb: bound},
		{name: "server alone bound", sb: bound, serverErr: gss.ErrBadBindings},
		{name: "otherwise bound", cb: other, sb: bound, clientErr: gss.ErrFailure, serverErr: gss.ErrBadBindings},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := net.Pipe()
			defer a.Close()
			defer b.Close()
			c := gss.Client(a, gss.ClientConfig{Mechanism: &tt.client, Target: fakeTarget, Bindings: tt.cb})
			s := gss.Server(b, gss.ServerConfig{Mechanism: &tt.server, Bindings: tt.sb})
			done := make(chan error)
			go func() { done <- s.Handshake() }()
			clientErr := c.Handshake()
			serverErr := <-done
			if !errors.Is(clientErr, tt.clientErr) {
				t.Errorf("client: %v, want %v", clientErr, tt.clientErr)
			}
			if !errors.Is(serverErr, tt.serverErr) {
				t.Errorf("server: %v, want %v", serverErr, tt.serverErr)
			}
			if serverErr != nil {
				if n, err := s.Write([]byte("secret")); n != 0 || err != serverErr {
					t.Errorf("a write afterwards: %d, %v", n, err)
				}
				if s.ConnectionState().Established {
					t.Error("the refused context is shown as established")
				}
			}
		})
	}
}

func TestStreamConfigErrors(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	for name, s := range map[string]*gss.Stream{
		"no initiator": gss.Client(a, gss.ClientConfig{Target: fakeTarget}),
		"no target":    gss.Client(a, gss.ClientConfig{Mechanism: &fakeMech{}}),
		"no acceptor":  gss.Server(b, gss.ServerConfig{}),
	} {
		if err := s.Handshake(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

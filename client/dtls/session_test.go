package dtls_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/client/dtls"
	"github.com/countersign-go/countersign/server"
	serverdtls "github.com/countersign-go/countersign/server/dtls"
	"github.com/countersign-go/countersign/server/echo"
)

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

var testKey = []byte("0123456789abcdef")

// A testServer is an engine that knows alice.
type testServer struct {
	net.Listener
	stop func() // ends the sessions
}

func startServer(t *testing.T, hint string, ack bool) *testServer {
	t.Helper()
	return serve(t, hint, echo.New(echo.Config{Ack: ack}))
}

func serve(t *testing.T, hint string, service server.Service) *testServer {
	t.Helper()
	return serveWith(t, hint, service, server.Config{})
}

func serveWith(t *testing.T, hint string, service server.Service, cfg server.Config) *testServer {
	t.Helper()
	transport, err := serverdtls.New(serverdtls.Config{
		Key:  func(identity string) ([]byte, bool) { return testKey, identity == "alice" },
		Hint: hint,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	engine, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := engine.Run(ctx, &server.Listener{Listener: l, Service: service}); err != nil {
			t.Error(err)
		}
	}()
	stop := func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return &testServer{l, stop}
}

func alice(addr string) dtls.Config {
	return dtls.Config{Addr: addr, Identity: "alice", Key: testKey, Timeout: patience}
}

func dial(t *testing.T, cfg dtls.Config) *dtls.Session {
	t.Helper()
	s, err := dtls.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// stepOf says at which step a session failed.
func stepOf(err error) client.Step {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.Step
	}
	return ""
}

func TestEcho(t *testing.T) {
	srv := startServer(t, "who is it", false)
	var mu sync.Mutex
	var way [2][]byte
	cfg := alice(srv.Addr().String())
	cfg.Trace = func(sent bool, datagram []byte) {
		mu.Lock()
		defer mu.Unlock()
		i := 0
		if sent {
			i = 1
		}
		way[i] = append(way[i], datagram...)
	}
	s := dial(t, cfg)
	if s.Hint() != "who is it" || s.Suite() != "ECDHE_PSK_CHACHA20_POLY1305_SHA256" || s.RemoteAddr().String() != srv.Addr().String() {
		t.Errorf("hint %q, suite %q, with %v", s.Hint(), s.Suite(), s.RemoteAddr())
	}
	for _, msg := range []string{"h", "hello, secret", strings.Repeat("m", dtls.MaxMessage)} {
		if _, err := s.Echo([]byte(msg)); err != nil {
			t.Errorf("%d bytes: %v", len(msg), err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for i, bytesOn := range way {
		if len(bytesOn) < dtls.MaxMessage || bytes.Contains(bytesOn, []byte("secret")) {
			t.Errorf("way %d: %d bytes seen, or the message in the clear", i, len(bytesOn))
		}
	}
	for _, n := range []int{0, dtls.MaxMessage + 1} {
		if _, err := s.Echo(make([]byte, n)); stepOf(err) != client.Sending {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestAsk(t *testing.T) {
	srv := startServer(t, "", true)
	s := dial(t, alice(srv.Addr().String()))
	answer, err := s.Ask([]byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(answer), "to 127.0.0.1:") || !strings.HasSuffix(string(answer), ": ACK") {
		t.Errorf("got %q", answer)
	}
}

// A server that acknowledges is no failure, and names this client.
func TestEchoAcknowledged(t *testing.T) {
	srv := startServer(t, "", true)
	cfg := alice(srv.Addr().String())
	cfg.Resend = patience // the first answer is taken
	s := dial(t, cfg)
	for range 2 {
		answer, err := s.Echo([]byte("hello"))
		if who, ok := dtls.Acknowledgement(answer); err != nil || !ok || who.String() != s.LocalAddr().String() {
			t.Errorf("got %q, %v; this is %v", answer, err, s.LocalAddr())
		}
	}
}

func TestAcknowledgement(t *testing.T) {
	for _, good := range []string{"to 192.0.2.1:5684: ACK", "to [2001:db8::1]:1: ACK", "to [fe80::1%eth0]:5684: ACK"} {
		if who, ok := dtls.Acknowledgement([]byte(good)); !ok || !who.IsValid() {
			t.Errorf("%q is none", good)
		}
	}
	for _, bad := range []string{"", "to : ACK", "to ACK", "ACK", "to 192.0.2.1: ACK", "to 192.0.2.1:0x1: ACK", "to host:5684: ACK", "to 192.0.2.1:5684: NAK", "so 192.0.2.1:5684: ACK", "to 192.0.2.1:5684: ACK\n"} {
		if who, ok := dtls.Acknowledgement([]byte(bad)); ok {
			t.Errorf("%q is one, of %v", bad, who)
		}
	}
}

// liar is a service that answers something else.
type liar struct{}

func (liar) Serve(_ context.Context, s *server.Session) error {
	s.Established()
	buf := make([]byte, dtls.MaxMessage)
	for {
		if _, err := s.Read(buf); err != nil {
			return nil
		}
		if _, err := s.Write([]byte("something else")); err != nil {
			return err
		}
		s.Done(false)
	}
}

func TestEchoTellsOfOtherBytes(t *testing.T) {
	srv := serve(t, "", liar{})
	cfg := alice(srv.Addr().String())
	cfg.Timeout, cfg.Resend = 2*time.Second, 50*time.Millisecond // the handshake's, too
	s := dial(t, cfg)
	answer, err := s.Echo([]byte("hello"))
	if d, ok := errors.AsType[*client.EchoError](err); !ok || string(d.Sent) != "hello" || string(d.Received) != "something else" || string(answer) != "something else" || stepOf(err) != client.Receiving {
		t.Errorf("got %q, %v", answer, err)
	}
}

func TestRefused(t *testing.T) {
	srv := startServer(t, "", false)
	for name, change := range map[string]func(*dtls.Config){
		"key":      func(c *dtls.Config) { c.Key = []byte("not alice's key!") },
		"identity": func(c *dtls.Config) { c.Identity = "mallory" },
	} {
		cfg := alice(srv.Addr().String())
		change(&cfg)
		if _, err := dtls.Dial(t.Context(), cfg); !errors.Is(err, dtls.ErrRefused) || stepOf(err) != client.Connecting {
			t.Errorf("wrong %s: %v", name, err)
		}
	}
}

// A server that is full says so, more or less.
func TestBusy(t *testing.T) {
	srv := serveWith(t, "", echo.New(echo.Config{}), server.Config{MaxConnections: 1})
	s := dial(t, alice(srv.Addr().String()))
	if _, err := s.Echo([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := dtls.Dial(t.Context(), alice(srv.Addr().String())); !errors.Is(err, dtls.ErrBusy) || stepOf(err) != client.Connecting {
		t.Errorf("got %v, want %v", err, dtls.ErrBusy)
	}
}

func TestNobodyThere(t *testing.T) {
	sock, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := alice(sock.LocalAddr().String())
	cfg.Timeout = 50 * time.Millisecond
	if _, err := dtls.Dial(t.Context(), cfg); !errors.Is(err, os.ErrDeadlineExceeded) || stepOf(err) != client.Connecting {
		t.Errorf("a silent port: %v", err)
	}
	_ = sock.Close()
	cfg.Timeout = patience
	if _, err := dtls.Dial(t.Context(), cfg); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dtls.Dial(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestServerCloses(t *testing.T) {
	srv := startServer(t, "", false)
	s := dial(t, alice(srv.Addr().String()))
	if _, err := s.Echo([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	srv.stop()
	if _, err := s.Echo([]byte("hello")); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want that the server closed", err)
	}
}

func TestClose(t *testing.T) {
	srv := startServer(t, "", false)
	s := dial(t, alice(srv.Addr().String()))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Echo([]byte("hello")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want that it is closed", err)
	}
}

func TestConfigRefused(t *testing.T) {
	for name, change := range map[string]func(*dtls.Config){
		"address":       func(c *dtls.Config) { c.Addr = "nowhere" },
		"identity":      func(c *dtls.Config) { c.Identity = "" },
		"long identity": func(c *dtls.Config) { c.Identity = strings.Repeat("i", 129) },
		"key":           func(c *dtls.Config) { c.Key = nil },
		"weak key":      func(c *dtls.Config) { c.Key = testKey[1:] },
		"long key":      func(c *dtls.Config) { c.Key = make([]byte, 65) },
		"timeout":       func(c *dtls.Config) { c.Timeout = -1 },
	} {
		cfg := alice("127.0.0.1:1")
		change(&cfg)
		if err := cfg.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := dtls.Dial(t.Context(), cfg); err == nil || stepOf(err) != "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	cfg := alice("127.0.0.1:1")
	cfg.Key, cfg.WeakKey = testKey[:6], true
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

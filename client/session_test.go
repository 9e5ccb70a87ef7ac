package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/client/clienttest"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// TestFrames looks at the bytes a client sends: the greeting with the context
// token, the message's frame with the flags of each kind of protection, the end.
// Each is one write, so that nothing waits for an acknowledgement.
func TestFrames(t *testing.T) {
	r := newRealm(t)
	for _, tc := range []struct {
		name      string
		change    func(*client.Config)
		greeting  string
		flags     byte
		readable  bool // the message can be seen in its frame
		signature bool
	}{
		{name: "default", greeting: "\x11\x00\x00\x00\x00", flags: 0xe4, signature: true},
		{name: "nw", change: func(c *client.Config) { c.Unwrapped = true }, greeting: "\x11\x00\x00\x00\x00", flags: 0xc4, readable: true, signature: true},
		{name: "nx", change: func(c *client.Config) { c.Unencrypted = true }, greeting: "\x11\x00\x00\x00\x00", flags: 0xa4, readable: true, signature: true},
		{name: "nm", change: func(c *client.Config) { c.NoMIC = true }, greeting: "\x11\x00\x00\x00\x00", flags: 0x64},
		{name: "nw nx nm", change: func(c *client.Config) { c.Unwrapped, c.Unencrypted, c.NoMIC = true, true, true }, greeting: "\x11\x00\x00\x00\x00", flags: 0x04, readable: true},
		{name: "na", change: func(c *client.Config) { c.Initiator, c.Target, c.Unauthenticated = nil, gss.Name{}, true }, greeting: "\x01\x00\x00\x00\x00", flags: 0x04, readable: true},
		{name: "v1", change: func(c *client.Config) { c.Version = token.V1 }, signature: true},
		{name: "nomutual", change: func(c *client.Config) { c.Flags = gss.ReplayDetection }, greeting: "\x11\x00\x00\x00\x00", flags: 0xe4, signature: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server, cfg := r.serve(t, clienttest.Honest)
			if tc.change != nil {
				tc.change(&cfg)
			}
			raw, err := net.Dial("tcp", server.Addr())
			check(t, err)
			conn := &recorder{Conn: raw}
			session, err := client.New(t.Context(), conn, cfg)
			check(t, err)
			mic, err := session.Sign([]byte("attack at dawn"))
			check(t, err)
			if got := mic != nil; got != tc.signature {
				t.Errorf("MIC returned: %v, want %v", got, tc.signature)
			}
			check(t, session.Close())

			writes := conn.writes
			if cfg.Version != token.V1 {
				if got := string(writes[0][:5]); got != tc.greeting {
					t.Errorf("greeting is %x, want %x", got, tc.greeting)
				}
				if got := string(writes[len(writes)-1]); got != "\x01\x00\x00\x00\x00" {
					t.Errorf("end is %x", got)
				}
				writes = writes[:len(writes)-1]
			}
			writes = writes[1:] // the greeting, the AP-REQ or both
			if len(writes) != 1 {
				t.Fatalf("the message took %d writes, want 1", len(writes))
			}
			if cfg.Version != token.V1 && writes[0][0] != tc.flags {
				t.Errorf("message has flags %02x, want %02x", writes[0][0], tc.flags)
			}
			if got := bytes.Contains(writes[0], []byte("attack at dawn")); got != tc.readable {
				t.Errorf("message readable: %v, want %v", got, tc.readable)
			}
			server.Close()
			if err := server.Err(); err != nil {
				t.Errorf("server: %v", err)
			}
		})
	}
}

// recorder keeps what is written, write by write.
type recorder struct {
	net.Conn
	writes [][]byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.writes = append(r.writes, bytes.Clone(p))
	return r.Conn.Write(p)
}

func TestSizes(t *testing.T) {
	r := newRealm(t)
	server, cfg := r.serve(t, clienttest.Honest)
	session, err := client.Dial(t.Context(), cfg)
	check(t, err)
	for _, size := range []int{0, 1, 4096, 1 << 20, 0} {
		msg := bytes.Repeat([]byte{0xa5}, size)
		if _, err := session.Sign(msg); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
	_, err = session.Sign(make([]byte, token.DefaultMaxLength))
	tooLong, ok := errors.AsType[*client.TooLongError](err)
	if !ok || tooLong.Length != token.DefaultMaxLength || tooLong.Limit >= token.DefaultMaxLength {
		t.Fatalf("a message that fits no frame: %v", err)
	}
	session.Close()
	// The longest that is said to fit does, and one byte more does not.
	session, err = client.Dial(t.Context(), cfg)
	check(t, err)
	if _, err := session.Sign(make([]byte, tooLong.Limit)); err != nil {
		t.Errorf("the longest message: %v", err)
	}
	if _, err = session.Sign(make([]byte, tooLong.Limit+1)); err == nil {
		t.Error("one byte more than the longest message went out")
	}
	session.Close()
	server.Close()
	if _, messages := server.Counts(); messages != 6 {
		t.Errorf("server answered %d messages, want 6", messages)
	}
}

// TestHostile has every fault of a server end in an error that says at which
// step and why, and none in a MIC.
func TestHostile(t *testing.T) {
	r := newRealm(t)
	replay := gss.DefaultFlags &^ gss.Sequencing
	for _, tc := range []struct {
		fault clienttest.Fault
		flags gss.Flags
		step  client.Step
		is    error  // nil: of as
		text  string // part of the error
		calls int    // messages that go well first
	}{
		{fault: clienttest.Garbage, step: client.Initializing, text: "longer than the limit"},
		{fault: clienttest.Huge, step: client.Initializing, text: "frame of 4294967295 bytes is longer than the limit"},
		{fault: clienttest.Silent, step: client.Initializing, is: os.ErrDeadlineExceeded, text: "did not answer within 200ms"},
		{fault: clienttest.Closing, step: client.Initializing, text: "closed"},
		{fault: clienttest.Mute, step: client.Receiving, is: os.ErrDeadlineExceeded, text: "did not answer within 1s"},
		{fault: clienttest.Leaving, step: client.Receiving, is: io.EOF, text: "the server closed the connection where its answer was due"},
		{fault: clienttest.WrongMIC, step: client.Verifying, is: gss.ErrBadMIC},
		{fault: clienttest.OtherMIC, step: client.Verifying, is: gss.ErrBadMIC},
		{fault: clienttest.ReplayedMIC, flags: replay, step: client.Verifying, is: gss.ErrDuplicateToken, calls: 1},
		{fault: clienttest.SkippedMIC, step: client.Verifying, is: gss.ErrGapToken},
		{fault: clienttest.SkippedMIC, flags: replay, calls: 3},
		{fault: clienttest.NoMIC, step: client.Receiving, text: "the server answered by a frame with NOOP, not MIC"},
		{fault: clienttest.HugeMIC, step: client.Receiving, text: "longer than the limit"},
		{fault: clienttest.LateError, step: client.Initializing, text: "it refused the context"},
	} {
		t.Run(fmt.Sprint(tc.fault, tc.flags), func(t *testing.T) {
			_, cfg := r.serve(t, tc.fault)
			cfg.Flags = tc.flags
			switch tc.fault {
			case clienttest.Silent:
				cfg.Timeout = 200 * time.Millisecond
			case clienttest.Mute: // time enough for the context to stand
				cfg.Timeout = time.Second
			}
			session, err := client.Dial(t.Context(), cfg)
			if err == nil {
				defer session.Close()
				for range tc.calls {
					_, err := session.Sign([]byte("m"))
					check(t, err)
				}
				if tc.step == "" {
					return
				}
				var mic []byte
				if mic, err = session.Sign([]byte("m")); mic != nil {
					t.Error("a MIC came with the error")
				}
				if _, again := session.Sign([]byte("m")); again != err {
					t.Errorf("the failure does not stick: %v, then %v", err, again)
				}
			}
			ce, ok := errors.AsType[*client.Error](err)
			if !ok {
				t.Fatalf("error is %v", err)
			}
			if ce.Step != tc.step {
				t.Errorf("failed %s, want %s: %v", ce.Step, tc.step, err)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("error is %v, want %v", err, tc.is)
			}
			if !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error is %q, want %q in it", err, tc.text)
			}
		})
	}
}

// TestOldReply has a server that cannot read the AP-REQ answer with the AP-REP
// of an earlier context: mutual authentication must see it.
func TestOldReply(t *testing.T) {
	r := newRealm(t)
	_, cfg := r.serve(t, clienttest.OldReply)
	first, err := client.Dial(t.Context(), cfg)
	check(t, err)
	defer first.Close()
	_, err = client.Dial(t.Context(), cfg)
	ge, ok := errors.AsType[*gss.Error](err)
	if !ok || ge.Remote {
		t.Errorf("error is %v", err)
	}
}

func TestCancel(t *testing.T) {
	r := newRealm(t)
	_, cfg := r.serve(t, clienttest.Silent)
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Trace = &client.Trace{TokenAwaited: cancel}
	if _, err := client.Dial(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// TestCloseInterrupts closes a session while a message waits for its answer.
func TestCloseInterrupts(t *testing.T) {
	r := newRealm(t)
	_, cfg := r.serve(t, clienttest.Mute)
	session, err := client.Dial(t.Context(), cfg)
	check(t, err)
	failed := make(chan error)
	go func() {
		_, err := session.Sign([]byte("m"))
		failed <- err
	}()
	session.Close()
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("error is %v", err)
	}
	if err := session.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestConcurrent(t *testing.T) {
	r := newRealm(t)
	server, cfg := r.serve(t, clienttest.Honest)
	session, err := client.Dial(t.Context(), cfg)
	check(t, err)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := session.Sign(fmt.Appendf(nil, "from %d", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	check(t, session.Close())
	server.Close()
	if _, messages := server.Counts(); messages != 400 {
		t.Errorf("server answered %d messages, want 400", messages)
	}
}

// TestAllocations holds client and server of a session together to no
// allocation a message.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := newRealm(t)
	for _, unwrapped := range []bool{false, true} {
		_, cfg := r.serve(t, clienttest.Honest)
		cfg.Unwrapped = unwrapped
		session, err := client.Dial(t.Context(), cfg)
		check(t, err)
		msg := make([]byte, 1024)
		if n := testing.AllocsPerRun(200, func() {
			if _, err := session.Sign(msg); err != nil {
				t.Fatal(err)
			}
		}); n >= 1 {
			t.Errorf("unwrapped %v: %v allocations a message", unwrapped, n)
		}
		session.Close()
	}
}

func TestConfig(t *testing.T) {
	r := newRealm(t)
	good := client.Config{Addr: "localhost:4444", Initiator: r.initiator, Target: gss.HostService("host@localhost")}
	check(t, good.Validate())
	for name, change := range map[string]func(*client.Config){
		"no port":              func(c *client.Config) { c.Addr = "localhost" },
		"no initiator":         func(c *client.Config) { c.Initiator = nil },
		"no target":            func(c *client.Config) { c.Target = gss.Name{} },
		"negative timeout":     func(c *client.Config) { c.Timeout = -1 },
		"negative maximum":     func(c *client.Config) { c.MaxMessage = -1 },
		"no such version":      func(c *client.Config) { c.Version = 3 },
		"version 1 unwrapped":  func(c *client.Config) { c.Version, c.Unwrapped = token.V1, true },
		"unauthenticated, who": func(c *client.Config) { c.Unauthenticated = true },
	} {
		cfg := good
		change(&cfg)
		if cfg.Validate() == nil {
			t.Errorf("%s: valid", name)
		}
		if _, err := client.Dial(t.Context(), cfg); err == nil {
			t.Errorf("%s: dialled", name)
		}
	}
}

func TestRefused(t *testing.T) {
	r := newRealm(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	listener.Close()
	_, err = client.Dial(t.Context(), client.Config{Addr: listener.Addr().String(), Initiator: r.initiator, Target: gss.HostService("host@localhost")})
	if ce, ok := errors.AsType[*client.Error](err); !ok || ce.Step != client.Connecting {
		t.Errorf("error is %v", err)
	}
}

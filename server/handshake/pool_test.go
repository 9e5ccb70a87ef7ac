package handshake_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/server/handshake"
)

// pipe is a connection whose handshake is one byte from the peer: "y" for a good
// one, anything else for a bad one.
type pipe struct{ net.Conn }

var errNo = errors.New("the peer said no")

func (p pipe) HandshakeContext(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { p.Close() })()
	var b [1]byte
	if _, err := io.ReadFull(p, b[:]); err != nil {
		return err
	}
	if b[0] != 'y' {
		return errNo
	}
	return nil
}

func newPool(t *testing.T, cfg handshake.Config) *handshake.Pool {
	t.Helper()
	p, err := handshake.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A completion carries the session, how it ended, the operation, the time it took
// and the program's own value; the connection of a failed one is closed.
func TestCompletions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan handshake.Completion, 4)
		pool := newPool(t, handshake.Config{Timeout: time.Minute, Complete: func(c handshake.Completion) { done <- c }})
		for _, tt := range []struct {
			says  string
			after time.Duration
			start func(handshake.Conn, any) error
			op    handshake.Operation
			err   error
			takes time.Duration
		}{
			{"y", 2 * time.Second, pool.Accept, handshake.Accept, nil, 2 * time.Second},
			{"n", 3 * time.Second, pool.Connect, handshake.Connect, errNo, 3 * time.Second},
			{"y", 2 * time.Minute, pool.Accept, handshake.Accept, handshake.ErrTimeout, time.Minute},
		} {
			ours, theirs := net.Pipe()
			value := new(int)
			if err := tt.start(pipe{ours}, value); err != nil {
				t.Fatal(err)
			}
			go func() {
				time.Sleep(tt.after)
				io.WriteString(theirs, tt.says)
			}()
			c := <-done
			if c.Conn != (pipe{ours}) || !errors.Is(c.Err, tt.err) || c.Operation != tt.op || c.Duration != tt.takes || c.Value != value {
				t.Errorf("%s: completion %+v", tt.says, c)
			}
			if tt.err != nil {
				if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("%s: the connection is open: %v", tt.says, err)
				}
			}
			if n := pool.Pending(); n != 0 {
				t.Errorf("%d pending", n)
			}
			time.Sleep(tt.after)
		}
		pool.Close()
	})
}

// Silent peers take no worker: a good one is through at once. Past the bound
// nothing is started, and closing tells every completion there is to tell.
func TestSilentPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const silent = 50
		var mu sync.Mutex
		var closed, timedOut int
		good := make(chan struct{})
		pool := newPool(t, handshake.Config{
			Workers: 1, MaxPending: silent + 1, Timeout: time.Minute,
			Complete: func(c handshake.Completion) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case c.Err == nil:
					close(good)
				case errors.Is(c.Err, handshake.ErrTimeout):
					timedOut++
				case errors.Is(c.Err, handshake.ErrClosed):
					closed++
				default:
					t.Error(c.Err)
				}
			},
		})
		for range silent {
			ours, _ := net.Pipe()
			if err := pool.Accept(pipe{ours}, nil); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		ours, theirs := net.Pipe()
		if err := pool.Accept(pipe{ours}, nil); err != nil {
			t.Fatal(err)
		}
		over, _ := net.Pipe()
		if err := pool.Accept(pipe{over}, nil); err != handshake.ErrBusy {
			t.Errorf("past the bound: %v", err)
		}
		go theirs.Write([]byte("y"))
		<-good
		if took := time.Since(began); took != 0 {
			t.Errorf("the good peer took %v", took)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		ours, _ = net.Pipe()
		if err := pool.Accept(pipe{ours}, nil); err != nil {
			t.Errorf("after the silent ones timed out: %v", err)
		}
		pool.Close()
		if timedOut != silent || closed != 1 {
			t.Errorf("%d timed out, %d closed", timedOut, closed)
		}
		if err := pool.Accept(pipe{over}, nil); err != handshake.ErrClosed {
			t.Errorf("on a closed pool: %v", err)
		}
		pool.Close() // does nothing
	})
}

// No more completions are told at once than there are workers, and what waits
// for one counts as pending.
func TestWorkersBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		release := make(chan struct{})
		pool := newPool(t, handshake.Config{Workers: 3, MaxPending: 10, Complete: func(handshake.Completion) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-release
			now.Add(-1)
		}})
		for i := range 13 {
			ours, theirs := net.Pipe()
			if err := pool.Accept(pipe{ours}, i); err != nil {
				t.Fatal(i, err)
			}
			go theirs.Write([]byte("y"))
			synctest.Wait()
		}
		ours, _ := net.Pipe()
		if err := pool.Accept(pipe{ours}, nil); err != handshake.ErrBusy {
			t.Errorf("with the queue full: %v", err)
		}
		close(release)
		pool.Close()
		if most.Load() != 3 {
			t.Errorf("%d completions at once", most.Load())
		}
	})
}

func TestConfig(t *testing.T) {
	told := func(handshake.Completion) {}
	for _, cfg := range []handshake.Config{{}, {Complete: told, Workers: -1}, {Complete: told, MaxPending: -1}, {Complete: told, Timeout: -1}} {
		if _, err := handshake.New(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
	if ops := fmt.Sprint(handshake.Accept, handshake.Connect); ops != "accept connect" {
		t.Error(ops)
	}
}

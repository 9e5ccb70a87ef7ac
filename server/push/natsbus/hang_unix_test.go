//go:build unix

package natsbus_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/countersign-go/countersign/server/push/natsbus"
	"github.com/countersign-go/countersign/server/push/natsbus/natstest"
)

// A server of NATS that hangs takes nothing: publishing says so, and never waits.
func TestNATSHangs(t *testing.T) {
	c := natstest.New(t, 1)
	a := join(t, c.URLs())
	if err := c.Nodes[0].Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	msg := make([]byte, 64<<10)
	var refused error
	for i := 0; refused == nil && i < 10000; i++ {
		refused = a.Publish([]uint32{1}, msg)
	}
	wantErr(t, "publishing without end", refused, natsbus.ErrBusy)
	done := make(chan struct{})
	go func() {
		a.WantGroup(2, true)
		a.Close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("a server that hangs held up Close")
	}
}

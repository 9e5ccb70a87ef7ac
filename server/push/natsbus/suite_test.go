package natsbus_test

import (
	"testing"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/natsbus"
	"github.com/countersign-go/countersign/server/push/natsbus/natstest"
	"github.com/countersign-go/countersign/server/push/pushtest"
)

// NATS, with a node for each server, passes what every bus has to.
func TestSuite(t *testing.T) {
	c := natstest.New(t, 3)
	pushtest.TestBus(t, func(t *testing.T) (push.Bus, push.Bus, push.Bus) {
		var buses [3]push.Bus
		for i, node := range c.Nodes {
			bus, err := natsbus.New(natsbus.Config{Servers: node.URL(), MaxData: 64 << 10})
			if err != nil {
				t.Fatal(err)
			}
			buses[i] = bus
		}
		return buses[0], buses[1], buses[2]
	})
}

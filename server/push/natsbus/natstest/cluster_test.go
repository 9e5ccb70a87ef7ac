package natstest_test

import (
	"testing"

	"github.com/countersign-go/countersign/server/push/natsbus/natstest"
)

// A cluster forms, falls apart, and forms again: each step waits until the nodes say so.
func TestCluster(t *testing.T) {
	c := natstest.New(t, 3)
	c.Isolate(1)
	c.Heal()
	url := c.Nodes[2].URL()
	c.Nodes[2].Kill()
	c.Wait()
	c.Nodes[2].Start()
	c.Wait()
	if c.Nodes[2].URL() != url {
		t.Errorf("node at %s came back at %s", url, c.Nodes[2].URL())
	}
}

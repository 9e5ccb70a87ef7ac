package push_test

import (
	"testing"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
)

// Servers joined in memory pass what every bus has to.
func TestBus(t *testing.T) {
	pushtest.TestBus(t, func(*testing.T) (a, b, c push.Bus) {
		var n pushtest.Network
		return n.NewBus(), n.NewBus(), n.NewBus()
	})
}

package natstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
)

// readyTimeout is how long a node may take to start, and a cluster to form.
const readyTimeout = 30 * time.Second

// A Cluster is some NATS servers and the routes between them.
type Cluster struct {
	Nodes  []*Node
	t      testing.TB
	routes []*route // one for each two nodes
}

// New starts a cluster of n nodes, each with the lines given in its
// configuration, and returns when all know each other.
func New(t testing.TB, n int, config ...string) *Cluster {
	t.Helper()
	mitrealm.Need(t, "nats-server")
	c := &Cluster{t: t}
	for i := range n {
		node := &Node{t: t, dir: t.TempDir(), number: i, config: config}
		// The first in the list connects to those after it.
		for j := range i {
			r := newRoute(t, j, i)
			c.routes = append(c.routes, r)
			c.Nodes[j].to = append(c.Nodes[j].to, r)
		}
		c.Nodes = append(c.Nodes, node)
	}
	// The last starts first, so that routes lead to where somebody is.
	for _, node := range slices.Backward(c.Nodes) {
		node.cluster = c
		node.Start()
	}
	c.Wait()
	return c
}

// URLs are those of all nodes, with commas between them.
func (c *Cluster) URLs() string {
	var list string
	for i, node := range c.Nodes {
		if i > 0 {
			list += ","
		}
		list += node.URL()
	}
	return list
}

// Isolate cuts a node off from the others. Its clients stay.
func (c *Cluster) Isolate(number int) {
	for _, r := range c.routes {
		if r.from == number || r.to == number {
			r.cut(true)
		}
	}
	c.Wait()
}

// Heal joins all that Isolate cut, and returns when the nodes know each other.
func (c *Cluster) Heal() {
	for _, r := range c.routes {
		r.cut(false)
	}
	c.Wait()
}

// Wait returns when each node that runs has routes to those, and only those,
// from which nothing cuts it off.
func (c *Cluster) Wait() {
	c.t.Helper()
	for deadline := time.Now().Add(readyTimeout); ; time.Sleep(10 * time.Millisecond) {
		var wrong string
		for i, node := range c.Nodes {
			if !node.running() {
				continue
			}
			want := 0
			for _, r := range c.routes {
				if !r.isCut() && (r.from == i && c.Nodes[r.to].running() || r.to == i && c.Nodes[r.from].running()) {
					want++
				}
			}
			if have, err := node.routes(); err != nil || have != want {
				wrong += fmt.Sprintf("; node %d has %d routes of %d, %v", i, have, want, err)
			}
		}
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the NATS cluster does not form%s", wrong)
		}
	}
}

// routes asks a node how many it has.
func (n *Node) routes() (int, error) {
	client := http.Client{Timeout: readyTimeout}
	resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/varz", n.ports[monitorPort]))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var varz struct{ Routes int }
	err = json.NewDecoder(resp.Body).Decode(&varz)
	return varz.Routes, err
}

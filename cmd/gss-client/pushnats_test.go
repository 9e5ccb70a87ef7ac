//go:build unix

package main

import (
	"path/filepath"
	"testing"

	"github.com/countersign-go/countersign/server/push/natsbus/natstest"
)

// Clients of two servers that NATS joins are one audience.
func TestPushNATS(t *testing.T) {
	nats := natstest.New(t, 1)
	s := newPushScene(t, everyone)
	buildServer(t, filepath.Join(filepath.Dir(s.program), "gss-server-nats"), "nats") // takes over
	const target = "host@localhost"
	var urls []string
	for range 2 {
		_, at := s.serve(t, "--listen", "tcp://127.0.0.1:0?service=push", "--nats", nats.URLs())
		urls = append(urls, at...)
	}
	bob := s.client(t, "bob", "--subscribe", "2", "--watch", urls[0], target)
	bob.await(t, want{"event": "result", "status": "done"})
	carol := s.client(t, "carol", "--watch", "--batch", "-", urls[1], target)
	carol.await(t, want{"event": "joined", "groups": "[1 3]"})
	bob.await(t, want{"event": "entered", "who": "carol@MIT.TEST", "groups": "[1 3]"})
	carol.do(t, "publish 1,2 to both servers")
	published := want{"event": "published", "from": "carol@MIT.TEST", "groups": "[1 2]", "text": "to both servers"}
	if here, there := carol.await(t, published), bob.await(t, published); here["origin"] != there["origin"] || here["origin"] == nil {
		t.Errorf("origins differ: %v, %v", here, there)
	}
	for i, to := range []string{"bob", "bob@MIT.TEST"} {
		carol.do(t, "to "+to+" across")
		carol.await(t, want{"event": "result", "line": i + 2, "status": "done", "receivers": 1})
		bob.awaitNth(t, want{"event": "sent", "from": "carol@MIT.TEST", "text": "across"}, i+1)
	}
	carol.do(t, "to dave nobody")
	carol.await(t, want{"event": "result", "line": 4, "status": "absent"})

	// Without NATS everybody at one server is served.
	nats.Nodes[0].Kill()
	carol.do(t, "publish 1 here")
	carol.await(t, want{"event": "published", "text": "here"})
	if code := bob.interrupt(t); code != 0 {
		t.Errorf("exit status %d:\n%s", code, bob.said())
	}
}

package sign_test

import (
	"context"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/sign"
	"github.com/countersign-go/countersign/token"
)

// Many clients that begin messages of 16 MiB and do not end them hold no more
// than the memory for all: the others are told off in the log, small messages
// are served, and afterwards large ones are again.
func TestMemoryOfAllSessions(t *testing.T) {
	const memory, slack, connections = 64 << 20, 24 << 20, 24
	svc, err := sign.New(sign.Config{Acceptor: new(fake), AllowUnauthenticated: true, Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	recs := &records{news: make(chan struct{})}
	log := logrus.New()
	log.SetOutput(recs)
	log.SetFormatter(&logrus.JSONFormatter{})
	srv, err := server.New(server.Config{Service: svc, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- srv.Run(ctx, l) }()
	s := &site{address: l.Addr().String(), log: recs}

	inUse := func() int64 {
		runtime.GC()
		runtime.GC() // the second empties the pools
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	message := raw(token.Data, strings.Repeat("x", 16<<20))
	answered := func(c *client) {
		t.Helper()
		if err := c.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if reply, err := c.tok.ReadFrame(); err != nil || reply.Flags != token.NOOP {
			t.Errorf("answered by %v, %v", reply.Flags, err)
		}
	}
	before := inUse()
	var clients []*client
	for range connections {
		c := s.dial(t)
		c.write(t, raw(token.NOOP, ""))
		_, _ = c.conn.Write(message[:15<<20]) // fails if the server refused it meanwhile
		clients = append(clients, c)
	}
	held := inUse() - before
	t.Logf("%d MiB held", held>>20)
	if held > memory+slack {
		t.Errorf("%d MiB held by %d unfinished messages, want at most %d", held>>20, connections, (memory+slack)>>20)
	}
	small := s.dial(t)
	small.write(t, slices.Concat(raw(token.NOOP, ""), raw(token.Data, "hello"), end))
	answered(small)

	clients[0].write(t, message[15<<20:])
	answered(clients[0]) // it came first
	refused := 0
	for _, c := range clients {
		_ = c.conn.Close()
		if text, _ := s.log.end(t, c.conn.LocalAddr())["error"].(string); strings.Contains(text, "no room for") {
			refused++
		}
	}
	if least := connections - memory>>24; refused < least {
		t.Errorf("%d of %d were refused, want at least %d", refused, connections, least)
	}
	again := s.dial(t)
	again.write(t, slices.Concat(raw(token.NOOP, ""), message, end))
	answered(again)
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

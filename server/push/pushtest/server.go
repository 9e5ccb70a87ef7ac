package pushtest

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
)

// A Server serves the push service on pipes.
type Server struct {
	*push.Service
	srv      *server.Server
	sessions sync.WaitGroup
}

// NewServer starts a server, which stops with the test. The acceptor of the
// config is an [Acceptor] if it has none; a client's local name is its principal up
// to the @.
func NewServer(t testing.TB, cfg push.Config, engine server.Config) *Server {
	t.Helper()
	if cfg.Acceptor == nil {
		cfg.Acceptor = Acceptor{}
	}
	if cfg.LocalName == nil {
		cfg.LocalName = LocalName
	}
	svc, err := push.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	engine.Service = svc
	srv, err := server.New(engine)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Service: svc, srv: srv}
	t.Cleanup(func() {
		s.sessions.Wait()
		if err := svc.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// LocalName is what comes before the @ of a name.
func LocalName(name gss.Name) (string, error) {
	text := name.String()
	for i := range text {
		if text[i] == '@' {
			return text[:i], nil
		}
	}
	return "", gss.ErrUnavailable
}

// ServeConn serves a connection until it ends, and gives how.
func (s *Server) ServeConn(ctx context.Context, conn net.Conn) <-chan error {
	ended := make(chan error, 1)
	s.sessions.Go(func() { ended <- s.srv.ServeConn(ctx, conn) })
	return ended
}

// ServeAll serves what comes to a listener, until the test ends.
func (s *Server) ServeAll(t testing.TB, l net.Listener) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.srv.Run(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

package mitrealm

import (
	"net"
	"os/exec"
	"time"
)

// A Server is MIT's gss-server, running.
type Server struct {
	Addr string // host:port on which it accepts
	Host string // Addr's host
	Port string // Addr's port

	realm *Realm
	p     *process
}

// GSSServer starts MIT's gss-server in this realm, on a port of its own, with
// the given arguments, of which the last is the service's name:
//
//	server := realm.GSSServer("-once", "host@localhost")
//
// It returns once the server listens. The server ends with the test.
func (r *Realm) GSSServer(args ...string) *Server {
	r.t.Helper()
	Need(r.t, "gss-server")
	var err error
	for range attempts {
		var addr string
		if addr, err = freeAddr(); err != nil {
			break
		}
		s := &Server{Addr: addr, realm: r}
		s.Host, s.Port, _ = net.SplitHostPort(addr)
		if s.p, err = start(r.unbuffered("gss-server", append([]string{"-port", s.Port}, args...)...), "starting..."); err == nil {
			r.t.Cleanup(s.p.stop)
			return s
		}
	}
	r.t.Fatalf("gss-server: %v", err)
	return nil
}

// unbuffered is Command with standard output written line by line where
// coreutils' stdbuf is installed. gss-server would otherwise keep what it
// printed until it exits, and lose it when it is stopped.
func (r *Realm) unbuffered(name string, args ...string) *exec.Cmd {
	if find("stdbuf") == "" {
		return r.Command(name, args...)
	}
	return r.Command("stdbuf", append([]string{"-oL", find(name)}, args...)...)
}

// Output is what the server has printed so far on standard output and standard
// error.
func (s *Server) Output() string { return s.p.text() }

// Wait waits for the server to end by itself, as it does with -once, and gives
// its error as [exec.Cmd.Wait] does. A server that goes on fails the test.
func (s *Server) Wait() error {
	s.realm.t.Helper()
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	select {
	case <-s.p.exited:
		return s.p.err
	case <-timeout.C:
		s.realm.t.Fatalf("gss-server does not end:\n%s", s.Output())
		return nil
	}
}

// Stop ends the server, if it still runs, and waits until it is gone.
func (s *Server) Stop() { s.p.stop() }

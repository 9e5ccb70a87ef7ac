package server

import (
	"errors"
	"net"
	"time"
)

// ErrDisplaced says that the peer had not proved yet who it is when the server
// was full and another came. A transport's handshake gives it, too, where its
// own room was meant.
var ErrDisplaced = errors.New("not established yet when room was needed for another")

// room gives the connection a place among the sessions. When there are too many,
// that of the oldest one that is not established: silence costs nothing, so those
// who say nothing must not keep out those who do. Who has proved who it is keeps
// its place, and the connection is refused. srv.mu is held.
func (srv *Server) room() (displaced *Session, ok bool) {
	if len(srv.sessions)-srv.leaving < srv.cfg.MaxConnections {
		return nil, true
	}
	oldest := srv.pending.Front()
	// Who gave way takes a moment to go. That there are no more of them than
	// others bounds what sessions take.
	if oldest == nil || srv.leaving >= srv.cfg.MaxConnections {
		return nil, false
	}
	s := oldest.Value.(*Session)
	srv.settle(s)
	s.displaced.Store(true)
	srv.leaving++
	return s, true
}

// settle takes a session off those that can be displaced. srv.mu is held.
func (srv *Server) settle(s *Session) {
	if s.place != nil {
		srv.pending.Remove(s.place)
		s.place = nil
	}
}

// remove takes a session off when it is over.
func (srv *Server) remove(s *Session) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.settle(s)
	delete(srv.sessions, s)
	if s.displaced.Load() {
		srv.leaving--
	}
	if srv.draining.Load() && len(srv.sessions) == 0 {
		close(srv.empty)
	}
}

// refuse closes a connection that there is no room for.
func (srv *Server) refuse(conn net.Conn) {
	srv.mu.Lock()
	report := srv.refusals.add(time.Now())
	srv.mu.Unlock()
	_ = conn.Close()
	if report > 0 {
		srv.logRefusals(conn, report)
	}
}

// displace closes a session that room took the place of.
func (srv *Server) displace(s *Session) {
	srv.mu.Lock()
	report := srv.displacements.add(time.Now())
	srv.mu.Unlock()
	s.abort()
	if report > 0 {
		srv.logDisplaced(s, report)
	}
}

// A tally counts connections refused or closed for want of room, so that a flood
// of them is not a flood of log records.
type tally struct {
	count    int
	reported time.Time
}

// add counts one and gives the number to report now, 0 for none: those since the
// last report, once a second at most.
func (t *tally) add(now time.Time) (report int) {
	t.count++
	if now.Sub(t.reported) < time.Second {
		return 0
	}
	report, t.count, t.reported = t.count, 0, now
	return report
}

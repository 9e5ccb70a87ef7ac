package server

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
)

// maxFieldText is the longest text of a log record's field, in bytes: names and
// errors can hold what a peer chose.
const maxFieldText = 1 << 10

// clip cuts text that is longer short, and says so.
func clip(text string) string {
	if len(text) <= maxFieldText {
		return text
	}
	return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(text[:maxFieldText], ""), len(text))
}

func (srv *Server) logOpen(s *Session) {
	if !s.Logs(logrus.WarnLevel) {
		return // nothing is said of sessions, whatever happens
	}
	s.fields = logrus.Fields{"conn": s.id, "peer": s.conn.RemoteAddr().String()}
	s.Log(logrus.DebugLevel, "connection accepted")
}

func (srv *Server) logEnd(s *Session, err error) {
	if s.fields == nil {
		return
	}
	s.fields["messages"] = s.messages
	s.fields["duration"] = time.Since(s.started).Round(time.Microsecond).String()
	switch {
	case errors.Is(err, ErrDisplaced): // logDisplaced has told, of many at once
		s.Log(logrus.DebugLevel, "session gave way to another")
	case err != nil:
		s.Note(logrus.ErrorKey, err.Error())
		s.Log(logrus.WarnLevel, "session failed")
	case s.cut:
		s.Log(logrus.InfoLevel, "session closed by shutdown")
	default:
		s.Log(logrus.InfoLevel, "session ended")
	}
}

func (srv *Server) logAcceptError(err error, wait time.Duration) {
	if srv.cfg.Log == nil {
		return
	}
	entry := srv.cfg.Log.WithError(err).WithField("retry_in", wait.String())
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		entry = entry.WithField("hint", "raise the limit of open files above the number of connections (ulimit -n, systemd's LimitNOFILE=), or lower --max-connections")
	}
	entry.Error("cannot accept connections")
}

func (srv *Server) logRefusals(conn net.Conn, n int) {
	if srv.cfg.Log != nil {
		srv.cfg.Log.WithFields(logrus.Fields{
			"limit": srv.cfg.MaxConnections, "refused": n, "peer": conn.RemoteAddr().String(),
		}).Warn("too many connections, refused")
	}
}

func (srv *Server) logDisplaced(s *Session, n int) {
	if srv.cfg.Log != nil {
		srv.cfg.Log.WithFields(logrus.Fields{
			"limit": srv.cfg.MaxConnections, "closed": n, "peer": s.conn.RemoteAddr().String(),
		}).Warn("too many connections, closed the oldest that was not established")
	}
}

func (srv *Server) logDrain(running int) {
	if srv.cfg.Log != nil {
		srv.cfg.Log.WithField("running", running).Info("shutting down")
	}
}

func (srv *Server) logCutOff(n int) {
	if srv.cfg.Log != nil {
		srv.cfg.Log.WithField("sessions", n).Warn("grace time over, closing the sessions that are left")
	}
}

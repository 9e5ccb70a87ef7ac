// Package contexts is what services with a security context have in common: the
// channel that a context is bound to, and what the log says of one.
package contexts

import (
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
)

// Bindings are those of the channel that the session comes by, nil if it has none.
func Bindings(s *server.Session) *gss.ChannelBindings {
	if below, ok := s.Conn().(interface{ Bindings() *gss.ChannelBindings }); ok {
		return below.Bindings()
	}
	return nil
}

// Log says in the session's log whose context stands, and for which local user the
// client stands; none if that is empty, for the reason lerr if there is one. The
// flags and the end of the context's time are told this once.
func Log(s *server.Session, info gss.Info, local string, lerr error) {
	if !s.Logs(logrus.WarnLevel) {
		return
	}
	s.Note("client", info.Initiator.String())
	s.Note("mechanism", info.Mechanism.Name())
	s.Note("flags", info.Flags.String())
	switch {
	case lerr != nil && !errors.Is(lerr, gss.ErrUnavailable):
		s.Note("localname_error", lerr.Error())
	case local != "":
		s.Note("localname", local)
	}
	if !info.Expires.IsZero() {
		s.Note("expires", info.Expires.UTC().Format(time.RFC3339))
	}
	s.Log(logrus.InfoLevel, "context established")
	s.Note("flags", nil)
	s.Note("expires", nil)
}

// NoteStatus has the session's further records tell the status of a GSS-API call
// that failed.
func NoteStatus(s *server.Session, err error) {
	status, ok := errors.AsType[*gss.Error](err)
	if !ok {
		return
	}
	s.Note("major", status.Major.Error())
	s.Note("minor", status.Minor)
	if status.Hint != "" {
		s.Note("hint", status.Hint)
	}
}

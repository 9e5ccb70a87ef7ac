package dtls

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/countersign-go/countersign/server"
)

const closedByShutdown = "closed by shutdown"

// exchange is the service: it answers every message.
type exchange struct{ cfg *Config }

// Serve makes the handshake and answers messages until the peer closes.
func (x *exchange) Serve(_ context.Context, s *server.Session) error {
	if _, err := s.Write(nil); err != nil {
		return err // the conn has told
	}
	s.Established()
	e := Event{Kind: Info, Peer: addrPort(s.RemoteAddr())}
	err := x.answer(s)
	switch {
	case err == nil:
		e.Text = "the peer closed"
	case errors.Is(err, server.ErrShutdown):
		e.Text = closedByShutdown
	default:
		e.Kind, e.Text = Error, "session failed: "+err.Error()
	}
	x.cfg.tell(e) // the engine logs it
	return err
}

func (x *exchange) answer(s *server.Session) error {
	ack := fmt.Appendf(nil, "to %v: ACK", s.RemoteAddr())
	buf := make([]byte, maxRecord)
	for {
		n, err := s.Read(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			x.cfg.note(Event{Kind: Warning, Peer: addrPort(s.RemoteAddr()), Text: emptyDatagram})
			continue
		}
		answer := buf[:n]
		if x.cfg.Reply == ACK {
			answer = ack
		}
		if _, err := s.Write(answer); err != nil {
			return err
		}
		s.Done(false)
	}
}

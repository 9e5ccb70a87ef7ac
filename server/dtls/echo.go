package dtls

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/countersign-go/countersign/server"
)

// exchange is the service: it answers every message.
type exchange struct{ cfg *Config }

// Serve makes the handshake and answers messages until the peer closes.
func (x *exchange) Serve(_ context.Context, s *server.Session) error {
	if _, err := s.Write(nil); err != nil {
		return err
	}
	s.Established()
	ack := fmt.Appendf(nil, "to %v: ACK", s.RemoteAddr())
	buf := make([]byte, maxRecord)
	for {
		n, err := s.Read(buf)
		switch {
		case errors.Is(err, io.EOF):
			x.cfg.tell(Event{Kind: Info, Peer: addrPort(s.RemoteAddr()), Text: "the peer closed"}) // the engine logs it
			return nil
		case errors.Is(err, server.ErrShutdown):
			x.cfg.tell(Event{Kind: Info, Peer: addrPort(s.RemoteAddr()), Text: "closed by shutdown"})
			return err
		case err != nil:
			x.cfg.tell(Event{Kind: Error, Peer: addrPort(s.RemoteAddr()), Text: "session failed: " + err.Error()})
			return err
		case n == 0:
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
		s.Done()
	}
}

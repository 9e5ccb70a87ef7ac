package echo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server"
)

// Config says how a [Service] echoes.
type Config struct {
	Output io.Writer // a line for each piece that came; nil: none are made
	Ack    bool      // answer "to PEER: ACK" in place of the bytes
}

// A Service echoes. It is a [server.Service].
type Service struct {
	cfg     Config
	buffers sync.Pool
}

// bufferSize is that of the largest TLS record, and above the largest datagram
// that passes a network in one piece.
const bufferSize = 16 << 10

// New returns a service with a copy of the config.
func New(cfg Config) *Service {
	return &Service{cfg: cfg, buffers: sync.Pool{New: func() any { return new([bufferSize]byte) }}}
}

// Serve echoes until the peer ends sending.
func (v *Service) Serve(_ context.Context, s *server.Session) error {
	s.Established() // whoever comes is served
	s.Log(logrus.InfoLevel, "echoing")
	buf := v.buffers.Get().(*[bufferSize]byte)
	defer func() {
		clear(buf[:])
		v.buffers.Put(buf)
	}()
	peer := s.RemoteAddr()
	for {
		n, err := s.Read(buf[:])
		if n > 0 {
			if v.cfg.Output != nil {
				// In one write, so that the lines of two sessions do not mix.
				fmt.Fprintf(v.cfg.Output, "Received %d bytes from %s: %q\n", n, peer, buf[:n])
			}
			answer := buf[:n]
			if v.cfg.Ack {
				answer = fmt.Appendf(nil, "to %s: ACK", peer)
			}
			sent, werr := s.Write(answer)
			if werr == nil && sent < len(answer) {
				werr = io.ErrShortWrite
			}
			if werr != nil {
				return fmt.Errorf("sending back %d bytes, of which %d went: %w", len(answer), sent, werr)
			}
			s.Done(false)
		}
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, server.ErrShutdown):
			return err
		case err != nil:
			return fmt.Errorf("receiving: %w", err)
		}
	}
}

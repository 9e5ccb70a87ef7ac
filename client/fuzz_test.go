package client_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client"
)

// stub is a server that has said already all that it ever says.
type stub struct {
	net.Conn
	said *bytes.Reader
}

func (s *stub) Read(p []byte) (int, error)  { return s.said.Read(p) }
func (s *stub) Write(p []byte) (int, error) { return io.Discard.Write(p) }
func (s *stub) Close() error                { return nil }
func (s *stub) SetDeadline(time.Time) error { return nil }

// FuzzAnswers takes for an answer only what is one: three messages without a
// MIC are answered by three NOOP frames, whatever else comes.
func FuzzAnswers(f *testing.F) {
	noop := "\x01\x00\x00\x00\x00"
	f.Add([]byte(noop + noop + noop))
	f.Add([]byte(noop + "\x08\x00\x00\x00\x02xx"))
	f.Add([]byte("\x01\x00\x00\x00\x03abc" + noop))
	f.Add([]byte("\x01\xff\xff\xff\xff"))
	f.Add([]byte("\x02\x00\x00\x00\x01x"))
	f.Add([]byte("\x00\x00\x00\x01x"))
	f.Fuzz(func(t *testing.T, said []byte) {
		conn := &stub{said: bytes.NewReader(said)}
		session, err := client.New(t.Context(), conn, client.Config{Unauthenticated: true})
		if err != nil {
			t.Fatal(err)
		}
		rest := said
		for i := range 3 {
			_, err := session.Sign([]byte("m"))
			answered := len(rest) >= 5 && rest[0] == 1 && rest[1] == 0
			var length int
			if answered {
				length = int(rest[2])<<16 | int(rest[3])<<8 | int(rest[4])
				answered = len(rest) >= 5+length
			}
			if answered != (err == nil) {
				t.Fatalf("message %d: %v; said %x", i, err, rest)
			}
			if err != nil {
				return
			}
			rest = rest[5+length:]
		}
	})
}

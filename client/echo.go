package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// Connect makes the connection of a config, TLS included, and no context. Of the
// config Addr, TLS and Timeout are used. Its errors are [*Error]: Connecting or
// Securing.
func Connect(ctx context.Context, cfg Config) (net.Conn, error) {
	cfg, err := cfg.defaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	return cfg.connect(ctx)
}

// An EchoError says that something else came back than was sent.
type EchoError struct{ Sent, Received []byte }

func (e *EchoError) Error() string {
	at := 0
	for at < min(len(e.Sent), len(e.Received)) && e.Sent[at] == e.Received[at] {
		at++
	}
	return fmt.Sprintf("what came back differs from what was sent, from byte %d of %d on", at+1, len(e.Sent))
}

// Echo sends a message over a stream and gives what comes back, as many bytes as
// it sent. It reads while it writes: a message larger than what the connection
// holds comes back before all of it is sent. It takes timeout at the most;
// afterwards the connection is good for the next one if there was no error. An
// answer that differs is given beside an [*Error] with an [*EchoError].
func Echo(conn net.Conn, msg []byte, timeout time.Duration) ([]byte, error) {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, &Error{Sending, err}
	}
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(msg)
		sent <- err
	}()
	answer := make([]byte, len(msg))
	n, err := io.ReadFull(conn, answer)
	answer = answer[:n]
	if err != nil {
		if derr := conn.SetWriteDeadline(time.Unix(1, 0)); derr != nil {
			_ = conn.Close() // what is still being sent is of no more use
		}
		werr := <-sent
		if secured, ok := conn.(*tlsConn); ok {
			if refused := secured.refused(nil); refused != nil {
				return nil, &Error{Receiving, refused}
			}
		}
		if n == 0 && werr != nil && err == io.EOF {
			return answer, &Error{Sending, carrying(werr, timeout)}
		}
		return answer, &Error{Receiving, carrying(err, timeout)}
	}
	if err := <-sent; err != nil {
		return answer, &Error{Sending, carrying(err, timeout)}
	}
	if !bytes.Equal(answer, msg) {
		if secured, ok := conn.(*tlsConn); ok {
			if refused := secured.refused(nil); refused != nil {
				return nil, &Error{Receiving, refused}
			}
		}
		return answer, &Error{Receiving, &EchoError{msg, answer}}
	}
	return answer, nil
}

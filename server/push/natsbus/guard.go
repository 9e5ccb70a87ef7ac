package natsbus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// maxLine is the longest line of NATS's protocol, in octets: what a server
	// says of a cluster of a thousand others in its INFO.
	maxLine = 64 << 10

	// maxPayload is the longest payload that is read, in octets: NATS has no
	// server that takes more.
	maxPayload = 64 << 20

	// recordHandshake is the first octet of a TLS record with which a handshake
	// begins, and of no word of NATS's.
	recordHandshake = 0x16
)

// A dialer connects for nats.go. It keeps the error that nats.go does not tell.
type dialer struct {
	ctx     context.Context // ends the connection, until made is called
	timeout time.Duration
	plain   bool // no TLS is asked for
	err     error
	made    func() bool
	conn    net.Conn // as dialled
}

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: d.timeout}).DialContext(d.ctx, network, address)
	if err != nil {
		d.err = err
		return nil, err
	}
	d.conn = conn
	d.made = context.AfterFunc(d.ctx, func() { conn.Close() })
	if !d.plain {
		return conn, nil
	}
	return &guardedConn{Conn: conn}, nil
}

// A guardedConn watches what comes over a connection without TLS, where anybody on
// the way can write: nats.go makes room for as much as a line says, panics if
// that is too much, and has no bound for the length of lines. It watches no
// more when the client begins with TLS.
type guardedConn struct {
	net.Conn
	guard guard
	tls   atomic.Bool
}

func (c *guardedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.tls.Load() {
		if bad := c.guard.see(p[:n]); bad != nil {
			return 0, bad
		}
	}
	return n, err
}

func (c *guardedConn) Write(p []byte) (int, error) {
	if len(p) > 0 && p[0] == recordHandshake {
		c.tls.Store(true)
	}
	return c.Conn.Write(p)
}

// A guard follows NATS's protocol as far as to know what is a line and what a payload.
type guard struct {
	line []byte // as much of it as has come
	skip int    // octets left of a payload
	end  bool   // the rest of the line after a payload is due
	bad  error
}

var errGuard = errors.New("push: not the protocol of NATS")

// see looks at what was read. An error is final.
func (g *guard) see(p []byte) error {
	for len(p) > 0 && g.bad == nil {
		if g.skip > 0 {
			n := min(g.skip, len(p))
			g.skip -= n
			p = p[n:]
			continue
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			g.add(p)
			break
		}
		g.add(p[:i])
		p = p[i+1:]
		if g.bad == nil {
			g.lineEnd()
		}
		g.line = g.line[:0]
	}
	return g.bad
}

func (g *guard) add(part []byte) {
	if len(g.line)+len(part) > maxLine {
		g.bad = fmt.Errorf("%w: line of more than %d octets", errGuard, maxLine)
		return
	}
	g.line = append(g.line, part...)
}

// lineEnd looks at a line that is complete.
func (g *guard) lineEnd() {
	line := bytes.TrimSuffix(g.line, []byte("\r"))
	if g.end {
		if len(line) > 0 {
			g.bad = fmt.Errorf("%w: payload is longer than was said", errGuard)
		}
		g.end = false
		return
	}
	op, rest, _ := bytes.Cut(line, []byte(" "))
	switch string(bytes.ToUpper(op)) {
	case "INFO", "PING", "PONG", "+OK", "-ERR":
	case "MSG", "HMSG":
		fields := bytes.Split(bytes.TrimRight(rest, " "), []byte(" "))
		size, err := strconv.ParseUint(string(fields[len(fields)-1]), 10, 32)
		if err != nil || size > maxPayload || bytes.ContainsAny(rest, "\r\t") {
			g.bad = fmt.Errorf("%w: message of a size that cannot be", errGuard)
			return
		}
		g.skip, g.end = int(size), true
	default:
		g.bad = fmt.Errorf("%w: line that begins with %.16q", errGuard, op)
	}
}

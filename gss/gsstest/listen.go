package gsstest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	// maxRequest bounds a request over TCP, in bytes. It holds a ticket with a
	// large PAC; MIT's KDC takes 1 MiB.
	maxRequest = 64 << 10
	// maxDatagram is the largest reply sent over UDP, in bytes, as in MIT's KDC.
	maxDatagram = 4096
	// maxConns bounds the TCP connections open at one time.
	maxConns = 128
	// connTimeout is how long a connection may take to send a request.
	connTimeout = 10 * time.Second
)

// listen opens the TCP and the UDP socket on one port.
func (r *Realm) listen() error {
	addr, err := net.ResolveTCPAddr("tcp", r.config.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", r.config.Listen, err)
	}
	if !addr.IP.IsLoopback() {
		return fmt.Errorf("listen on %s: not a loopback address, and this KDC is for development only", r.config.Listen)
	}
	for attempt := 1; ; attempt++ {
		r.tcp, err = net.ListenTCP("tcp", addr)
		if err != nil {
			return err
		}
		port := r.tcp.Addr().(*net.TCPAddr).Port
		r.udp, err = net.ListenPacket("udp", net.JoinHostPort(addr.IP.String(), strconv.Itoa(port)))
		if err == nil {
			return nil
		}
		r.tcp.Close()
		if addr.Port != 0 || attempt == portAttempts {
			return err
		}
	}
}

// serveUDP answers datagrams one after the other: none of them makes it wait.
func (r *Realm) serveUDP() {
	defer r.serving.Done()
	buf := make([]byte, maxRequest)
	for {
		n, peer, err := r.udp.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // such as an ICMP error for an earlier reply
		}
		if reply := r.answer(buf[:n], "udp", peer); reply != nil {
			r.udp.WriteTo(reply, peer)
		}
	}
}

func (r *Realm) serveTCP() {
	defer r.serving.Done()
	for {
		conn, err := r.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors: let some be closed
			continue
		}
		if !r.track(conn) {
			conn.Close()
			continue
		}
		r.serving.Add(1)
		go func() {
			defer r.serving.Done()
			defer r.untrack(conn)
			r.serveConn(conn)
		}()
	}
}

// track remembers a connection for Close, and refuses it when there are enough.
func (r *Realm) track(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(r.conns) >= maxConns {
		return false
	}
	r.conns[conn] = struct{}{}
	return true
}

func (r *Realm) untrack(conn net.Conn) {
	conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
}

// serveConn answers the records of one connection: RFC 4120, section 7.2.2.
func (r *Realm) serveConn(conn net.Conn) {
	for {
		conn.SetDeadline(time.Now().Add(connTimeout))
		var header [4]byte
		if _, err := io.ReadFull(conn, header[:]); err != nil {
			if err != io.EOF {
				r.malformed("tcp", conn.RemoteAddr(), fmt.Errorf("record length: %w", err))
			}
			return
		}
		length := binary.BigEndian.Uint32(header[:])
		if length > maxRequest {
			r.count(func(s *Stats) { s.TCP++ })
			r.malformed("tcp", conn.RemoteAddr(), fmt.Errorf("record of %d bytes, at most %d are taken", length, maxRequest))
			writeRecord(conn, r.tooLong())
			return
		}
		request := make([]byte, length)
		if _, err := io.ReadFull(conn, request); err != nil {
			r.malformed("tcp", conn.RemoteAddr(), fmt.Errorf("truncated record: %w", err))
			return
		}
		reply := r.answer(request, "tcp", conn.RemoteAddr())
		if reply == nil && r.currentFaults().Drop {
			conn.SetDeadline(time.Time{})
			io.Copy(io.Discard, conn) // silence until the client or Close ends it
			return
		}
		if reply == nil || writeRecord(conn, reply) != nil {
			return
		}
	}
}

func writeRecord(w io.Writer, reply []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...))
	return err
}

// malformed counts and reports a request that could not be decoded.
func (r *Realm) malformed(transport string, peer net.Addr, err error) {
	r.count(func(s *Stats) { s.Malformed++ })
	r.report(Event{Transport: transport, Peer: peer, Err: err})
}

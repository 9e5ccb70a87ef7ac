package client

import (
	"net"
	"syscall"
)

// promptly gives a connection that acknowledges at once what comes in crumbs.
//
// MIT's gss-server sends the flags, the length and the data of a frame by a
// write each. Nagle's algorithm holds each back on its side until the one
// before is acknowledged, which a receiver with nothing to send does only after
// 40 ms. A frame that comes in one piece costs nothing here.
func promptly(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	return &promptConn{tcp, raw}
}

type promptConn struct {
	*net.TCPConn
	raw syscall.RawConn
}

// maxCrumb is the length of a frame's header.
const maxCrumb = 5

func (c *promptConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if n > 0 && n <= maxCrumb {
		_ = c.raw.Control(acknowledge) // without it all is well but slow
	}
	return n, err
}

func acknowledge(fd uintptr) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
}

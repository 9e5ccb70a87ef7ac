package server

import (
	"net"
	"syscall"
)

// A quickACKer makes the kernel acknowledge at once what has come. MIT's
// programs write a frame in three pieces without TCP_NODELAY: the second piece
// waits for the first one's acknowledgement, which the kernel holds back for
// 40 ms in the hope of an answer to send it with. There will be none before the
// frame is whole.
type quickACKer struct {
	raw    syscall.RawConn
	looked bool
}

// ask is called before a read that is to complete what an earlier one began.
func (q *quickACKer) ask(conn net.Conn) {
	if !q.looked {
		q.looked = true
		if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
			conn = over.NetConn()
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			q.raw, _ = tcp.SyscallConn()
		}
	}
	if q.raw != nil {
		_ = q.raw.Control(quickACK) // only slower without
	}
}

func quickACK(fd uintptr) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) // only slower without
}

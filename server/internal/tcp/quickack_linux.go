package tcp

import (
	"net"
	"syscall"
)

// QuickACK makes the kernel acknowledge at once what has come on a TCP connection,
// or one below conn. MIT's programs write a frame in three pieces without
// TCP_NODELAY: the second piece waits for the first one's acknowledgement, which
// the kernel holds back for 40 ms in the hope of an answer to send it with. There
// will be none before the frame is whole.
func QuickACK(conn net.Conn) {
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = over.NetConn()
	}
	if c, ok := conn.(*Conn); ok {
		tcp := c.tcp.Load()
		if tcp == nil {
			c.quickACKAlone()
			return
		}
		conn = tcp
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(quickACK) // only slower without
	}
}

func quickACK(fd uintptr) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) // only slower without
}

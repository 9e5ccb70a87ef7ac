package dtls

import (
	"net"
	"net/netip"
)

// A path has the two ends of the way that a datagram takes. A peer is known by
// both: from the same port it can have a session at each of our addresses, and is
// answered from the one that it wrote to, the only one that it listens to.
type path struct {
	remote netip.AddrPort
	local  netip.Addr // invalid: the socket's own, or if it has none what the system chooses
	iface  uint32     // of a local address that is nothing without it (RFC 4007)
}

// A socket is where datagrams come from and go to.
type socket interface {
	receive(b []byte) (int, path, error)
	send(b []byte, way path) (int, error)
	LocalAddr() net.Addr
	Close() error
}

// A udpSocket is the system's socket.
type udpSocket struct {
	*net.UDPConn
	control []byte // of the reading goroutine; nil: the system is not asked to which address datagrams come
}

// newUDPSocket has the system tell to which address datagrams come, if the
// socket is bound to all.
func newUDPSocket(conn *net.UDPConn) *udpSocket {
	s := &udpSocket{UDPConn: conn}
	if bound, ok := conn.LocalAddr().(*net.UDPAddr); ok && bound.IP.IsUnspecified() {
		s.control = askDestinations(conn)
	}
	return s
}

func (s *udpSocket) receive(b []byte) (int, path, error) {
	var way path
	var n, c int
	var err error
	if s.control == nil {
		n, way.remote, err = s.ReadFromUDPAddrPort(b)
	} else {
		n, c, _, way.remote, err = s.ReadMsgUDPAddrPort(b, s.control)
	}
	if err != nil {
		return 0, path{}, err
	}
	way.remote = netip.AddrPortFrom(way.remote.Addr().Unmap(), way.remote.Port())
	if local, iface := destination(s.control[:c]); !local.IsMulticast() { // nobody can answer from one
		way.local, way.iface = local, iface
	}
	return n, way, nil
}

func (s *udpSocket) send(b []byte, way path) (int, error) {
	if !way.local.IsValid() {
		return s.WriteToUDPAddrPort(b, way.remote)
	}
	n, _, err := s.WriteMsgUDPAddrPort(b, sourceOf(way), way.remote)
	return n, err
}

package dtls

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// askDestinations has the system tell, with each datagram, to which address it
// came (RFC 3542, section 6.2), and gives room for that; nil if it does not. To
// IPv6 sockets an IPv4 datagram comes as one to a mapped address.
func askDestinations(conn *net.UDPConn) []byte {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	var err4, err6 error
	err = raw.Control(func(fd uintptr) {
		err4 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		err6 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
	if err != nil || err4 != nil && err6 != nil {
		return nil
	}
	return make([]byte, unix.CmsgSpace(unix.SizeofInet4Pktinfo)+unix.CmsgSpace(unix.SizeofInet6Pktinfo))
}

// destination gives the address of ours that control messages tell of, if they
// do. Of an IPv4 broadcast it is that of the interface.
func destination(control []byte) (local netip.Addr, iface uint32) {
	for len(control) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return local, iface
		}
		control = rest
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			// interface(4), local address(4), the header's destination(4)
			return netip.AddrFrom4([4]byte(data[4:8])), 0
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			// address(16), interface(4)
			if local = netip.AddrFrom16([16]byte(data)).Unmap(); local.IsLinkLocalUnicast() && local.Is6() {
				iface = binary.NativeEndian.Uint32(data[16:])
			}
		}
	}
	return local, iface
}

// sourceOf gives the control message that has a datagram go out from a path's
// local address.
func sourceOf(way path) []byte {
	if way.local.Is4() {
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: way.local.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: way.local.As16(), Ifindex: way.iface})
}

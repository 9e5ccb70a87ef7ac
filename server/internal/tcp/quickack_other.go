//go:build !linux

package tcp

import "net"

// QuickACK does nothing here.
func QuickACK(net.Conn) {}

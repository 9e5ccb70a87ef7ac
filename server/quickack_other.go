//go:build !linux

package server

import "net"

// A quickACKer does nothing here: other systems have no such option.
type quickACKer struct{}

func (*quickACKer) ask(net.Conn) {}

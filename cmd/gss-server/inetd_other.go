//go:build !unix

package main

import (
	"errors"
	"net"
	"os"
)

// takeDescriptors leaves the descriptors alone: there is no inetd here, and
// inetdConn says so.
func takeDescriptors() (*os.File, error) { return nil, nil }

func inetdConn(*os.File) (net.Conn, error) {
	return nil, errors.New("-inetd: there is no inetd on this system")
}

//go:build unix

package main

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// takeDescriptors keeps the connection that inetd passes as descriptor 0, and
// puts the null device on 0, 1 and 2: nothing can be written to the peer by
// accident, and no file opened later becomes standard output. If descriptor 0 is
// no socket, this is a terminal or a script: it leaves them alone and gives nil.
func takeDescriptors() (*os.File, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(0, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, nil
	}
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	conn := os.NewFile(uintptr(fd), "descriptor 0")
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	for std := range 3 {
		if err := unix.Dup2(int(null.Fd()), std); err != nil {
			return nil, err
		}
	}
	if null.Fd() > 2 {
		_ = null.Close() // its copies stay
	}
	return conn, nil
}

// inetdConn makes a connection of the descriptor that inetd passed, if it did.
func inetdConn(f *os.File) (net.Conn, error) {
	const hint = "-inetd is for inetd, xinetd and systemd's Accept=yes; leave it out on a terminal"
	if f == nil {
		return nil, &hintedError{what: "-inetd: descriptor 0 is not a connection", hint: hint}
	}
	conn, err := net.FileConn(f)
	_ = f.Close() // conn has its own
	switch {
	case err != nil:
		return nil, &hintedError{what: fmt.Sprintf("-inetd: descriptor 0 is not a connection: %v", err), hint: hint}
	case conn.RemoteAddr() == nil:
		return nil, &hintedError{what: "-inetd: descriptor 0 is a listening socket", hint: `the service has to be "nowait" in inetd.conf, "wait = no" for xinetd, Accept=yes for systemd`}
	}
	return conn, nil
}

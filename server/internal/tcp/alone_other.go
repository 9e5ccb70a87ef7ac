//go:build !linux

package tcp

import "net"

// Nothing is ever alone here: what package net says is what is done.

type (
	alone    struct{}
	solitude struct{}
)

// Alone says that the connection is not the only one: elsewhere than on Linux
// nothing follows from it.
func (c *Conn) Alone(func()) (end func() (alone bool)) { return nil }

// Share does nothing here.
func (c *Conn) Share() {}

func (l *Listener) poller() (*net.TCPListener, error) { return l.tcp, nil }
func (l *Listener) acceptAlone() (*Conn, error)       { return nil, net.ErrClosed }
func (l *Listener) closeAlone()                       {}

func (c *Conn) readAlone([]byte) (int, error)  { return 0, net.ErrClosed }
func (c *Conn) writeAlone([]byte) (int, error) { return 0, net.ErrClosed }
func (c *Conn) closeAlone() error              { return net.ErrClosed }
func (c *Conn) closeWriteAlone() error         { return net.ErrClosed }
func (c *Conn) localAlone() net.Addr           { return nil }
func (c *Conn) interrupt()                     {}

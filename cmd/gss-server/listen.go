package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/countersign-go/countersign/server/dtls"
)

// A listener is one that stands, and what its log record says of it.
type listener struct {
	net.Listener
	endpoint endpoint
}

// listen opens the listeners: those that systemd passed, or else those asked
// for, those of dtls by their transport. When one cannot be opened it closes the
// others.
func listen(opts options, datagrams *dtls.Transport) ([]listener, error) {
	passed, err := passedListeners()
	if err != nil {
		return nil, fmt.Errorf("taking over the sockets of systemd: %w", err)
	}
	if len(passed) > 0 {
		if len(opts.listenOn) > 0 || opts.portSet {
			return nil, &hintedError{what: "systemd passed its sockets, but an address is given, too", hint: "leave -port and --listen out of the unit file"}
		}
		var ls []listener
		for _, l := range passed {
			ls = append(ls, listener{l, endpoint{transport: "tcp", service: "sign"}})
		}
		return ls, nil
	}
	var ls []listener
	for _, e := range opts.endpoints() {
		l, err := open(e, datagrams)
		if err != nil {
			for _, other := range ls {
				_ = other.Close() // nothing came by it
			}
			return nil, &hintedError{what: fmt.Sprintf("listening on %s: %v", e.addr, cause(err)), hint: listenHint(err)}
		}
		ls = append(ls, listener{l, e})
	}
	return ls, nil
}

func open(e endpoint, datagrams *dtls.Transport) (net.Listener, error) {
	if e.transport == "dtls" {
		return datagrams.Listen(e.addr)
	}
	return net.Listen("tcp", e.addr)
}

// cause leaves out what a net.OpError repeats.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func listenHint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program has the port: stop it, or choose another with -port; -port 0 takes a free one"
	case errors.Is(err, fs.ErrPermission):
		return "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE) or systemd's socket activation"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this machine has the address"
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok {
		return "an address is written host:port or :port, as in 127.0.0.1:4444 or [::1]:4444"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "the name is not known, or the port is no number from 0 to 65535"
	}
	return ""
}

// firstPassed is the first descriptor that systemd passes (sd_listen_fds(3)).
const firstPassed = 3

func passedListeners() ([]net.Listener, error) {
	pid, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	if count == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return nil, fmt.Errorf("LISTEN_FDS: %w", err)
	}
	var ls []net.Listener
	for fd := firstPassed; fd < firstPassed+n; fd++ {
		f := os.NewFile(uintptr(fd), "LISTEN_FD_"+strconv.Itoa(fd))
		l, err := net.FileListener(f)
		_ = f.Close() // l has its own
		if err != nil {
			return nil, err
		}
		ls = append(ls, l)
	}
	return ls, nil
}

// notify tells systemd about the state of the service (sd_notify(3)), if it asks
// to be told.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return // it only means that nobody listens any more
	}
	_, _ = conn.Write([]byte(state))
	_ = conn.Close()
}

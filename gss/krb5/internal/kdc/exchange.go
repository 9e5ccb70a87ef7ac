package kdc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// patience is how long one KDC may take until the next is asked as well.
	patience = time.Second
	// giveUp bounds one exchange where kdc_timeout does not.
	giveUp = 30 * time.Second
	// hardUDPLimit is the request size in bytes above which UDP is not tried at
	// all, as in MIT's library.
	hardUDPLimit = 32700
)

// Exchange sends an encoded request to the KDCs of realm and gives the first
// answer: an AS-REP, TGS-REP or KRB-ERROR by its outer tag and length, with its
// contents unchecked.
//
// KDCs are asked in order, all of them over UDP first and then over TCP, or the
// other way round for a request longer than udp_preference_limit. One that has
// not answered after a second is still listened to while the next is
// asked; one that refuses, or whose answer is none, is passed by at once. A KDC
// whose answer does not fit UDP is asked again over TCP.
//
// The errors are [*NoKDCError], [*UnreachableError], which wraps the
// cause of each attempt and the end of ctx, and [*krb5conf.Error].
func (c *Client) Exchange(ctx context.Context, realm string, request []byte) ([]byte, error) {
	reply, _, err := c.exchange(ctx, realm, request, false)
	return reply, err
}

// exchange is Exchange, or asks the realm's primary KDCs only. It also tells the
// "host:port" of the KDC that answered, as it is configured.
func (c *Client) exchange(ctx context.Context, realm string, request []byte, primary bool) (reply []byte, from string, err error) {
	if c.Relay != nil {
		if reply, err = c.Relay(ctx, realm, request); err == nil {
			err = checkOuter(reply)
		}
		return reply, "", err
	}
	s, err := c.Profile.Settings()
	if err != nil {
		return nil, "", err
	}
	timeout := giveUp
	if s.KDCTimeout > 0 {
		timeout = s.KDCTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	servers, err := c.locate(ctx, realm, s, len(request), primary)
	if err != nil {
		return nil, "", err
	}
	attempts := make([]attempt, len(servers))
	for i, srv := range servers {
		attempts[i] = func(ctx context.Context) ([]byte, error) { return c.ask(ctx, srv, request) }
	}
	reply, which, causes := race(ctx, attempts)
	if reply == nil {
		return nil, "", &UnreachableError{Realm: realm, Causes: causes}
	}
	return reply, servers[which].addr, nil
}

// attempt asks one server. It gives a reply or an error, and ends with its
// context.
type attempt func(ctx context.Context) ([]byte, error)

// race runs the attempts in order: the next is started when one that runs has
// failed, or patience has passed since the last was started. The first reply ends the
// others, and which attempt gave it is told. Without one, the causes are given in
// the order in which they arose, with the context's own last.
func race(ctx context.Context, attempts []attempt) (reply []byte, which int, causes []error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		reply []byte
		which int
		err   error
	}
	// Buffered so that attempts which end after the race do not linger.
	results := make(chan result, len(attempts))
	timer := time.NewTimer(patience)
	defer timer.Stop()
	started, running := 0, 0
	startNext := func() {
		if started == len(attempts) {
			return
		}
		which := started
		started++
		running++
		timer.Reset(patience)
		go func() {
			reply, err := attempts[which](ctx)
			results <- result{reply, which, err}
		}()
	}
	startNext()
	for running > 0 {
		select {
		case r := <-results:
			running--
			if r.err == nil {
				return r.reply, r.which, nil
			}
			causes = append(causes, r.err)
			startNext()
		case <-timer.C:
			startNext()
		case <-ctx.Done():
			return nil, 0, append(causes, context.Cause(ctx))
		}
	}
	return nil, 0, causes
}

// ask asks a server at each of its addresses.
func (c *Client) ask(ctx context.Context, srv server, request []byte) ([]byte, error) {
	host, port, err := net.SplitHostPort(srv.addr)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", srv, err)
	}
	addrs := []string{host}
	if net.ParseIP(host) == nil {
		if addrs, err = c.resolver().LookupHost(ctx, host); err != nil {
			return nil, fmt.Errorf("%v: %w", srv, err)
		}
		addrs = addrs[:min(len(addrs), maxKDCs)]
	}
	attempts := make([]attempt, len(addrs))
	for i, a := range addrs {
		to := server{srv.network, net.JoinHostPort(a, port)}
		attempts[i] = func(ctx context.Context) ([]byte, error) {
			reply, err := c.askAddr(ctx, to, request)
			if err != nil {
				return nil, fmt.Errorf("%v: %w", to, err)
			}
			return reply, nil
		}
	}
	reply, _, causes := race(ctx, attempts)
	if reply == nil {
		return nil, errors.Join(causes...)
	}
	return reply, nil
}

func (c *Client) askAddr(ctx context.Context, to server, request []byte) ([]byte, error) {
	var reply []byte
	var err error
	if to.network == "udp" {
		reply, err = c.roundTrip(ctx, to, func(conn net.Conn) ([]byte, error) { return overUDP(ctx, conn, request) })
		if err == nil && isError(reply, errTooBig) {
			to.network = "tcp"
			reply, err = c.overTCP(ctx, to, request)
		}
	} else {
		reply, err = c.overTCP(ctx, to, request)
	}
	if err != nil {
		return nil, err
	}
	if err := checkOuter(reply); err != nil {
		return nil, err
	}
	if isError(reply, errUnavailable) {
		return nil, &Error{Code: errUnavailable}
	}
	return reply, nil
}

func (c *Client) overTCP(ctx context.Context, to server, request []byte) ([]byte, error) {
	return c.roundTrip(ctx, to, func(conn net.Conn) ([]byte, error) { return overTCP(conn, request) })
}

// roundTrip opens a connection for f, and closes it when f or the context ends.
func (c *Client) roundTrip(ctx context.Context, to server, f func(net.Conn) ([]byte, error)) ([]byte, error) {
	conn, err := c.dial(ctx, to.network, to.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	reply, err := f(conn)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return reply, err
}

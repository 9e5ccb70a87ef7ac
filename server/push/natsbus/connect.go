package natsbus

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/countersign-go/countersign/token/pushwire"
)

const (
	// writeTimeout is how long NATS may take nothing until the connection is given up.
	writeTimeout = 5 * time.Second

	// pingInterval and maxPings find a NATS server that is silent: after 30 s.
	pingInterval = 10 * time.Second
	maxPings     = 2

	// hubOverhead is the most that a message of the Hub has beside its data: two
	// names and the stamps of all groups. maxBeacon is the longest without data.
	hubOverhead = 2*pushwire.MaxName + 12*pushwire.MaxGroups + 1024
	maxBeacon   = 1<<16 + 1024
)

// connect makes a connection to one of the servers, in random order, that can do
// what is needed. It takes no longer than the ConnectTimeout.
func (b *Bus) connect() (*link, error) {
	deadline := time.Now().Add(b.cfg.ConnectTimeout)
	var failures error
	for i, n := range rand.Perm(len(b.servers)) {
		if b.ctx.Err() != nil {
			return nil, errClosed
		}
		l, err := b.connectTo(b.servers[n], time.Until(deadline)/time.Duration(len(b.servers)-i))
		if err == nil {
			b.cfg.Log.WithField("nats", b.servers[n].Host).Info("connected to NATS")
			return l, nil
		}
		err = fmt.Errorf("%s: %w", b.servers[n].Host, err)
		if failures != nil {
			err = fmt.Errorf("%w; %w", failures, err)
		}
		failures = err
	}
	return nil, fmt.Errorf("cannot use NATS: %w", failures)
}

func (b *Bus) connectTo(server *url.URL, limit time.Duration) (*link, error) {
	// A third for each of: the dialling, the greeting, the first messages.
	limit = max(limit/3, time.Millisecond)
	l := &link{
		msgs:   make(chan *nats.Msg, msgsAhead),
		closed: make(chan struct{}),
		subs:   map[string]*nats.Subscription{},
		since:  time.Now(),
	}
	opts, d, err := b.options(l, server, limit)
	if err != nil {
		return nil, err
	}
	l.nc, err = opts.Connect()
	if d.made != nil {
		defer d.made()
	}
	switch {
	case err != nil && d.err != nil:
		return nil, d.err
	case err != nil:
		return nil, err
	}
	l.conn = d.conn
	if err := b.prepare(l, limit); err != nil {
		l.nc.Close()
		return nil, err
	}
	return l, nil
}

// options are those of a connection. nats.go does not connect it again when it
// is lost, nor to anything else than this server: the Bus does that, so that
// nothing of a connection gets into the next.
func (b *Bus) options(l *link, server *url.URL, limit time.Duration) (nats.Options, *dialer, error) {
	d := &dialer{ctx: b.ctx, timeout: limit, plain: server.Scheme == "nats"}
	opts := nats.GetDefaultOptions()
	opts.Servers = []string{server.String()}
	opts.Name = b.cfg.Name
	opts.AllowReconnect = false
	opts.ReconnectBufSize = -1
	opts.IgnoreDiscoveredServers = true
	opts.SkipHostLookup = true // the dialer does it, within its time
	opts.CustomDialer = d
	opts.NoEcho = true
	opts.Timeout = limit
	opts.PingInterval = pingInterval
	opts.MaxPingsOut = maxPings
	opts.FlusherTimeout = writeTimeout
	opts.ReconnectOnFlusherError = true // that is: gives the connection up
	opts.ClosedCB = func(*nats.Conn) { close(l.closed) }
	opts.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrSlowConsumer) {
			b.interrupt()
		}
		b.log(err).Warn("NATS")
	}
	if b.cfg.TLS != nil {
		opts.TLSConfig = b.cfg.TLS.Clone()
		opts.TLSConfig.MinVersion = max(opts.TLSConfig.MinVersion, tls.VersionTLS12)
	}
	if b.cfg.CredentialsFile != "" {
		if err := nats.UserCredentials(b.cfg.CredentialsFile)(&opts); err != nil {
			return opts, nil, err
		}
	}
	return opts, d, nil
}

// prepare subscribes to what every server takes, and finds out whether that,
// and publishing, works.
func (b *Bus) prepare(l *link, limit time.Duration) error {
	need := int64(max(b.cfg.MaxData+hubOverhead, maxBeacon) + overhead)
	if have := l.nc.MaxPayload(); have < need {
		return fmt.Errorf("takes messages of %d octets at most, but %d are needed: raise max_payload there, or lower the longest message here", have, need)
	}
	if !l.nc.HeadersSupported() {
		return fmt.Errorf("version %s does not say when nobody listens for a user: 2.2 or later does", l.nc.ConnectedServerVersion())
	}
	for _, subject := range []string{b.subj.all, b.subj.several, b.subj.replies()} {
		if _, err := l.nc.ChanSubscribe(subject, l.msgs); err != nil {
			return err
		}
	}
	if err := l.nc.Publish(b.subj.all, appendPlain(b.subj.instance, nil)); err != nil {
		return err
	}
	if err := l.nc.FlushTimeout(limit); err != nil {
		return err
	}
	if err := l.nc.LastError(); err != nil {
		return fmt.Errorf("%w (%s> has to be allowed to publish and to subscribe to)", err, b.subj.base)
	}
	return nil
}

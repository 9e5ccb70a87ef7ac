package natsbus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/token/pushwire"
)

const (
	// writeTimeout is how long NATS may take nothing until the connection is given up.
	writeTimeout = 5 * time.Second

	// closeTimeout is how long it may take once the Bus is to be closed.
	closeTimeout = time.Second

	// pingInterval and maxPings find a NATS server that is silent: after 30 s.
	pingInterval = 10 * time.Second
	maxPings     = 2

	// firstRetry and lastRetry are the longest waits before the first and the
	// last attempts to connect again. Waits are random below that, so that
	// not all come at once when a server was restarted.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second

	// msgsAhead is how many messages nats.go reads ahead of the goroutine that
	// takes them, which never waits.
	msgsAhead = 4096

	// linger is how long what is sent to a user is still taken after the last
	// session of it has gone. NATS's nodes need a moment to tell each other,
	// and until then drop messages without a word: senders would learn nothing.
	linger = time.Second

	// hubOverhead is the most that a message of the Hub has beside its data: two
	// names and the stamps of all groups. maxBeacon is the longest without data.
	hubOverhead = 2*pushwire.MaxName + 12*pushwire.MaxGroups + 1024
	maxBeacon   = 1<<16 + 1024
)

// A link is one connection to NATS, from its making to its end.
type link struct {
	nc     *nats.Conn
	conn   net.Conn // below TLS
	msgs   chan *nats.Msg
	closed chan struct{}
	subs   map[string]*nats.Subscription // of wants
	since  time.Time

	leaving []departure // in order of time
}

// A departure is a user that is no longer wanted, and until when it lingers.
type departure struct {
	subject string
	until   time.Time
}

// connect makes a connection to one of the servers, in random order, that can do
// what is needed. It takes no longer than the ConnectTimeout.
func (b *Bus) connect() (*link, error) {
	deadline := time.Now().Add(b.cfg.ConnectTimeout)
	var failures []error
	for i, n := range rand.Perm(len(b.servers)) {
		if b.ctx.Err() != nil {
			return nil, errClosed
		}
		l, err := b.connectTo(b.servers[n], time.Until(deadline)/time.Duration(len(b.servers)-i))
		if err == nil {
			b.cfg.Log.WithField("nats", b.servers[n].Host).Info("connected to NATS")
			return l, nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", b.servers[n].Host, err))
	}
	return nil, fmt.Errorf("cannot use NATS: %w", errors.Join(failures...))
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

// run keeps a connection until the Bus is closed.
func (b *Bus) run(l *link) {
	defer b.ends.Done()
	for l != nil {
		b.serve(l)
		if b.ctx.Err() != nil {
			return
		}
		b.interrupt()
		l = b.connectAgain(l)
	}
}

// connectAgain tries until there is a connection, and gives nil when the Bus is closed.
func (b *Bus) connectAgain(lost *link) *link {
	b.log(b.why).Warn("connection to NATS lost")
	wait := firstRetry
	if time.Since(lost.since) < lastRetry {
		wait *= 4 // it may be lost again as soon
	}
	for {
		select {
		case <-time.After(rand.N(wait)):
		case <-b.ctx.Done():
			return nil
		}
		l, err := b.connect()
		if err == nil {
			return l
		}
		wait = min(2*wait, lastRetry)
		b.mu.Lock()
		b.why = err
		b.mu.Unlock()
		if b.ctx.Err() == nil {
			b.log(err).Warn("cannot connect to NATS again yet")
		}
	}
}

// serve sends and receives over a connection until that, or the Bus, ends.
func (b *Bus) serve(l *link) {
	b.start(l)
	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		b.pump(l)
	}()
	defer context.AfterFunc(b.ctx, func() { time.AfterFunc(closeTimeout, func() { l.conn.Close() }) })()
	err := b.work(l)
	b.stop(err)
	l.nc.Close()
	<-pumped
}

// start subscribes to all that is wanted, and lets messages be sent.
func (b *Bus) start(l *link) {
	b.mu.Lock()
	b.linked = true
	clear(b.told)
	if !b.up {
		b.out.take(nil) // of the connection before
		b.down = make(chan struct{})
	}
	wants := make([]string, 0, len(b.wants))
	for subject := range b.wants {
		wants = append(wants, subject)
	}
	b.mu.Unlock()
	for _, subject := range wants {
		b.subscribe(l, subject, true)
	}
	b.mu.Lock()
	b.up = true
	b.mu.Unlock()
}

func (b *Bus) stop(err error) {
	b.mu.Lock()
	b.linked, b.up, b.why = false, false, err
	close(b.down)
	b.mu.Unlock()
}

// work does what is queued, and returns why it does no more.
func (b *Bus) work(l *link) error {
	var batch []outgoing
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		batch = b.out.take(batch)
		for _, op := range batch {
			if err := b.do(l, op); err != nil {
				return err
			}
		}
		if err := b.depart(l); err != nil {
			return err
		}
		if len(batch) > 0 {
			continue
		}
		if len(l.leaving) > 0 {
			timer.Reset(time.Until(l.leaving[0].until))
		}
		select {
		case <-b.out.ready:
		case <-timer.C:
		case <-l.closed:
			if err := l.nc.LastError(); err != nil {
				return err
			}
			return nats.ErrConnectionClosed
		case <-b.ctx.Done():
			for _, op := range b.out.take(batch) {
				if err := b.do(l, op); err != nil {
					return err
				}
			}
			return errClosed
		}
	}
}

// depart unsubscribes from the users whose time is over, and who did not come back.
func (b *Bus) depart(l *link) error {
	for len(l.leaving) > 0 && time.Until(l.leaving[0].until) <= 0 {
		subject := l.leaving[0].subject
		l.leaving = l.leaving[1:]
		b.mu.Lock()
		_, wanted := b.wants[subject]
		b.mu.Unlock()
		if err := b.subscribe(l, subject, wanted); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bus) do(l *link, op outgoing) error {
	if !op.want {
		err := l.nc.PublishMsg(&nats.Msg{Subject: op.subject, Reply: op.reply, Data: op.data})
		if errors.Is(err, nats.ErrMaxPayload) {
			b.log(err).Warn("message not sent over NATS")
			return nil
		}
		return err
	}
	b.mu.Lock()
	delete(b.told, op.subject)
	_, wanted := b.wants[op.subject]
	b.mu.Unlock()
	if !wanted && l.subs[op.subject] != nil && !b.subj.isGroup(op.subject) {
		l.leaving = append(l.leaving, departure{op.subject, time.Now().Add(linger)})
		return nil
	}
	return b.subscribe(l, op.subject, wanted)
}

// subscribe makes the connection take a subject, or take it no more.
func (b *Bus) subscribe(l *link, subject string, wanted bool) (err error) {
	sub := l.subs[subject]
	switch {
	case wanted && sub == nil:
		l.subs[subject], err = l.nc.ChanSubscribe(subject, l.msgs)
	case !wanted && sub != nil:
		delete(l.subs, subject)
		err = sub.Unsubscribe()
	}
	return err
}

// log begins a record with an error, whose text may be of NATS's choice.
func (b *Bus) log(err error) *logrus.Entry {
	return b.cfg.Log.WithField(logrus.ErrorKey, clip(err.Error()))
}

// pump takes the messages of a connection, all until its end.
func (b *Bus) pump(l *link) {
	for {
		select {
		case m := <-l.msgs:
			b.accept(m)
			continue
		case <-l.closed:
		}
		for {
			select {
			case m := <-l.msgs:
				b.accept(m)
			default:
				return
			}
		}
	}
}

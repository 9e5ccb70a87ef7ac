package natsbus

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/sirupsen/logrus"
)

const (
	// closeTimeout is how long it may take once the Bus is to be closed.
	closeTimeout = time.Second

	// firstRetry and lastRetry are the longest waits before the first and the
	// last attempts to connect again. Waits are random below that, so that
	// not all come at once when a server was restarted.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second

	// msgsAhead is how many messages nats.go reads ahead of the goroutine that
	// takes them, which never waits.
	msgsAhead = 4096
)

// A link is one connection to NATS, from its making to its end.
type link struct {
	nc     *nats.Conn
	conn   net.Conn // below TLS
	msgs   chan *nats.Msg
	closed chan struct{}
	subs   map[string]*nats.Subscription // of wants
	since  time.Time

	leaving departures
}

// run keeps a connection until the Bus is closed.
func (b *Bus) run(l *link) {
	defer b.ends.Done()
	for l != nil {
		b.serve(l)
		if b.ctx.Err() != nil {
			return
		}
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

// serve sends and receives over a connection until that, or the Bus, ends. The Hub
// is told of an interruption when it can say something again, and before
// anything else comes.
func (b *Bus) serve(l *link) {
	if again := b.start(l); again {
		b.interrupt()
	}
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

// start subscribes to all that is wanted, lets messages be sent, and reports whether
// there was a connection before this.
func (b *Bus) start(l *link) (again bool) {
	b.mu.Lock()
	b.linked = true
	clear(b.told)
	if again = !b.up; again {
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
	return again
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
		if at, ok := l.leaving.next(); ok {
			timer.Reset(time.Until(at))
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
	for {
		subject, ok := l.leaving.due(time.Now())
		if !ok {
			return nil
		}
		b.mu.Lock()
		_, wanted := b.wants[subject]
		b.mu.Unlock()
		if err := b.subscribe(l, subject, wanted); err != nil {
			return err
		}
	}
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
		l.leaving.add(op.subject, time.Now())
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

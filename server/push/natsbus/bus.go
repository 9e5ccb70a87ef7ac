package natsbus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server/push"
)

const (
	// maxQueued is what waits for the Hub, or to be sent, at the most, in
	// octets: a second or so of what a fast network brings.
	maxQueued = 32 << 20

	// itemWeight is counted for each message in a queue beside its data.
	itemWeight = 256
)

// Errors of publishing. In none of these cases is the message sent later.
var (
	ErrDisconnected = errors.New("push: not connected to NATS")
	ErrBusy         = errors.New("push: more to be sent than NATS takes")
	errJoined       = errors.New("push: a Bus is joined once")
	errNotJoined    = errors.New("push: the Bus was not joined yet")
	errClosed       = fmt.Errorf("push: Bus: %w", net.ErrClosed)
)

// A Bus joins Hubs by NATS. It is a [push.Bus].
type Bus struct {
	cfg     Config
	servers []*url.URL
	subj    subjects
	receive push.Receiver

	in  *queue[incoming]
	out *queue[outgoing]

	requests requests

	mu     sync.Mutex
	joined bool
	linked bool                // a connection exists; wants that change have to be told
	up     bool                // it takes messages
	down   chan struct{}       // closed when it ends
	why    error               // why there is none
	wants  map[string]struct{} // subjects, of groups and users
	told   map[string]struct{} // those of which the link was told that they changed

	ctx    context.Context // ends by Close
	cancel context.CancelFunc
	ends   sync.WaitGroup // the goroutines that Join started
}

var _ push.Bus = (*Bus)(nil)

// outgoing is something that the link has to do: publish, or see what became of a want.
type outgoing struct {
	want           bool
	subject, reply string
	data           []byte
}

// New returns a Bus. It does nothing yet, but that the config is completed and
// checked, and the credentials can be opened.
func New(cfg Config) (*Bus, error) {
	cfg, servers, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = logrus.New()
		cfg.Log.SetLevel(logrus.PanicLevel)
	}
	b := &Bus{
		cfg:     cfg,
		servers: servers,
		in:      newQueue[incoming](maxQueued),
		out:     newQueue[outgoing](maxQueued),
		wants:   map[string]struct{}{},
		told:    map[string]struct{}{},
	}
	var own instance
	rand.Read(own[:])
	b.subj = newSubjects(cfg.Prefix, own)
	b.requests.waiting = map[uint64]*request{}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b, nil
}

// Join connects to NATS. It fails where there is no connection within the
// [Config]'s ConnectTimeout, where NATS takes no messages as long as may come, and where
// the subjects may not be used. Once it has succeeded, the Bus connects again
// by itself for as long as it takes.
func (b *Bus) Join(receive push.Receiver) error {
	b.mu.Lock()
	joined := b.joined
	b.joined = true
	b.mu.Unlock()
	if joined {
		return errJoined
	}
	b.receive = receive
	l, err := b.connect()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		l.nc.Close()
		return errClosed
	}
	b.ends.Add(2)
	go b.dispatch()
	go b.run(l)
	b.linked, b.up, b.down = true, true, make(chan struct{})
	return nil
}

// Close ends the connection, after what was given to be sent. It must not be called by
// the [push.Receiver], and returns once that is called no more.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.out.close()
	b.in.close()
	b.cancel()
	b.mu.Unlock()
	b.ends.Wait()
	return nil
}

// WantGroup subscribes to what is published to a group, or no longer.
func (b *Bus) WantGroup(group uint32, wanted bool) error {
	return b.want(b.subj.group(group), wanted)
}

// WantUser subscribes to what is sent to a user, or no longer.
func (b *Bus) WantUser(user push.User, wanted bool) error {
	return b.want(b.subj.user(user), wanted)
}

// want keeps what is wanted, for this connection and for the next. There is no
// counting: a Hub says when there is a first and when no longer a last.
func (b *Bus) want(subject string, wanted bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return errClosed
	}
	if wanted {
		b.wants[subject] = struct{}{}
	} else {
		delete(b.wants, subject)
	}
	if _, ok := b.told[subject]; b.linked && !ok {
		b.told[subject] = struct{}{}
		b.out.mark(outgoing{want: true, subject: subject}, func(outgoing) bool { return false })
	}
	return nil
}

// Publish sends a message once: to the subject of its group, or, if it is for
// several, to one that every server listens to. A message for each group would
// reach some servers many times over, and let a client have a megabyte become 256.
func (b *Bus) Publish(groups []uint32, msg []byte) error {
	switch len(groups) {
	case 0:
		return nil
	case 1:
		return b.send(b.subj.group(groups[0]), "", appendPlain(b.subj.instance, msg))
	}
	return b.send(b.subj.several, "", appendPlain(b.subj.instance, msg))
}

// Announce sends a message to all.
func (b *Bus) Announce(msg []byte) error {
	return b.send(b.subj.all, "", appendPlain(b.subj.instance, msg))
}

// send queues a message for NATS.
func (b *Bus) send(subject, reply string, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ctx.Err() != nil:
		return errClosed
	case !b.up && b.why != nil:
		return fmt.Errorf("%w: %w", ErrDisconnected, b.why)
	case !b.up:
		return errNotJoined
	case !b.out.put(outgoing{subject: subject, reply: reply, data: data}, len(data)+itemWeight):
		return ErrBusy
	}
	return nil
}

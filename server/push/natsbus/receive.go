package natsbus

import (
	"github.com/nats-io/nats.go"

	"github.com/countersign-go/countersign/server/push"
)

// noResponders is the status in the header of what NATS answers to a request
// that nobody listens for.
const noResponders = "503"

// incoming is something that the Hub is to be told.
type incoming struct {
	what  byte
	user  push.User
	reply string
	msg   []byte
}

const (
	nothing = iota
	interrupted
	published
	sent
	announced
)

// accept takes a message from NATS: answers to whoever waits for them, the rest
// to the Hub's queue. What is not as this package writes it is dropped. It does not
// block, so NATS is read as fast as it comes.
func (b *Bus) accept(m *nats.Msg) {
	if number, ok := b.subj.request(m.Subject); ok {
		if len(m.Data) == 0 && m.Header.Get("Status") == noResponders {
			b.requests.answered(number, answer{err: push.ErrNobody})
		} else if e, err := parse(m.Data); err != nil || e.kind != kindReply {
			b.odd(m)
		} else {
			b.requests.answered(number, answer{receivers: e.sessions, away: !e.here})
		}
		return
	}
	item, ok := b.classify(m.Subject, m.Reply, m.Data)
	switch {
	case !ok:
		b.odd(m)
	case item.what == nothing:
	case !b.in.put(item, len(m.Data)+itemWeight):
		b.interrupt()
	}
}

// classify says what a message is. A test, and what is of this Bus itself, is nothing.
func (b *Bus) classify(subject, reply string, data []byte) (item incoming, ok bool) {
	e, err := parse(data)
	switch {
	case err != nil:
		return incoming{}, false
	case e.from == b.subj.instance:
		return incoming{}, true
	}
	switch e.kind {
	case kindUser:
		// The name in full: that its subject is this one could be chance.
		if subject != b.subj.user(e.user) || !b.subj.isReply(reply) {
			return incoming{}, false
		}
		return incoming{what: sent, user: e.user, reply: reply, msg: e.msg}, true
	case kindPlain:
		if len(e.msg) == 0 {
			return incoming{}, true
		}
		if subject == b.subj.all {
			return incoming{what: announced, msg: e.msg}, true
		}
		return incoming{what: published, msg: e.msg}, subject == b.subj.several || b.subj.isGroup(subject)
	}
	return incoming{}, false
}

// odd notes a message that is none of ours. Who may publish to our subjects is
// for NATS's operator to say, and that this happens is worth knowing.
func (b *Bus) odd(m *nats.Msg) {
	b.cfg.Log.WithField("subject", clip(m.Subject)).WithField("length", len(m.Data)).Debug("message over NATS is not one of the push service")
}

// interrupt has the Hub told that messages may have been lost.
func (b *Bus) interrupt() {
	b.in.mark(incoming{what: interrupted}, func(last incoming) bool { return last.what == interrupted })
}

// dispatch tells the Hub what comes, until the Bus is closed.
func (b *Bus) dispatch() {
	defer b.ends.Done()
	var batch []incoming
	for {
		batch = b.in.take(batch)
		for _, item := range batch {
			if b.ctx.Err() != nil {
				return
			}
			b.tell(item)
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-b.in.ready:
		case <-b.ctx.Done():
			return
		}
	}
}

func (b *Bus) tell(item incoming) {
	switch item.what {
	case interrupted:
		b.receive.Interrupted()
	case published:
		b.receive.Published(item.msg)
	case announced:
		b.receive.Announced(item.msg)
	case sent:
		n, err := b.receive.Sent(item.user, item.msg)
		if err := b.send(item.reply, "", appendReply(b.subj.instance, err == nil, n)); err != nil {
			b.log(err).Debug("sender of a message to a user is not told who got it")
		}
	}
}

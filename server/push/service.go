package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/contexts"
	"github.com/countersign-go/countersign/token"
	"github.com/countersign-go/countersign/token/pushwire"
)

// needed is what a context must have; Sequencing is what it must not.
const needed = gss.Mutual | gss.ReplayDetection | gss.Confidentiality | gss.Integrity

// errSequencing refuses a context with Sequencing: a MIC in a token is made
// before it and verified after it.
var errSequencing = errors.New("context refused: it has GSS_C_SEQUENCE_FLAG, by which a MIC inside of a wrapped token is out of sequence")

// maxOverhead is more than what a wrapped token has beside its message, in octets.
const maxOverhead = 1 << 10

// maxIdle is the longest idle time that a client is told of, what the encoding takes.
const maxIdle = math.MaxUint32 * time.Millisecond

// A Service serves the push protocol. It is a [server.Service].
type Service struct {
	cfg    Config
	hub    *Hub
	frames token.Config  // with the memory of peers not yet known
	memory *token.Budget // of all

	closing sync.Once
	stop    chan struct{}
	tasks   sync.WaitGroup
}

// New returns a service with a copy of the config, its groups set up and joined
// to the other servers; or an error if a field is missing or out of range, or
// Setup or the Bus refuses.
func New(cfg Config) (*Service, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	v := &Service{cfg: cfg, memory: token.NewBudget(cfg.Limits.Memory), stop: make(chan struct{})}
	v.frames = token.Config{
		MaxLength: pushwire.MaxToken + maxOverhead,
		Budget:    v.memory.Part(cfg.Limits.Memory / 4),
	}
	v.hub = newHub(&v.cfg)
	if cfg.Bus != nil {
		if err := cfg.Bus.Join(receiver{v.hub}); err != nil {
			return nil, fmt.Errorf("push: joining the other servers: %w", err)
		}
		v.hub.announceBeacon(nil, false) // says that it begins
	}
	if cfg.Setup != nil {
		if err := cfg.Setup(v.hub); err != nil {
			if cfg.Bus != nil {
				_ = cfg.Bus.Close() // the other error is the one to tell
			}
			return nil, fmt.Errorf("push: set-up: %w", err)
		}
	}
	if cfg.Bus != nil {
		v.tasks.Go(v.beacons)
	}
	return v, nil
}

// Hub is what the server's program publishes and sends by.
func (v *Service) Hub() *Hub { return v.hub }

// Close leaves the other servers. No session may be served any more.
func (v *Service) Close() error {
	var err error
	v.closing.Do(func() {
		close(v.stop)
		v.tasks.Wait()
		if v.cfg.Bus != nil {
			v.hub.beacon(true)
			err = v.cfg.Bus.Close()
		}
	})
	return err
}

// Serve serves one session: nil when the client ended it as the protocol has
// it. The error of a mechanism is a [*gss.Error] somewhere in the chain.
func (v *Service) Serve(ctx context.Context, s *server.Session) error {
	frames, err := v.frames.NewConn(s)
	if err != nil {
		return err
	}
	defer frames.Release()
	sec, err := v.establish(ctx, s, frames)
	if err != nil {
		return err
	}
	defer sec.Delete()
	m, err := v.newMember(ctx, s, frames, sec)
	if err != nil {
		return err
	}
	defer m.cancel()
	defer m.wire.Release()
	return v.serve(m)
}

// establish accepts a context, bound to the channel that it comes by if that has
// bindings.
func (v *Service) establish(ctx context.Context, s *server.Session, frames *token.Conn) (gss.Context, error) {
	first, err := frames.ReadFrame()
	switch {
	case err == io.EOF:
		return nil, errors.New("connection closed before anything was sent")
	case err != nil:
		return nil, fmt.Errorf("receiving the first frame: %w", err)
	case first.Flags != token.Greeting:
		return nil, fmt.Errorf("expected a frame with %v first, got one with %v", token.Greeting, first.Flags)
	}
	sec, err := gss.Accept(ctx, frames, v.cfg.Acceptor, contexts.Bindings(s))
	if err != nil {
		contexts.NoteStatus(s, err)
		return nil, fmt.Errorf("accepting context: %w", err)
	}
	info := sec.Inquire()
	if info.Delegated != nil {
		_ = info.Delegated.Release() // nothing here has a use for it
	}
	if missing := needed &^ info.Flags; missing != 0 {
		sec.Delete()
		s.Note("client", info.Initiator.String())
		return nil, fmt.Errorf("context refused: it lacks %s", missing)
	}
	return sec, nil
}

// newMember makes a member of a session whose context stands.
func (v *Service) newMember(ctx context.Context, s *server.Session, frames *token.Conn, sec gss.Context) (*Member, error) {
	info := sec.Inquire()
	m := &Member{
		hub: v.hub, session: s, frames: frames, sec: sec, info: info, memory: v.memory,
		principal: info.Initiator.String(), progress: make(chan struct{}, 1), leaving: make(chan struct{}),
		wire: pushwire.NewConn(frames, sec, v.memory),
	}
	m.writing, m.held = true, true // until it has arrived
	var lerr error
	if v.cfg.LocalName != nil {
		m.local, lerr = v.cfg.LocalName(info.Initiator)
	}
	contexts.Log(s, info, m.local, lerr) // who stands for no local user is a principal alone
	switch {
	case m.principal == "":
		return nil, errors.New("context refused: the client has no name")
	case len(m.principal) > pushwire.MaxName || len(m.local) > pushwire.MaxName:
		return nil, fmt.Errorf("context refused: the client's name is longer than %d octets", pushwire.MaxName)
	}
	m.ctx, m.cancel = context.WithCancel(ctx)
	return m, nil
}

// serve speaks with a client whose context stands.
func (v *Service) serve(m *Member) error {
	s := m.session
	hello, rest, err := m.hello()
	if err != nil {
		if gone := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, server.ErrShutdown); !gone {
			s.Note("hint", "a client of the push service greets first; one that has messages signed belongs to a listener without service=push")
		}
		return err
	}
	if m.info.Flags&gss.Sequencing != 0 { // only now, so that the client hears of it
		return m.end(errSequencing)
	}
	m.presence = hello.Presence
	s.Established()
	m.frames.SetBudget(v.memory)
	stopping := s.Duplex()

	epoch := v.hub.epoch.Load()
	if err := m.welcome(min(hello.Version, pushwire.Version)); err != nil {
		return err
	}
	if v.cfg.Hooks.Arrive != nil {
		if err := v.cfg.Hooks.Arrive(m.ctx, m); err != nil {
			s.Note("why", err.Error())
			return m.end(&refusedError{err})
		}
	}
	v.hub.arrive(m)
	if v.hub.epoch.Load() != epoch { // nobody has asked it again, as it was not there yet
		v.hub.recheck(m)
	}
	m.release()
	err = m.read(rest, stopping)
	v.hub.depart(m)
	err = m.end(err)
	if v.cfg.Hooks.Depart != nil {
		v.cfg.Hooks.Depart(m)
	}
	return err
}

// A refusedError is the text of the server's program for a client that it does not let in.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return "refused by the server's program: " + e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// hello reads the client's first token: the greeting and what came with it.
func (m *Member) hello() (hello pushwire.Hello, rest []byte, err error) {
	first, err := m.wire.Read()
	if err != nil {
		return hello, nil, fmt.Errorf("receiving the greeting: %w", err)
	}
	msg, rest, err := pushwire.Next(first)
	if err != nil {
		return hello, nil, fmt.Errorf("receiving the greeting: %w", err)
	}
	hello, ok := msg.(pushwire.Hello)
	if !ok || hello.Version == 0 {
		return hello, nil, errors.New("the client's first message is no greeting")
	}
	return hello, rest, nil
}

// welcome queues the answer to the greeting.
func (m *Member) welcome(version byte) error {
	acceptor := m.info.Acceptor.String()
	encoded, err := pushwire.Append(nil, pushwire.Welcome{
		Version: version, Origin: m.hub.origin, Server: acceptor[:min(len(acceptor), pushwire.MaxName)],
		You: m.principal, Local: m.local,
		MaxData: uint32(m.hub.cfg.Limits.MaxData), Idle: min(m.session.IdleTimeout(), maxIdle), Groups: m.hub.groupsFor(m.principal),
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.control(item{data: encoded})
	return nil
}

// release has what is queued written from now on.
func (m *Member) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writing, m.held = false, false
	m.wake()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/policy"
	"github.com/countersign-go/countersign/token/pushwire"
)

// pushOptions are those of push listeners.
type pushOptions struct {
	groups []string
	named  []push.Group // that groups says
	policy string
	nats   string
	creds  string

	maxData int
}

// pushFlags are the options that are for push listeners only.
var pushFlags = []string{"group", "push-policy", "nats", "nats-creds"}

func (p *pushOptions) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&p.groups, "group", nil, "push: a `group`, such as '1=R&D Department'; any number of times")
	fs.StringVar(&p.policy, "push-policy", "", "push: the `file` of groups and of who may do what in which; read again when it changes")
	fs.StringVar(&p.nats, "nats", "", "push: join the servers at these NATS `URLs`, with commas between them, to one audience")
	fs.StringVar(&p.creds, "nats-creds", "", "push: the `file` with the NATS user's JWT and seed")
}

const hintGroup = "--group '1=R&D Department' makes one, or a line of the --push-policy file"

func (o *options) checkPush(fs *pflag.FlagSet) error {
	p := &o.push
	if !o.serves("push") {
		for _, name := range pushFlags {
			if fs.Changed(name) {
				return &hintedError{what: fmt.Sprintf("--%s: no listener has the push service", name), hint: "--listen 'tls://:4448?service=push' makes one"}
			}
		}
		return nil
	}
	numbers := make(map[uint32]bool)
	for _, text := range p.groups {
		g, err := policy.ParseGroup(text)
		if err == nil && numbers[g.Number] {
			err = errors.New("the number is that of another group")
		}
		if err != nil {
			return &hintedError{what: fmt.Sprintf("--group %s: %v", text, err), hint: "a group is written NUMBER=NAME, as in --group '1=R&D Department'"}
		}
		numbers[g.Number] = true
		p.named = append(p.named, g)
	}
	switch {
	case len(p.named) == 0 && p.policy == "":
		return &hintedError{what: "the push service has no groups", hint: hintGroup}
	case p.creds != "" && p.nats == "":
		return &hintedError{what: "--nats-creds needs --nats", hint: "--nats nats://HOST:4222 names the NATS server"}
	}
	p.maxData = push.DefaultMaxData
	if fs.Changed("max-message") {
		p.maxData = min(o.maxMessage, pushwire.MaxData) // as long as the encoding takes
	}
	return nil
}

// A pushService is the push service with the policy it goes by.
type pushService struct {
	*push.Service
	policy *policy.Policy // nil: everybody may do all
	log    *logrus.Logger

	mu     sync.Mutex // held while the Hub is told of a change
	cancel context.CancelFunc
	ended  chan struct{} // closed when the policy is watched no longer
}

// newPush makes the push service.
func newPush(opts options, key *key, log *logrus.Logger) (*pushService, error) {
	p := &opts.push
	s := &pushService{log: log, ended: make(chan struct{})}
	config := push.Config{
		Acceptor:  key.acceptor,
		LocalName: key.kerberos.LocalName,
		Limits:    push.Limits{MaxData: p.maxData},
		Setup:     func(h *push.Hub) error { return h.SetGroups(p.named) },
	}
	if log != nil && log.IsLevelEnabled(logrus.DebugLevel) {
		config.Hooks = s.logged()
	}
	if p.policy != "" {
		var err error
		if s.policy, err = policy.Load(p.policy, p.named...); err != nil {
			return nil, &hintedError{what: fmt.Sprintf("reading the push policy: %v", err), hint: policyHint(err)}
		}
		if len(s.policy.Groups()) == 0 {
			return nil, &hintedError{what: fmt.Sprintf("the push service has no groups: neither %s nor an option makes one", p.policy), hint: hintGroup}
		}
		config.Allowed = s.policy.Allowed
		config.Hooks.Arrive = s.arrive
		config.Setup = func(h *push.Hub) error { return h.SetGroups(s.policy.Groups()) }
	}
	if p.nats != "" {
		bus, err := joinNATS(p, log)
		if err != nil {
			return nil, err
		}
		config.Bus = bus
	}
	service, err := push.New(config)
	if err != nil {
		if config.Bus != nil {
			_ = config.Bus.Close() // nothing was given to it
		}
		return nil, fmt.Errorf("the push service: %w", err)
	}
	s.Service = service
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() {
		defer close(s.ended)
		if s.policy != nil {
			s.policy.Watch(ctx, s.changed)
		}
	}()
	return s, nil
}

func policyHint(err error) string {
	if _, ok := errors.AsType[*policy.Error](err); ok {
		return `lines are such as: group 1 "R&D Department", read 1 *@EXAMPLE.COM, publish 1,2 */admin@EXAMPLE.COM, arrive 1 *`
	}
	return ""
}

// arrive subscribes a client to what the policy has for it.
func (s *pushService) arrive(_ context.Context, m *push.Member) error {
	if err := m.Subscribe(s.policy.Arrive(m.Principal())...); err != nil && s.log != nil {
		s.log.WithError(err).WithField("client", m.Principal()).Warn("push: not subscribed on arrival")
	}
	return nil
}

// logged are hooks that log what clients do.
func (s *pushService) logged() push.Hooks {
	note := func(m *push.Member, what string, fields logrus.Fields) {
		fields["client"] = m.Principal()
		s.log.WithFields(fields).Debug("push: " + what)
	}
	return push.Hooks{
		Subscribe: func(_ context.Context, m *push.Member, groups []uint32) error {
			note(m, "subscribe", logrus.Fields{"groups": groups})
			return nil
		},
		Leave: func(_ context.Context, m *push.Member, groups []uint32) error {
			note(m, "leave", logrus.Fields{"groups": groups})
			return nil
		},
		Publish: func(_ context.Context, m *push.Member, groups []uint32, data []byte) error {
			note(m, "publish", logrus.Fields{"groups": groups, "octets": len(data)})
			return nil
		},
		Send: func(_ context.Context, m *push.Member, to string, data []byte) error {
			note(m, "send", logrus.Fields{"to": to, "octets": len(data)})
			return nil
		},
	}
}

// reload reads the policy now.
func (s *pushService) reload() {
	if s.policy == nil {
		return
	}
	if changed, err := s.policy.Reload(); changed || err != nil {
		s.changed(err)
	}
}

// changed has the Hub go by the policy as it is now, or logs why it is as before.
func (s *pushService) changed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		if err = s.Hub().SetGroups(s.policy.Groups()); err == nil {
			s.Hub().Recheck()
		}
	}
	switch {
	case s.log == nil:
	case err != nil:
		s.log.WithError(err).Error("push: the policy cannot be used, going on with the one before")
	default:
		s.log.Info("push: policy read again")
	}
}

// release ends what the service does by itself.
func (s *pushService) release() {
	s.cancel()
	<-s.ended
	_ = s.Close() // nobody is left who could be told
}

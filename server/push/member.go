package push

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/token"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A Member is one connection of a client. Its methods may be called by many
// goroutines, in hooks and outside; once the client is gone they do nothing.
type Member struct {
	hub       *Hub
	session   *server.Session
	wire      *pushwire.Conn
	frames    *token.Conn
	sec       gss.Context
	info      gss.Info
	memory    *token.Budget
	principal string
	local     string
	presence  bool // wants to know of others
	place     int  // in users.all, guarded there
	bucket    *bucket

	ctx      context.Context // ends with the session
	cancel   context.CancelFunc
	worker   sync.WaitGroup // does requests that take long
	writer   sync.WaitGroup
	leaving  chan struct{} // closed when the client has said that it is done
	progress chan struct{} // something that the reader may wait for has happened

	deadline sync.Mutex // of writes
	lostPeer bool

	mu     sync.Mutex
	groups []uint32 // in order
	gone   bool     // comes into no group any more
	was    []uint32 // groups, at the end
	queue
	last     []byte   // to be written when all else has been
	failure  error    // of writing
	underWay int      // requests whose result is not written yet
	signing  int      // of these, such that hold on to what was read
	working  bool     // requests wait for one that takes long
	waiting  [][]byte // such requests, copied
	pushed   uint64
	dropped  uint64

	requests int // done by the goroutine that serves it, or the one that works for it
	refused  refusals
}

var errGone = errors.New("push: the client is gone")

// Principal is who the client is, as its context says it.
func (m *Member) Principal() string { return m.principal }

// LocalName is the local user that the client stands for; empty: none.
func (m *Member) LocalName() string { return m.local }

// Info tells about the client's context.
func (m *Member) Info() gss.Info { return m.info }

// Groups gives the numbers of the groups that the client is in, in order; once it
// is gone, of those that it was in.
func (m *Member) Groups() []uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return slices.Clone(m.was)
	}
	return slices.Clone(m.groups)
}

// Subscribe has the client be in groups, all of them or, with an [*Error], none.
// The policy and the limit of groups hold, hooks are not asked. The client is told.
func (m *Member) Subscribe(groups ...uint32) error {
	if len(groups) == 0 {
		return nil
	}
	groups = sorted(groups)
	return m.hub.subscribe(m, groups, false, func(p []pushwire.Position) pushwire.Message {
		return pushwire.Joined{Groups: groups, Positions: p}
	})
}

// Leave has the client be in groups no longer. The error is an [*Error]. The
// client is told of those that it was in.
func (m *Member) Leave(groups ...uint32) error {
	locked, err := m.hub.lock(sorted(groups))
	if err != nil {
		return err
	}
	m.hub.leave(m, locked, false, func(left []uint32) pushwire.Message {
		if len(left) == 0 {
			return nil
		}
		return pushwire.Removed{Groups: left}
	})
	return nil
}

// Send sends data to this connection alone, as the server: From is empty. A
// client that takes messages too slowly loses it, and is told so.
func (m *Member) Send(data []byte) error {
	if len(data) > m.hub.cfg.Limits.MaxData {
		return tooLong(m.hub.cfg.Limits.MaxData)
	}
	encoded, err := pushwire.Append(nil, pushwire.Direct{Time: time.Now(), Data: data})
	if err != nil {
		return err
	}
	m.direct(encoded)
	return nil
}

// groupsChanged has the client told what the groups are now.
func (m *Member) groupsChanged() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.news {
		m.news = true // until it is written, when it is asked what they are
		m.control(item{news: true})
	}
}

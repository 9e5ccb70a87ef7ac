package ccache

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
)

// memory is a cache in this process.
type memory struct {
	name string

	mu    sync.Mutex
	cache *Cache // nil until initialised; replaced by another value when it changes, so that it can be handed out
}

var (
	namedMu sync.Mutex
	named   = make(map[string]*memory)
)

// namedMemory gives the one cache of the process with that name ("MEMORY:..."). Its content lives until it is destroyed, the
// name for good, so that all who have it keep meaning the same cache: for caches by the thousand there is [NewMemory].
func namedMemory(name string) *memory {
	namedMu.Lock()
	defer namedMu.Unlock()
	m := named[name]
	if m == nil {
		m = &memory{name: strings.Clone(name)}
		named[m.name] = m
	}
	return m
}

// NewMemory gives a cache in memory that no name reaches: it lives as long as the Store does.
func NewMemory() *Store {
	m := new(memory)
	m.name = fmt.Sprintf("MEMORY:%p", m)
	return &Store{m.name, m}
}

func (m *memory) missing() error { return &Error{m.name, fs.ErrNotExist} }

func (m *memory) load(context.Context) (*Cache, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cache == nil {
		return nil, m.missing()
	}
	return m.cache, nil
}

func (m *memory) replace(_ context.Context, c *Cache) error {
	own := *c
	own.Credentials = slices.Clone(c.Credentials)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cache = &own
	return nil
}

func (m *memory) append(_ context.Context, cred *Credential) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cache == nil {
		return m.missing()
	}
	next := *m.cache
	next.Credentials = append(m.cache.Credentials, *cred) // behind the length that readers of the old value know
	m.cache = &next
	return nil
}

func (m *memory) remove(_ context.Context, match func(*Credential) bool) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cache == nil {
		return 0, m.missing()
	}
	next := *m.cache
	next.Credentials = slices.DeleteFunc(slices.Clone(m.cache.Credentials), func(c Credential) bool { return match(&c) })
	removed := len(m.cache.Credentials) - len(next.Credentials)
	m.cache = &next
	return removed, nil
}

func (m *memory) destroy(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cache == nil {
		return m.missing()
	}
	m.cache = nil
	return nil
}

package rcache

import (
	"sync"
	"time"
)

// Memory is a replay cache of one process. An entry takes about 100 bytes and is kept until its authenticator's time plus
// the skew has passed; then it goes with all others of its second, at the next Store. There is one lock and not
// many: with a million entries a Store holds it for less than a microsecond.
type Memory struct {
	config Config
	limit  int

	mu      sync.Mutex
	seen    map[memoryTag]struct{}
	expiry  map[int64][]memoryTag // by the Unix second from which the tags may be forgotten
	floor   int64                 // every second before it has been emptied
	refused uint64
	replays uint64
}

// memoryTag is the whole tag and its length, so that none is another's prefix.
type memoryTag [MaxTag + 1]byte

// NewMemory gives a cache of at most limit entries; a limit of 0 or less stands for a million. At 300 s of skew, a million
// entries last for 1,600 contexts a second for clients whose clocks are ahead by all of the skew, for 3,300 if they are right.
func NewMemory(limit int, c Config) *Memory {
	if limit <= 0 {
		limit = 1_000_000
	}
	m := &Memory{config: c.complete(), limit: limit}
	m.seen = make(map[memoryTag]struct{})
	m.expiry = make(map[int64][]memoryTag)
	m.floor = m.config.Now().Unix()
	return m
}

// Store remembers a tag: see [Cache]. The errors are [ErrReplay] and [ErrFull].
func (m *Memory) Store(tag []byte, at time.Time) error {
	now := m.config.Now()
	if err := m.config.check(tag, at, now); err != nil {
		return err
	}
	key := memoryTag{MaxTag: byte(len(tag))}
	copy(key[:], tag)

	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(now.Unix())
	if _, known := m.seen[key]; known {
		m.replays++
		return ErrReplay
	}
	if len(m.seen) >= m.limit {
		m.refused++
		return ErrFull
	}
	second := max(at.Add(m.config.Skew).Unix()+1, m.floor) // the first second in which it is over
	m.seen[key] = struct{}{}
	m.expiry[second] = append(m.expiry[second], key)
	return nil
}

// forget empties the seconds up to now. Every entry is visited once in its life, and every second once unless more of them
// went by than hold anything. A clock that was set back makes entries stay longer, never shorter.
func (m *Memory) forget(now int64) {
	if now < m.floor {
		return
	}
	if now-m.floor > int64(len(m.expiry)) {
		for second := range m.expiry {
			if second <= now {
				m.empty(second)
			}
		}
	} else {
		for second := m.floor; second <= now; second++ {
			m.empty(second)
		}
	}
	m.floor = now + 1
}

func (m *Memory) empty(second int64) {
	for _, key := range m.expiry[second] {
		delete(m.seen, key)
	}
	delete(m.expiry, second)
}

// Stats is what a cache has done.
type Stats struct {
	Entries int    // held now, expired ones that no Store has removed yet included
	Replays uint64 // refused with ErrReplay
	Refused uint64 // refused with ErrFull
}

// Stats tells what the cache holds and has refused.
func (m *Memory) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Stats{len(m.seen), m.replays, m.refused}
}

package push

import (
	"slices"
	"sync"
	"time"
)

// users are the sessions by principal and by local name.
type users struct {
	mu     sync.RWMutex
	byName map[User]*user
	all    []*Member
}

// A user is a principal or a local name that is connected, or was so shortly ago.
type user struct {
	sessions []*Member // replaced, never changed
	bucket   bucket    // of a principal
	watched  bool      // it will be looked whether it is to be forgotten
}

func (u *users) sessions(who User) []*Member {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if known := u.byName[who]; known != nil {
		return known.sessions
	}
	return nil
}

// names are those by which messages reach the member.
func (m *Member) names() []User {
	names := []User{{Name: m.principal}}
	if m.local != "" {
		names = append(names, User{Name: m.local, Local: true})
	}
	return names
}

func (u *users) user(who User, burst int) *user {
	known := u.byName[who]
	if known == nil {
		known = &user{bucket: bucket{tokens: float64(burst)}}
		u.byName[who] = known
	}
	return known
}

// arrive makes the member reachable by its names.
func (h *Hub) arrive(m *Member) {
	h.users.mu.Lock()
	defer h.users.mu.Unlock()
	h.users.all = append(h.users.all, m)
	m.place = len(h.users.all) - 1
	for _, who := range m.names() {
		known := h.users.user(who, h.cfg.Limits.Burst)
		if !who.Local {
			m.bucket = &known.bucket
		}
		known.sessions = append(slices.Clip(known.sessions), m)
		if len(known.sessions) == 1 && h.bus != nil {
			_ = h.bus.WantUser(who, true) // who is sought from elsewhere is then not found
		}
	}
}

// depart makes the member unreachable. What is left of a principal is its bucket,
// until that is full again.
func (h *Hub) depart(m *Member) {
	h.users.mu.Lock()
	defer h.users.mu.Unlock()
	all := h.users.all
	last := all[len(all)-1]
	all[m.place], last.place = last, m.place
	all[len(all)-1] = nil
	h.users.all = all[:len(all)-1]
	for _, who := range m.names() {
		known := h.users.byName[who]
		known.sessions = slices.DeleteFunc(slices.Clone(known.sessions), func(s *Member) bool { return s == m })
		if len(known.sessions) > 0 {
			continue
		}
		if h.bus != nil {
			_ = h.bus.WantUser(who, false) // what comes in spite of it finds nobody
		}
		if who.Local {
			delete(h.users.byName, who)
			continue
		}
		if !known.watched {
			known.watched = true
			time.AfterFunc(h.refill(), func() { h.forgetUser(who, known) })
		}
	}
}

// refill is how long an empty bucket takes to be full, or until it is looked again.
func (h *Hub) refill() time.Duration {
	const often = 3600
	seconds := float64(h.cfg.Limits.Burst) / float64(h.cfg.Limits.Rate)
	return time.Duration(min(seconds, often) * float64(time.Second))
}

// forgetUser forgets a principal that is gone and has its whole burst again.
func (h *Hub) forgetUser(who User, known *user) {
	h.users.mu.Lock()
	defer h.users.mu.Unlock()
	known.watched = false
	switch {
	case len(known.sessions) > 0:
	case known.bucket.full(time.Now(), h.cfg.Limits.Rate, h.cfg.Limits.Burst):
		delete(h.users.byName, who)
	default:
		known.watched = true
		time.AfterFunc(h.refill(), func() { h.forgetUser(who, known) })
	}
}

// everybody gives all who are connected now.
func (h *Hub) everybody() []*Member {
	h.users.mu.RLock()
	defer h.users.mu.RUnlock()
	return slices.Clone(h.users.all)
}

// A bucket holds a principal's requests ahead of its rate.
type bucket struct {
	mu     sync.Mutex
	tokens float64
	filled time.Time
}

// take takes a request out of the bucket, if there is one.
func (b *bucket) take(now time.Time, rate, burst int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now, rate, burst)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// full reports whether nothing is missing.
func (b *bucket) full(now time.Time, rate, burst int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now, rate, burst)
	return b.tokens >= float64(burst)
}

func (b *bucket) fill(now time.Time, rate, burst int) {
	if passed := now.Sub(b.filled); passed > 0 {
		if !b.filled.IsZero() {
			b.tokens = min(float64(burst), b.tokens+passed.Seconds()*float64(rate))
		}
		b.filled = now
	}
}

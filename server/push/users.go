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
		full := time.Duration(float64(h.cfg.Limits.Burst) / float64(h.cfg.Limits.Rate) * float64(time.Second))
		time.AfterFunc(full, func() { h.forgetUser(who, known) })
	}
}

func (h *Hub) forgetUser(who User, gone *user) {
	h.users.mu.Lock()
	defer h.users.mu.Unlock()
	if h.users.byName[who] == gone && len(gone.sessions) == 0 {
		delete(h.users.byName, who)
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
	if passed := now.Sub(b.filled); passed > 0 {
		if !b.filled.IsZero() {
			b.tokens = min(float64(burst), b.tokens+passed.Seconds()*float64(rate))
		}
		b.filled = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

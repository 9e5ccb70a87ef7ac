package policy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

const (
	// interval is how often Watch looks at the file. That costs one system call.
	interval = time.Second

	// settling is how long after a change a file can change again without its
	// modification time or size showing it: the coarsest clocks of file systems
	// count in steps of two seconds.
	settling = 2 * time.Second
)

// A Policy is what a policy file says. Its methods are safe for concurrent use,
// and answer by the file as it was last read with success.
type Policy struct {
	path  string
	also  []push.Group
	rules atomic.Pointer[rules]

	mu   sync.Mutex // held while reading
	seen look
	sum  [sha256.Size]byte // of what was read last, good or bad
}

// A look is how a file looks without being read.
type look struct {
	info os.FileInfo // nil: it is not there
	at   time.Time
}

// same reports whether the file looks the same as before, when it had settled.
func (l look) same(now look) bool {
	if l.info == nil || now.info == nil {
		return l.info == nil && now.info == nil
	}
	return l.at.Sub(l.info.ModTime()).Abs() >= settling && os.SameFile(l.info, now.info) &&
		l.info.Size() == now.info.Size() && l.info.ModTime().Equal(now.info.ModTime())
}

// Load reads a policy file. also are groups that there are beside those of the
// file. Its errors are [*Error] for what the file says, and those of the file system.
func Load(path string, also ...push.Group) (*Policy, error) {
	p := &Policy{path: path, also: slices.Clone(also)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.read(true); err != nil {
		return nil, err
	}
	return p, nil
}

// Groups gives all groups by their numbers.
func (p *Policy) Groups() []push.Group { return slices.Clone(p.rules.Load().groups) }

// Allowed reports whether a user, which is a principal as a context has it, has a
// right to a group, or all of several.
func (p *Policy) Allowed(user string, group uint32, right pushwire.Right) bool {
	if right == 0 || right&^(pushwire.Read|pushwire.Publish) != 0 {
		return false
	}
	r, who := p.rules.Load(), name(user)
	return (right&pushwire.Read == 0 || r.gives(read, group, who)) &&
		(right&pushwire.Publish == 0 || r.gives(publish, group, who))
}

// Arrive gives the groups to which a user is subscribed on arrival.
func (p *Policy) Arrive(user string) []uint32 {
	r, who := p.rules.Load(), name(user)
	var groups []uint32
	for _, g := range r.groups {
		if r.gives(arrive, g.Number, who) && r.gives(read, g.Number, who) {
			groups = append(groups, g.Number)
		}
	}
	return groups
}

// name takes a user's name apart. A name that is no principal is nil, and
// allowed what everybody is.
func name(user string) principal {
	p, err := parsePrincipal(user, false)
	if err != nil {
		return nil
	}
	return p
}

func (r *rules) gives(kind int, group uint32, p principal) bool {
	if r.every[kind].has(p) {
		return true
	}
	of := r.of[group]
	return of != nil && of[kind].has(p)
}

// Reload reads the file now, whether it looks changed or not, and reports whether it
// says something else than before. What it said before stays when there is an
// error.
func (p *Policy) Reload() (changed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read(true)
}

// Watch reads the file whenever it has changed, until ctx ends. It calls told after
// that: with nil when it says something else than before, and with an error, once,
// when it cannot be used.
func (p *Policy) Watch(ctx context.Context, told func(error)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		changed, err := p.read(false)
		p.mu.Unlock()
		if changed || err != nil {
			told(err)
		}
	}
}

var errIrregular = errors.New("is no regular file, which could be read again")

// read reads the file if it looks changed, or anyway. Of what it reads a second
// time it says nothing, unless it reads anyway. The caller holds p.mu.
func (p *Policy) read(anyway bool) (changed bool, err error) {
	now := look{at: time.Now()}
	info, err := os.Stat(p.path)
	if err == nil {
		now.info = info
	}
	if !anyway && p.seen.same(now) {
		return false, nil
	}
	var content []byte
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s %w", p.path, errIrregular)
	default:
		content, err = readFile(p.path)
	}
	sum := sha256.Sum256(content)
	known := sum == p.sum && p.seen.info != nil && now.info != nil
	p.seen, p.sum = now, sum
	if known && !anyway {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	next, err := parse(p.path, string(content), p.also)
	if err != nil {
		return false, err
	}
	p.rules.Store(next)
	return !known, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, &Error{File: path, Err: fmt.Errorf("longer than %d bytes", maxFile)}
	}
	return content, nil
}

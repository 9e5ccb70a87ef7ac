package gsstest

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Defaults of a [Config], and the bounds that no option changes.
const (
	defaultName         = "GSSTEST.EXAMPLE"
	defaultLifetime     = 24 * time.Hour
	defaultRenewable    = 7 * 24 * time.Hour
	clockSkew           = 5 * time.Minute // MIT's and RFC 4120's customary value
	maxComponents       = 16              // of a principal name; real ones have one to three
	maxNameLength       = 1024            // bytes of a principal or realm name
	portAttempts        = 32              // tries for a port that is free for UDP and TCP
	defaultListenOnAddr = "127.0.0.1:0"
)

// Config says what realm to run. The zero value is a usable realm.
type Config struct {
	// Name of the realm; "GSSTEST.EXAMPLE" when empty.
	Name string

	// Listen is the loopback address and port for UDP and TCP alike. When empty
	// or with port 0 the system chooses a port that is free for both. An address
	// beyond loopback is refused.
	Listen string

	// Enctypes are the encryption types that principals get keys of, the
	// preferred one first: any of 17, 18, 19 and 20. All four, in the order 18,
	// 17, 20, 19, when empty.
	Enctypes []int32

	// MaxLifetime and MaxRenewable bound tickets; 24 hours and 7 days when zero.
	MaxLifetime  time.Duration
	MaxRenewable time.Duration

	// Time is the KDC's clock; time.Now when nil. It is called from several
	// goroutines.
	Time func() time.Time

	// OnEvent, when not nil, is told of every request when its fate is decided,
	// right before the reply is sent. It is called from several goroutines, and a
	// client waits for as long as it takes.
	OnEvent func(Event)
}

// A Realm is a running KDC with its database. Its methods are safe for
// concurrent use.
type Realm struct {
	config Config
	udp    net.PacketConn
	tcp    net.Listener

	mu         sync.Mutex
	principals map[string]*principal // by name without realm, components quoted
	faults     Faults
	stats      Stats
	conns      map[net.Conn]struct{}
	closed     bool

	serving sync.WaitGroup
}

// NewRealm starts a KDC on one loopback port, UDP and TCP, with no principal but
// its own ticket-granting service. The caller must [Realm.Close] it. It fails
// for a Config that makes no sense and when no port can be had.
func NewRealm(config Config) (*Realm, error) {
	config, err := config.complete()
	if err != nil {
		return nil, fmt.Errorf("gsstest: %w", err)
	}
	r := &Realm{
		config:     config,
		principals: make(map[string]*principal),
		conns:      make(map[net.Conn]struct{}),
	}
	if err := r.AddService("krbtgt/" + quoteComponent(config.Name)); err != nil {
		return nil, err
	}
	if err := r.listen(); err != nil {
		return nil, fmt.Errorf("gsstest: %w", err)
	}
	r.serving.Add(2)
	go r.serveUDP()
	go r.serveTCP()
	return r, nil
}

// complete returns a copy of c with the defaults filled in, or says what is
// wrong with it.
func (c Config) complete() (Config, error) {
	if c.Name == "" {
		c.Name = defaultName
	}
	if len(c.Name) > maxNameLength || strings.ContainsAny(c.Name, "/@: \t\r\n{}=#;\"\x00") {
		return c, fmt.Errorf("realm name %q: not usable in krb5.conf", c.Name)
	}
	if c.Listen == "" {
		c.Listen = defaultListenOnAddr
	}
	if len(c.Enctypes) == 0 {
		c.Enctypes = defaultEnctypes
	}
	if err := checkEnctypes(c.Enctypes); err != nil {
		return c, err
	}
	c.Enctypes = append([]int32(nil), c.Enctypes...)
	if c.MaxLifetime < 0 || c.MaxRenewable < 0 {
		return c, errors.New("negative ticket lifetime")
	}
	if c.MaxLifetime == 0 {
		c.MaxLifetime = defaultLifetime
	}
	if c.MaxRenewable == 0 {
		c.MaxRenewable = defaultRenewable
	}
	if c.Time == nil {
		c.Time = time.Now
	}
	return c, nil
}

// Close stops the KDC, drops its connections and waits for their goroutines.
// Calling it again does nothing.
func (r *Realm) Close() {
	r.mu.Lock()
	already := r.closed
	r.closed = true
	for conn := range r.conns {
		conn.Close()
	}
	r.mu.Unlock()
	if !already {
		r.udp.Close()
		r.tcp.Close()
	}
	r.serving.Wait()
}

// Name is the realm's name.
func (r *Realm) Name() string { return r.config.Name }

// Addr is the KDC's address as "127.0.0.1:port", for UDP and TCP alike.
func (r *Realm) Addr() string { return r.tcp.Addr().String() }

// now is the KDC's clock, with the offset that a test may have ordered.
func (r *Realm) now() time.Time {
	return r.config.Time().Add(r.currentFaults().ClockOffset).UTC()
}

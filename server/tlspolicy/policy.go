package tlspolicy

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"time"
)

// A Policy does the TLS of a server as its [Config] says. Its methods are safe
// for concurrent use.
type Policy struct {
	cfg         Config
	identity    *source[*tls.Certificate]
	authorities *source[*authorities] // nil: client certificates are not asked for
	crls        *source[*crls]        // nil: none are given

	// base holds the keys of session tickets, which crypto/tls makes and
	// changes, for all connections; the rest is configured for each.
	base *tls.Config
}

// New reads the files and checks everything that can be. Its errors are
// [*Error], or of the file system. That a CRL is past its next update is none: it
// is reported to the config's Trace. A file that is changed to something wrong
// later is reported there, too, and what it held before stays in force until what
// it holds can be used.
func New(cfg Config) (*Policy, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	p := &Policy{cfg: cfg, identity: identitySource(&cfg)}
	p.identity.report = p.changed("TLS key")
	if err := p.identity.open(); err != nil {
		return nil, err
	}
	if cfg.ClientCert != None {
		p.authorities = authoritySource(cfg.ClientCAFile)
		p.authorities.report = p.changed("client CAs")
		if err := p.authorities.open(); err != nil {
			return nil, err
		}
	}
	if len(cfg.CRLFiles) > 0 {
		cas := func() []*x509.Certificate { return p.authorities.current().certs }
		p.crls = crlSource(cfg.CRLFiles, cas, cfg.Time)
		p.crls.report = p.changed("CRLs")
		if err := p.crls.open(); err != nil {
			return nil, err
		}
		for _, lists := range p.crls.made.Load().value.byIssuer {
			if err := lists[0].fresh(cfg.Time()); err != nil { // which is the newest
				cfg.Trace(Event{Step: "a CRL is out of date", Detail: lists[0].path, Err: err})
			}
		}
	}
	p.base = &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			return hello.Conn.(*link).owner.configure(hello), nil
		},
	}
	return p, nil
}

func (p *Policy) changed(what string) func(string, error) {
	return func(path string, err error) {
		if err != nil {
			p.cfg.Trace(Event{Step: what + " cannot be used, going on with those before", Detail: path, Err: err})
			return
		}
		p.cfg.Trace(Event{Step: what + " read again", Detail: path})
	}
}

// Reload reads the files again now. Without it a change counts as well, from
// the next handshake on.
func (p *Policy) Reload() {
	p.identity.reload()
	if p.authorities != nil {
		p.authorities.reload()
	}
	if p.crls != nil {
		p.crls.reload()
	}
}

// Settings are what one connection has of its own, in place of the policy's.
type Settings struct {
	ClientCert *Mode    // nil: the policy's; another than None needs the policy's ClientCAFile
	MinVersion uint16   // 0: the policy's
	NextProtos []string // ALPN, most wanted first
}

// Server makes the server's side of TLS on an accepted connection, which it
// owns from here on. Nothing is read yet. An error says that the settings ask
// for what the policy cannot give; the connection is then the caller's still.
func (p *Policy) Server(conn net.Conn, set Settings) (*Conn, error) {
	c := &Conn{policy: p, raw: conn, mode: p.cfg.ClientCert, minVersion: p.cfg.MinVersion, nextProtos: slices.Clone(set.NextProtos)}
	if set.ClientCert != nil {
		if *set.ClientCert < None || *set.ClientCert > Require || *set.ClientCert != None && p.authorities == nil {
			return nil, hinted("give the policy a ClientCAFile", "client certificates in mode %v: the policy has no CAs to judge them by", *set.ClientCert)
		}
		c.mode, c.ownMode = *set.ClientCert, *set.ClientCert != p.cfg.ClientCert
	}
	if set.MinVersion != 0 {
		own := p.cfg
		own.MinVersion, own.CipherSuites = set.MinVersion, nil
		if _, err := own.complete(); err != nil {
			return nil, err
		}
		c.minVersion = set.MinVersion
	}
	c.tls = tls.Server(&link{Conn: conn, owner: c}, p.base)
	return c, nil
}

// Listen makes a listener whose connections are [*Conn], not yet handshaken.
func (p *Policy) Listen(inner net.Listener) net.Listener { return &listener{inner, p} }

type listener struct {
	net.Listener
	policy *Policy
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.policy.Server(conn, Settings{})
}

// link is how crypto/tls, which sees only the connection below, finds the way
// back to ours.
type link struct {
	net.Conn
	owner *Conn
}

// configure gives the config of one connection, from the files as they are now.
func (c *Conn) configure(hello *tls.ClientHelloInfo) *tls.Config {
	p := c.policy
	c.hello(hello)
	id := p.identity.current()
	c.leaf = id.Leaf
	c.step("certificate chosen", "serial "+serialText(id.Leaf.SerialNumber)+" of "+id.Leaf.Subject.String()+", until "+id.Leaf.NotAfter.UTC().Format(time.RFC3339), nil)
	cfg := &tls.Config{
		Certificates:           []tls.Certificate{*id},
		MinVersion:             c.minVersion,
		CipherSuites:           p.cfg.CipherSuites,
		NextProtos:             c.nextProtos,
		Time:                   p.cfg.Time,
		VerifyConnection:       c.verify,
		SessionTicketsDisabled: c.ownMode, // a session says nothing of a certificate that was not asked for
	}
	switch c.mode {
	case None:
	case Require:
		cfg.ClientAuth = tls.RequireAnyClientCert // judged by verify
	default:
		cfg.ClientAuth = tls.RequestClientCert
	}
	if c.mode != None {
		cfg.ClientCAs = p.authorities.current().pool
	}
	return cfg
}

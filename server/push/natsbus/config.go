package natsbus

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/token/pushwire"
)

// Defaults of a [Config].
const (
	DefaultName           = "countersign push"
	DefaultConnectTimeout = 10 * time.Second
	DefaultSendTimeout    = 2 * time.Second
)

const (
	// maxServers is the highest number of URLs: each has its part of the
	// time in which a connection is to be had.
	maxServers = 16

	defaultPort = "4222"
)

// A Config says where NATS is, and how it is used. Zero means the default,
// but for Servers, which has none.
type Config struct {
	// Servers are the URLs of the NATS servers, with commas between them:
	// nats:// or tls://, with a user and password where these are asked
	// for. One that cannot be reached is passed over for the next. Servers
	// that are not named here are never connected to, whatever NATS says
	// of its cluster: so name them all.
	Servers string

	// CredentialsFile has the user's JWT and seed, as NATS's tools write them.
	// It is read for every connection.
	CredentialsFile string

	TLS  *tls.Config // for tls:// and servers that insist; nil: the system's roots, TLS 1.2 or later
	Name string      // of the connection, for NATS's operators

	// Prefix begins all subjects: servers of one prefix are one audience.
	Prefix string

	// MaxData is the longest data of a message that the Hub lets through, in
	// octets; zero is as long as messages can be. [Bus.Join] fails if NATS takes less.
	MaxData int

	ConnectTimeout time.Duration // in which Join has a connection, or fails
	SendTimeout    time.Duration // in which other servers have answered, or did not

	Log *logrus.Logger // nil: no log
}

// withDefaults gives the config completed, and the servers in it.
func (cfg Config) withDefaults() (Config, []*url.URL, error) {
	servers, err := parseServers(cfg.Servers)
	if err != nil {
		return cfg, nil, err
	}
	if cfg.CredentialsFile != "" {
		f, err := os.Open(cfg.CredentialsFile)
		if err != nil {
			return cfg, nil, fmt.Errorf("NATS credentials: %w", err)
		}
		f.Close()
	}
	if cfg.Name == "" {
		cfg.Name = DefaultName
	}
	if cfg.Prefix == "" {
		cfg.Prefix = DefaultPrefix
	}
	if err := checkPrefix(cfg.Prefix); err != nil {
		return cfg, nil, fmt.Errorf("prefix of NATS subjects: %w", err)
	}
	if cfg.MaxData < 0 || cfg.MaxData > pushwire.MaxData {
		return cfg, nil, fmt.Errorf("%d octets of data in a message, at most %d are possible", cfg.MaxData, pushwire.MaxData)
	}
	if cfg.MaxData == 0 {
		cfg.MaxData = pushwire.MaxData
	}
	for _, d := range []struct {
		what  string
		value *time.Duration
		def   time.Duration
	}{
		{"time to connect to NATS", &cfg.ConnectTimeout, DefaultConnectTimeout},
		{"time for answers over NATS", &cfg.SendTimeout, DefaultSendTimeout},
	} {
		if *d.value < 0 {
			return cfg, nil, fmt.Errorf("negative %s: %v", d.what, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	return cfg, servers, nil
}

// parseServers reads the URLs. An error says which it is about by its number and,
// where there is one, its host: of the rest anything may be a password.
func parseServers(list string) ([]*url.URL, error) {
	var servers []*url.URL
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		u, err := parseServer(text)
		if err != nil {
			return nil, fmt.Errorf("NATS server %d: %w", len(servers)+1, err)
		}
		servers = append(servers, u)
	}
	switch {
	case len(servers) == 0:
		return nil, errors.New("no URL of a NATS server")
	case len(servers) > maxServers:
		return nil, fmt.Errorf("%d NATS servers, at most %d are possible", len(servers), maxServers)
	}
	return servers, nil
}

func parseServer(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("not a URL such as nats://host:4222 or tls://user:password@host:4222 (in a password @ is written %40, / %2F and % %25)")
	case u.Scheme != "nats" && u.Scheme != "tls":
		return nil, errors.New("URL that begins neither with nats:// nor with tls://")
	case u.Hostname() == "":
		return nil, errors.New("URL without a host")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("URL with more than a user, host and port: what follows %s is not used", u.Host)
	}
	u.Path = ""
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), defaultPort)
	}
	return u, nil
}

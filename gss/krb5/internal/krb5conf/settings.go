package krb5conf

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Canonicalize is the value of dns_canonicalize_hostname.
type Canonicalize int

// How host names are made canonical by DNS.
const (
	CanonicalizeAlways   Canonicalize = iota // "true", MIT's default: use the name that DNS gives
	CanonicalizeNever                        // "false": use the name as the user gave it
	CanonicalizeFallback                     // "fallback": as the user gave it, and DNS's if the KDC does not know that
)

// Settings is [libdefaults] with MIT's defaults filled in. Lists of encryption
// types stay as written, for package etype to read; empty where there are none.
type Settings struct {
	DefaultRealm string // empty where the files name none

	AllowWeakCrypto    bool
	AllowRC4           bool
	AllowDES3          bool
	PermittedEnctypes  string
	DefaultTGSEnctypes string // permitted_enctypes where not set
	DefaultTktEnctypes string // permitted_enctypes where not set

	ClockSkew          time.Duration
	KDCTimeSync        bool          // correct for the clock offset that a KDC shows
	KDCTimeout         time.Duration // kdc_timeout: bound on one exchange with a realm's KDCs; zero for none
	UDPPreferenceLimit int           // bytes; a longer request goes over TCP first

	DNSLookupKDC            bool
	DNSLookupRealm          bool
	DNSCanonicalizeHostname Canonicalize
	RDNS                    bool
	QualifyShortname        string // domain for names without a dot, where QualifySet
	QualifySet              bool   // not set: the resolver's first search domain
	IgnoreAcceptorHostname  bool

	ClientAwareChannelBindings bool // say in every AP-REQ that channel bindings are known of

	Forwardable    bool
	Proxiable      bool
	NoAddresses    bool
	Canonicalize   bool // ask the KDC for a canonical client name
	TicketLifetime time.Duration
	RenewLifetime  time.Duration // zero: not renewable

	DefaultKeytabName       string // with tokens such as %{uid} expanded
	DefaultClientKeytabName string
	DefaultCCacheName       string
	DefaultRCacheName       string // empty where not set
}

// Bounds and defaults of MIT's library.
const (
	defaultClockSkew          = 300 * time.Second
	defaultTicketLifetime     = 24 * time.Hour
	defaultUDPPreferenceLimit = 1465
	maxUDPPreferenceLimit     = 32700 // MIT lowers a higher value to it

	defaultKeytab       = "FILE:/etc/krb5.keytab"
	defaultClientKeytab = "FILE:/etc/krb5/user/%{euid}/client.keytab"
	defaultCCache       = "FILE:/tmp/krb5cc_%{uid}"
)

var (
	errCanonicalize = errors.New(`invalid value: write true, false or fallback`)
	errNegative     = errors.New("must not be negative")
)

// Settings reads [libdefaults]. A relation in the subsection of the default realm
// has precedence; of a repeated relation the first counts. The error is an
// [*Error] that names the value which cannot be understood.
func (p *Profile) Settings() (Settings, error) {
	l := libdefaults{profile: p}
	l.realm = l.string("default_realm", "")
	s := Settings{
		DefaultRealm: l.realm,

		AllowWeakCrypto:   l.bool("allow_weak_crypto", false),
		AllowRC4:          l.bool("allow_rc4", false),
		AllowDES3:         l.bool("allow_des3", false),
		PermittedEnctypes: l.string("permitted_enctypes", ""),

		ClockSkew:          l.duration("clockskew", defaultClockSkew),
		KDCTimeSync:        l.bool("kdc_timesync", true),
		KDCTimeout:         l.duration("kdc_timeout", 0),
		UDPPreferenceLimit: min(l.int("udp_preference_limit", defaultUDPPreferenceLimit), maxUDPPreferenceLimit),

		DNSLookupKDC:            l.bool("dns_lookup_kdc", true),
		DNSLookupRealm:          l.bool("dns_lookup_realm", false),
		DNSCanonicalizeHostname: l.canonicalize("dns_canonicalize_hostname"),
		RDNS:                    l.bool("rdns", true),
		QualifyShortname:        l.string("qualify_shortname", ""),
		IgnoreAcceptorHostname:  l.bool("ignore_acceptor_hostname", false),

		ClientAwareChannelBindings: l.bool("client_aware_channel_bindings", false),

		Forwardable:    l.bool("forwardable", false),
		Proxiable:      l.bool("proxiable", false),
		NoAddresses:    l.bool("noaddresses", true),
		Canonicalize:   l.bool("canonicalize", false),
		TicketLifetime: l.duration("ticket_lifetime", defaultTicketLifetime),
		RenewLifetime:  l.duration("renew_lifetime", 0),

		DefaultKeytabName:       l.path("default_keytab_name", defaultKeytab),
		DefaultClientKeytabName: l.path("default_client_keytab_name", defaultClientKeytab),
		DefaultCCacheName:       l.path("default_ccache_name", defaultCCache),
		DefaultRCacheName:       l.path("default_rcache_name", ""),
	}
	s.DefaultTGSEnctypes = l.string("default_tgs_enctypes", s.PermittedEnctypes)
	s.DefaultTktEnctypes = l.string("default_tkt_enctypes", s.PermittedEnctypes)
	_, s.QualifySet = l.lookup("qualify_shortname")
	if s.TicketLifetime == 0 {
		s.TicketLifetime = defaultTicketLifetime
	}
	if l.err != nil {
		return Settings{}, l.err
	}
	return s, nil
}

// libdefaults reads relations of [libdefaults] and keeps the first error.
type libdefaults struct {
	profile *Profile
	realm   string
	err     error
}

func (l *libdefaults) lookup(name string) (relation, bool) {
	if l.realm != "" {
		if rs := l.profile.lookup("libdefaults", l.realm, name); len(rs) > 0 {
			return rs[0], true
		}
	}
	if rs := l.profile.lookup("libdefaults", name); len(rs) > 0 {
		return rs[0], true
	}
	return relation{}, false
}

func (l *libdefaults) fail(name string, r relation, err error) {
	if l.err == nil {
		l.err = newError(r.file, r.line, name+" = "+r.value, err)
	}
}

func (l *libdefaults) string(name, def string) string {
	if r, ok := l.lookup(name); ok {
		return r.value
	}
	return def
}

func (l *libdefaults) bool(name string, def bool) bool {
	r, ok := l.lookup(name)
	if !ok {
		return def
	}
	v, err := parseBool(r.value)
	if err != nil {
		l.fail(name, r, err)
	}
	return v
}

func (l *libdefaults) int(name string, def int) int {
	r, ok := l.lookup(name)
	if !ok {
		return def
	}
	v, err := parseInt(r.value)
	if err == nil && v < 0 {
		err = errNegative
	}
	if err != nil {
		l.fail(name, r, err)
	}
	return v
}

func (l *libdefaults) duration(name string, def time.Duration) time.Duration {
	r, ok := l.lookup(name)
	if !ok {
		return def
	}
	v, err := parseDuration(r.value)
	if err == nil && v < 0 {
		err = errNegative
	}
	if err != nil {
		l.fail(name, r, err)
	}
	return v
}

func (l *libdefaults) canonicalize(name string) Canonicalize {
	r, ok := l.lookup(name)
	if !ok {
		return CanonicalizeAlways
	}
	if strings.EqualFold(r.value, "fallback") {
		return CanonicalizeFallback
	}
	v, err := parseBool(r.value)
	if err != nil {
		l.fail(name, r, errCanonicalize)
	}
	if v {
		return CanonicalizeAlways
	}
	return CanonicalizeNever
}

func (l *libdefaults) path(name, def string) string {
	r, ok := l.lookup(name)
	if !ok {
		r = relation{value: def}
	}
	v, err := expandTokens(r.value)
	if err != nil {
		l.fail(name, r, fmt.Errorf("path cannot be expanded: %w", err))
	}
	return v
}

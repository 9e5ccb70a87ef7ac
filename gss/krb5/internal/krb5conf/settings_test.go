package krb5conf

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func mustParse(t *testing.T, text string) *Profile {
	t.Helper()
	p, err := Parse("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSettingsDefaults(t *testing.T) {
	want := Settings{
		ClockSkew: 5 * time.Minute, KDCTimeSync: true, UDPPreferenceLimit: 1465,
		DNSLookupKDC: true, RDNS: true, NoAddresses: true, TicketLifetime: 24 * time.Hour,
		DefaultKeytabName:       "FILE:/etc/krb5.keytab",
		DefaultClientKeytabName: fmt.Sprintf("FILE:/etc/krb5/user/%d/client.keytab", os.Geteuid()),
		DefaultCCacheName:       fmt.Sprintf("FILE:/tmp/krb5cc_%d", os.Getuid()),
	}
	for _, p := range []*Profile{nil, {}, mustParse(t, "")} {
		got, err := p.Settings()
		if err != nil || got != want {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
	}
}

func TestSettings(t *testing.T) {
	get := func(lines string) (Settings, error) {
		return mustParse(t, "[libdefaults]\ndefault_realm = R\n"+lines).Settings()
	}
	for _, spelling := range []struct {
		want   bool
		values string
	}{
		{true, `y yes true t 1 on YES True ON "on"`},
		{false, "n no false nil 0 off NO False OFF"},
	} {
		for v := range strings.FieldsSeq(spelling.values) {
			s, err := get("rdns = " + v + "\nforwardable = " + v + "\n")
			if err != nil || s.RDNS != spelling.want || s.Forwardable != spelling.want {
				t.Errorf("%s is %v and %v, %v", v, s.RDNS, s.Forwardable, err)
			}
		}
	}
	for v, want := range map[string]Canonicalize{
		"true": CanonicalizeAlways, "on": CanonicalizeAlways, "no": CanonicalizeNever, "fallback": CanonicalizeFallback, "Fallback": CanonicalizeFallback,
	} {
		if s, err := get("dns_canonicalize_hostname = " + v + "\n"); err != nil || s.DNSCanonicalizeHostname != want {
			t.Errorf("dns_canonicalize_hostname = %s: %v, %v", v, s.DNSCanonicalizeHostname, err)
		}
	}
	s, err := get(`permitted_enctypes = aes256-sha2 DEFAULT -rc4
 default_tkt_enctypes = aes
 clockskew = 2m
 udp_preference_limit = 99999
 kdc_timeout = 3
 ticket_lifetime = 10h
 renew_lifetime = 7d
 qualify_shortname = ""
 default_ccache_name = DIR:%{TEMP}/%{uid}%{null}x
 forwardable = false
 R = {
  forwardable = true
 }
 OTHER = {
  proxiable = true
 }
`)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", "")
	if s.PermittedEnctypes != "aes256-sha2 DEFAULT -rc4" || s.DefaultTGSEnctypes != s.PermittedEnctypes || s.DefaultTktEnctypes != "aes" {
		t.Errorf("encryption types %q, %q, %q", s.PermittedEnctypes, s.DefaultTGSEnctypes, s.DefaultTktEnctypes)
	}
	if s.ClockSkew != 2*time.Minute || s.KDCTimeout != 3*time.Second || s.TicketLifetime != 10*time.Hour || s.RenewLifetime != 7*24*time.Hour {
		t.Errorf("durations %+v", s)
	}
	if s.UDPPreferenceLimit != 32700 {
		t.Errorf("udp_preference_limit %d is above the highest that MIT takes", s.UDPPreferenceLimit)
	}
	if !s.Forwardable || s.Proxiable || !s.QualifySet || s.QualifyShortname != "" {
		t.Errorf("realm's own settings: %+v", s)
	}
	if !strings.HasPrefix(s.DefaultCCacheName, "DIR:/") || !strings.HasSuffix(s.DefaultCCacheName, fmt.Sprintf("/%dx", os.Getuid())) {
		t.Errorf("cache name %q", s.DefaultCCacheName)
	}
	for _, bad := range []string{
		"rdns = maybe", "clockskew = x", "clockskew = -5", "udp_preference_limit = 1k", "dns_canonicalize_hostname = sometimes",
		"ticket_lifetime = 1d5", "default_keytab_name = %{foo}", "default_keytab_name = %{uid",
	} {
		_, err := get(bad + "\n")
		var e *Error
		if !errors.As(err, &e) || e.Line != 3 || e.File != "test" || e.Text != bad {
			t.Errorf("%s: error %v", bad, err)
		}
	}
}

// durations are what MIT's krb5_string_to_deltat makes of these strings, -1
// being an error. It also takes a number followed by a letter that it does not
// know, such as "5x", for that number, which is refused here.
var durations = map[string]int64{
	"1d": 86400, "10h30m": 37800, "600": 600, "1:2:3": 3723, "1:2": 3720, "1-02:03:04": 93784, "1d 2h": 93600, "1d5": -1, "1d 5": -1,
	"2h1d": -1, " 5 ": -1, "5 s": -1, "5s6": -1, "1d-5h": 68400, "1 d 2 h 3 m 4 s": -1, "1m30": -1, "3000000000": -1, "99999d": -1,
	"1h 5": -1, "1:70": 7800, "1:70:70": 7870, "": -1, "x": -1, "1d2": -1, "+5": -1, "05": 5, "1h2h": -1, "1m2h": -1, " 1d": 86400, "1d ": 86400,
	"1d\t2h": 93600, "1 day": -1, "2147483647": 2147483647, "2147483648": -1, "1:2:3:4": -1, "1h30": -1, "24855d": 2147472000, "24856d": -1,
	"5x": -1, "1D": -1,
}

func TestDurations(t *testing.T) {
	for s, want := range durations {
		d, err := parseDuration(s)
		if want < 0 {
			if err == nil {
				t.Errorf("%q is %v, want an error", s, d)
			}
		} else if err != nil || d != time.Duration(want)*time.Second {
			t.Errorf("%q is %v, %v; want %d seconds", s, d, err, want)
		}
	}
	if d, err := parseDuration("-5"); err != nil || d != -5*time.Second {
		t.Errorf("-5 is %v, %v", d, err)
	}
}

func TestKDCs(t *testing.T) {
	p := mustParse(t, `[realms]
 R = {
  kdc = kdc2.example
  kdc = kdc1.example:8888
  kdc = 192.0.2.1
  kdc = [2001:db8::1]:750
  kdc = [2001:db8::2]
  kdc = 2001:db8::3
  kdc = tcp/kdc3.example:750
  kdc = udp/[2001:db8::4]
  kdc = tcp/2001:db8::5
  kdc = https://proxy.example/KdcProxy
  kdc = http/proxy.example
  kdc = udp/tcp/kdc4.example
  kdc = tcp/
  kdc = ""
  admin_server = admin.example
  master_kdc = old.example
  primary_kdc = kdc1.example:8888
 }
 OLD = {
  master_kdc = old.example
 }
 ONELINE = { kdc = x master_kdc = y }
 STRING = x
`)
	want := []KDC{
		{"", "kdc2.example:88"}, {"", "kdc1.example:8888"}, {"", "192.0.2.1:88"},
		{"", "[2001:db8::1]:750"}, {"", "[2001:db8::2]:88"}, {"", "[2001:db8::3]:88"},
		{"tcp", "kdc3.example:750"}, {"udp", "[2001:db8::4]:88"}, {"tcp", "[2001:db8::5]:88"},
	}
	if got := p.KDCs("R"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := append(p.KDCs("r"), p.KDCs("STRING")...); got != nil {
		t.Errorf("got %q for realms without any", got)
	}
	if got := append(p.KDCs("ONELINE"), p.PrimaryKDCs("ONELINE")...); !reflect.DeepEqual(got, []KDC{{"", "x:88"}, {"", "y:88"}}) {
		t.Errorf("got %q for a realm on one line", got)
	}
	if got := append(p.PrimaryKDCs("R"), p.PrimaryKDCs("OLD")...); !reflect.DeepEqual(got, []KDC{{"", "kdc1.example:8888"}, {"", "old.example:88"}}) {
		t.Errorf("primary KDCs %q", got)
	}
	if got := p.Sections("realms"); !reflect.DeepEqual(got, []string{"OLD", "ONELINE", "R"}) {
		t.Errorf("realms %q", got)
	}
}

func TestRealmOf(t *testing.T) {
	p := mustParse(t, `[libdefaults]
 default_realm = R
[domain_realm]
 .ex.com = EX
 ex.com = EX0
 h.ex.com = H
 sub.ex.com = SUB
 up.COM = UP
`)
	// What MIT's krb5_get_host_realm and krb5_get_fallback_host_realm say.
	for host, want := range map[string][2]string{
		"h.ex.com": {"H", "EX.COM"}, "a.ex.com": {"EX", "EX.COM"}, "ex.com": {"EX0", "COM"}, "x.sub.ex.com": {"SUB", "SUB.EX.COM"},
		"H.EX.com": {"H", "EX.COM"}, "a.ex.com.": {"EX", "EX.COM"}, "up.com": {"", "COM"}, "foo.bar": {"", "BAR"}, "foo": {"", "R"},
		"127.0.0.1": {"", "R"}, "localhost": {"", "R"}, "a.b.foo.bar": {"", "B.FOO.BAR"}, "::1": {"", "R"}, "": {"", "R"},
		"h.ex.com:1433": {"H", "EX.COM"}, "a.ex.com.:inst": {"EX", "EX.COM"}, "foo:99": {"", "R"}, "127.0.0.1:88": {"", "R"},
	} {
		realm, ok := p.RealmOf(host)
		if realm != want[0] || ok != (want[0] != "") {
			t.Errorf("%s is in %q, %v; want %q", host, realm, ok, want[0])
		}
		if got := p.FallbackRealm(host); got != want[1] {
			t.Errorf("%s falls back to %q, want %q", host, got, want[1])
		}
	}
}

func TestCAPath(t *testing.T) {
	p := mustParse(t, "[capaths]\nA = {\nB = .\nC = B\nC = B2\n}\n")
	for server, want := range map[string][]string{"B": nil, "C": {"B", "B2"}} {
		if got, ok := p.CAPath("A", server); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("from A to %s: %q, %v", server, got, ok)
		}
	}
	if got, ok := p.CAPath("A", "D"); ok {
		t.Errorf("from A to D: %q", got)
	}
}

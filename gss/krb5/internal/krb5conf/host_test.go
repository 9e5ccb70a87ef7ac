package krb5conf

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"testing"
)

// zone answers as DNS would.
type zone struct{ cname, host, addr map[string]string }

var errNoName = errors.New("no such host")

func (z zone) LookupCNAME(_ context.Context, host string) (string, error) { return get(z.cname, host) }
func (z zone) LookupHost(_ context.Context, host string) ([]string, error) {
	v, err := get(z.host, host)
	return []string{v}, err
}
func (z zone) LookupAddr(_ context.Context, addr string) ([]string, error) {
	v, err := get(z.addr, addr)
	return []string{v}, err
}

func get(m map[string]string, k string) (string, error) {
	if v, ok := m[k]; ok {
		return v, nil
	}
	return "", errNoName
}

func TestCanonicalHosts(t *testing.T) {
	z := zone{
		cname: map[string]string{"www": "Web.Example.COM.", "alias.example.com": "web.example.com."},
		host:  map[string]string{"www": "192.0.2.1", "alias.example.com": "192.0.2.1", "norev.example.com": "192.0.2.9"},
		addr:  map[string]string{"192.0.2.1": "host1.example.com."},
	}
	for _, c := range []struct {
		conf, host string
		want       []string
	}{
		{"", "www", []string{"host1.example.com"}},
		{"rdns = false", "www", []string{"web.example.com"}},
		{"rdns = false", "Unknown.Example.com.", []string{"unknown.example.com"}},
		{"", "norev.example.com", []string{"norev.example.com"}},
		{"dns_canonicalize_hostname = false\nqualify_shortname = d.example", "WWW", []string{"www.d.example"}},
		{"dns_canonicalize_hostname = false\nqualify_shortname = \"\"", "WWW", []string{"www"}},
		{"dns_canonicalize_hostname = false", "Alias.example.com.", []string{"alias.example.com"}},
		{"dns_canonicalize_hostname = fallback", "alias.example.com", []string{"alias.example.com", "host1.example.com"}},
		{"dns_canonicalize_hostname = fallback", "norev.example.com", []string{"norev.example.com"}},
		// What MIT's krb5_sname_to_principal makes of ports.
		{"", "www:1433", []string{"host1.example.com:1433"}},
		{"dns_canonicalize_hostname = fallback", "alias.example.com:INST", []string{"alias.example.com:INST", "host1.example.com:INST"}},
		{"dns_canonicalize_hostname = false\nqualify_shortname = q.example", "s:99", []string{"s.q.example:99"}},
		{"dns_canonicalize_hostname = false\nqualify_shortname = q.example", "a:", []string{"a:.q.example"}},
		{"dns_canonicalize_hostname = false\nqualify_shortname = \"\"", "::1", []string{"::1"}},
	} {
		s, err := mustParse(t, "[libdefaults]\n"+c.conf+"\n").Settings()
		if err != nil {
			t.Fatal(err)
		}
		if got := s.CanonicalHosts(t.Context(), z, c.host); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %s is %q, want %q", c.conf, c.host, got, c.want)
		}
	}
}

func TestSearchDomain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	for text, want := range map[string]string{
		"nameserver 192.0.2.1\nsearch a.example b.example\n": "a.example",
		"search a.example\ndomain c.example\n":               "c.example",
		"search .\n":                                         "",
	} {
		write(t, file, text)
		if got := searchDomain(file); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

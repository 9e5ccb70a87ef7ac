package gss_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/countersign-go/countersign"

// A listedPackage is what go list tells of a package, test files left out.
type listedPackage struct {
	ImportPath string
	Imports    []string // direct
	Deps       []string // direct and indirect
}

// An importRule says what the packages at or below some paths must not import.
// Paths are relative to the module, third-party ones are absolute.
type importRule struct {
	why    string
	of     []string // the packages meant, with those below them
	alone  bool     // without those below them
	except []string // unless at or below these
	not    []string // must not be imported, nor anything below
	below  []string // must not be imported from below these paths; the paths themselves may
	deep   bool     // not even indirectly
}

var importRules = []importRule{
	{why: "token stands on the standard library alone", of: []string{"token"}, except: []string{"token/pushwire"}, not: []string{"/"}},
	{why: "the wire knows nothing of who speaks on it", of: []string{"token"}, not: []string{"gss", "server", "client", "cmd"}, deep: true},
	{why: "gss is mechanism-neutral", of: []string{"gss"}, alone: true, below: []string{"gss"}, deep: true},
	{why: "the sealed stream is what gss has of carriers, mechanisms know none", of: []string{"gss/krb5", "gss/spnego"}, not: []string{"token"}},
	{why: "mechanisms know nothing of programs", of: []string{"gss"}, not: []string{"server", "client", "cmd"}, deep: true},
	{why: "spnego takes mechanisms, it knows none", of: []string{"gss/spnego"}, not: []string{"gss/krb5"}, deep: true},
	{why: "libraries log nothing and parse no flags", of: []string{"gss", "token"}, not: []string{"github.com/sirupsen/logrus", "github.com/spf13/pflag"}, deep: true},
	{why: "gokrb5 stays in the mechanism and in the embedded realm", of: []string{""}, except: []string{"gss/krb5", "gss/gsstest"}, not: []string{"github.com/jcmturner"}},
	{why: "the server does not know the client", of: []string{"server"}, not: []string{"client", "cmd"}, deep: true},
	{why: "TLS policy and handshakes are for programs without the engine, too", of: []string{"server/tlspolicy", "server/handshake"}, not: []string{"server", "github.com/sirupsen/logrus"}, deep: true},
	{why: "the client does not know the server", of: []string{"client"}, not: []string{"server", "cmd"}, deep: true},
	{why: "the push service's test helpers are for tests", of: []string{"server", "client", "cmd"}, except: []string{"server/push/pushtest"}, not: []string{"server/push/pushtest"}, deep: true},
	{why: "the embedded realm shares no code with what it tests", of: []string{"gss/gsstest"}, except: []string{"gss/gsstest/peers"}, not: []string{"gss/krb5", "gss/spnego", "token"}, deep: true},
	{why: "the embedded realm is for tests and gss-testkdc", of: []string{"server", "client", "token", "gss", "cmd/gss-server", "cmd/gss-client"}, except: []string{"gss/gsstest", "server/push/natsbus/natstest"}, not: []string{"gss/gsstest"}, deep: true},
	{why: "NATS stays in the room that it has", of: []string{""}, except: []string{"server/push/natsbus"}, not: []string{"github.com/nats-io"}},
	{why: "NATS is for the server program alone", of: []string{""}, except: []string{"server/push/natsbus", "cmd/gss-server"}, not: []string{"github.com/nats-io", "server/push/natsbus"}, deep: true},
	{why: "throwaway NATS clusters are for tests", of: []string{""}, except: []string{"server/push/natsbus/natstest"}, not: []string{"server/push/natsbus/natstest"}, deep: true},
}

// violations gives a line for each import that breaks a rule.
func violations(pkgs []listedPackage, rules []importRule) []string {
	var broken []string
	for _, rule := range rules {
		for _, pkg := range pkgs {
			if rule.alone && !slices.ContainsFunc(rule.of, func(p string) bool { return pkg.ImportPath == absolute(p) }) {
				continue
			}
			if !withinAny(pkg.ImportPath, rule.of) || withinAny(pkg.ImportPath, rule.except) {
				continue
			}
			imports := pkg.Imports
			if rule.deep {
				imports = pkg.Deps
			}
			for _, imp := range imports {
				if withinAny(imp, rule.not) || belowAny(imp, rule.below) {
					broken = append(broken, fmt.Sprintf("%s imports %s: %s", pkg.ImportPath, imp, rule.why))
				}
			}
		}
	}
	return broken
}

// withinAny tells whether an import path is one of the paths or below one. The
// path "" means the whole module; "/" whatever is not the standard library.
func withinAny(importPath string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		if p == "/" {
			first, _, _ := strings.Cut(importPath, "/")
			return strings.Contains(first, ".")
		}
		p = absolute(p)
		return importPath == p || strings.HasPrefix(importPath, p+"/")
	})
}

func belowAny(importPath string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(importPath, absolute(p)+"/") })
}

func absolute(path string) string {
	switch first, _, _ := strings.Cut(path, "/"); {
	case path == "":
		return module
	case strings.Contains(first, "."):
		return path
	default:
		return module + "/" + path
	}
}

// The direction of imports is what keeps each part usable without the others.
func TestImportDirections(t *testing.T) {
	pkgs := listPackages(t)
	var own []listedPackage
	for _, pkg := range pkgs {
		if withinAny(pkg.ImportPath, []string{""}) {
			own = append(own, pkg)
		}
	}
	for _, path := range []string{"gss", "gss/krb5"} {
		if !slices.ContainsFunc(own, func(p listedPackage) bool { return p.ImportPath == absolute(path) }) {
			t.Fatalf("go list does not show %s among %d packages", path, len(own))
		}
	}
	for _, line := range violations(own, importRules) {
		t.Error(line)
	}
}

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-tags=nats", "-json=ImportPath,Imports,Deps", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var pkgs []listedPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg listedPackage
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, pkg)
	}
}

// Each rule can be broken: a checker that finds nothing would look the same as
// a module in order.
func TestImportRulesCanBeBroken(t *testing.T) {
	const (
		gokrb5 = "github.com/jcmturner/gokrb5/v8/messages"
		logrus = "github.com/sirupsen/logrus"
		nats   = "github.com/nats-io/nats.go"
	)
	for _, tt := range []struct {
		from, to string
		indirect bool // to is only reached through another package
		broken   bool
	}{
		{from: "token", to: "gss", broken: true},
		{from: "token", to: logrus, broken: true},
		{from: "token", to: "encoding/binary"},
		{from: "gss", to: "gss/krb5", broken: true},
		{from: "gss", to: "gss/internal/oid", broken: true},
		{from: "gss", to: "token"},
		{from: "gss", to: "server", indirect: true, broken: true},
		{from: "gss/krb5", to: "token", indirect: true},
		{from: "gss/krb5", to: "token", broken: true},
		{from: "gss/krb5/internal/msg", to: "token", broken: true},
		{from: "gss", to: "golang.org/x/crypto/cryptobyte"},
		{from: "gss/krb5", to: "gss"},
		{from: "gss/krb5", to: "gss/krb5/internal/etype"},
		{from: "gss/krb5", to: gokrb5},
		{from: "gss/krb5/internal/msg", to: gokrb5},
		{from: "gss/krb5", to: logrus, indirect: true, broken: true},
		{from: "gss/krb5", to: "gss/gsstest", broken: true},
		{from: "gss/spnego", to: "gss"},
		{from: "gss/spnego", to: "gss/krb5", indirect: true, broken: true},
		{from: "gss/spnego", to: gokrb5, broken: true},
		{from: "gss/gsstest", to: gokrb5},
		{from: "gss/gsstest", to: "github.com/spf13/pflag", broken: true},
		{from: "gss/gsstest", to: "gss/krb5/internal/etype", broken: true},
		{from: "server", to: "client", broken: true},
		{from: "server", to: "gss/krb5"},
		{from: "server", to: gokrb5, broken: true},
		{from: "server", to: gokrb5, indirect: true},
		{from: "server", to: logrus},
		{from: "serverless", to: "client"},
		{from: "server/sign", to: "client", indirect: true, broken: true},
		{from: "client", to: "server/sign", broken: true},
		{from: "client", to: "token"},
		{from: "cmd/gss-server", to: "server"},
		{from: "cmd/gss-server", to: "gss/gsstest", broken: true},
		{from: "cmd/gss-server", to: gokrb5, broken: true},
		{from: "cmd/gss-testkdc", to: "gss/gsstest"},
		{from: "server/push/natsbus", to: nats},
		{from: "server/push", to: nats, broken: true},
		{from: "server/push", to: "server/push/natsbus", broken: true},
		{from: "server", to: nats, indirect: true, broken: true},
		{from: "client", to: nats, indirect: true, broken: true},
		{from: "cmd/gss-server", to: nats, broken: true},
		{from: "cmd/gss-server", to: nats, indirect: true},
		{from: "cmd/gss-server", to: "server/push/natsbus"},
		{from: "cmd/gss-client", to: nats, indirect: true, broken: true},
		{from: "server/push/natsbus/natstest", to: "gss/gsstest"},
		{from: "server/push/natsbus", to: "server/push/natsbus/natstest", broken: true},
	} {
		to := tt.to
		if !strings.Contains(to, ".") && to != "encoding/binary" {
			to = absolute(to)
		}
		pkg := listedPackage{ImportPath: absolute(tt.from), Deps: []string{"fmt", to}}
		if !tt.indirect {
			pkg.Imports = pkg.Deps
		}
		if lines := violations([]listedPackage{pkg}, importRules); (len(lines) > 0) != tt.broken {
			t.Errorf("%s importing %s (indirectly %v): broken %v, want %v %q", tt.from, tt.to, tt.indirect, len(lines) > 0, tt.broken, lines)
		}
	}
}

package tlspolicy_test

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/server/tlspolicy"
	"github.com/countersign-go/countersign/testdata/pki"
)

// What a set of CRLs says of alice and of bob, who comes by an intermediate CA.
func TestCRLs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []string
		write func(p *pki.PKI) error // more files
		stale tlspolicy.StalePolicy
		alice string // the beginning of what the server says
		bob   string
	}{
		{name: "PEM", files: []string{"ca.crl", "intermediate.crl"}, alice: "served", bob: "served"},
		{name: "DER", files: []string{"ca.crl.der", "intermediate.crl"}, alice: "served", bob: "served"},
		{
			name: "several in a file", files: []string{"all.crl"}, alice: "CRL: ", bob: "served",
			write: func(p *pki.PKI) error {
				if err := p.WriteCRL("ca.crl", "ca", pki.List{Serials: []int64{pki.AliceSerial}}); err != nil {
					return err
				}
				return join(p, "all.crl", "ca.crl", "intermediate.crl")
			},
		},
		{name: "none of the client's issuer", files: []string{"ca.crl"}, alice: "served", bob: "ClientCertInvalid: nothing vouches"},
		{
			name: "the serial of another CA's certificate", files: []string{"ca.crl", "intermediate.crl"}, alice: "served", bob: "served",
			write: func(p *pki.PKI) error {
				// Alice's number is on the intermediate CA's list, bob's on the root's.
				return p.WriteCRL("intermediate.crl", "intermediate", pki.List{Serials: []int64{pki.AliceSerial}})
			},
		},
		{
			name: "the intermediate CA", files: []string{"ca.crl", "intermediate.crl"}, alice: "served", bob: "CRL: the certificate with serial number BAE was revoked",
			write: func(p *pki.PKI) error {
				return p.WriteCRL("ca.crl", "ca", pki.List{Serials: []int64{pki.MallorySerial + 1}})
			},
		},
		{
			name: "an older list beside the newer", files: []string{"old.crl", "ca.crl", "old.crl"}, alice: "served", bob: "ClientCertInvalid: nothing vouches",
			write: func(p *pki.PKI) error {
				return p.WriteCRL("old.crl", "ca", pki.List{Serials: []int64{pki.AliceSerial}, ThisUpdate: time.Now().Add(-3 * time.Hour)})
			},
		},
		{
			name: "two lists of one time", files: []string{"first.crl", "ca.crl", "second.crl"}, alice: "served", bob: "ClientCertInvalid: nothing vouches",
			write: func(p *pki.PKI) error {
				now := time.Now().Add(-time.Minute)
				return errors.Join(
					p.WriteCRL("first.crl", "ca", pki.List{Number: 7, ThisUpdate: now, Serials: []int64{pki.AliceSerial}}),
					p.WriteCRL("second.crl", "ca", pki.List{Number: 8, ThisUpdate: now}),
				)
			},
		},
		{
			name: "stale, refused", files: []string{"stale.crl"}, alice: "ClientCertInvalid: nothing vouches", bob: "ClientCertInvalid: nothing vouches",
			write: func(p *pki.PKI) error {
				return p.WriteCRL("stale.crl", "ca", pki.List{NextUpdate: time.Now().Add(-time.Minute)})
			},
		},
		{
			name: "stale, refused, revoked all the same", files: []string{"stale.crl"}, alice: "CRL: ", bob: "ClientCertInvalid: nothing vouches",
			write: func(p *pki.PKI) error {
				return p.WriteCRL("stale.crl", "ca", pki.List{Serials: []int64{pki.AliceSerial}, NextUpdate: time.Now().Add(-time.Minute)})
			},
		},
		{
			name: "stale, allowed", files: []string{"stale.crl", "intermediate.crl"}, stale: tlspolicy.StaleAllow, alice: "served", bob: "served",
			write: func(p *pki.PKI) error {
				return p.WriteCRL("stale.crl", "ca", pki.List{NextUpdate: time.Now().Add(-time.Minute)})
			},
		},
		{
			name: "of an intermediate CA, signed by another of its name", files: []string{"ca.crl", "forged.crl"}, alice: "served", bob: "ClientCertInvalid: nothing vouches",
			write: func(p *pki.PKI) error { return forge(p, "forged.crl") },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPKI(t)
			if tt.write != nil {
				if err := tt.write(p); err != nil {
					t.Fatal(err)
				}
			}
			cfg := config(p, tlspolicy.Verify)
			cfg.StaleCRL, cfg.CRLFiles = tt.stale, nil
			for _, f := range tt.files {
				cfg.CRLFiles = append(cfg.CRLFiles, p.Path(f))
			}
			var warned []tlspolicy.Event
			cfg.Trace = func(ev tlspolicy.Event) {
				if ev.Remote == nil {
					warned = append(warned, ev)
				}
			}
			site := newSite(t, newPolicy(t, cfg))
			if stale := strings.HasPrefix(tt.name, "stale"); len(warned) > 0 != stale ||
				stale && (!strings.HasSuffix(warned[0].Detail, "stale.crl") || !strings.Contains(warned[0].Err.Error(), "its next update was due")) {
				t.Errorf("reported at the start: %v", warned)
			}
			for name, want := range map[string]string{"alice": tt.alice, "bob": tt.bob} {
				said, _, err := site.visit(t, p, name, &tls.Config{})
				<-site.ended
				if !strings.HasPrefix(said, want) || err != nil {
					t.Errorf("%s was told %q, %v; want %q", name, said, err, want)
				}
			}
		})
	}
}

func join(p *pki.PKI, to string, from ...string) error {
	var all []byte
	for _, name := range from {
		content, err := os.ReadFile(p.Path(name))
		if err != nil {
			return err
		}
		all = append(all, content...)
	}
	return os.WriteFile(p.Path(to), all, 0o600)
}

// forge writes a list of the intermediate CA's name that the intermediate CA of
// another PKI signed: it vouches for nobody.
func forge(p *pki.PKI, to string) error {
	dir, err := os.MkdirTemp(p.Path("."), "other")
	if err != nil {
		return err
	}
	other, err := pki.New(dir)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(other.Path("intermediate.crl"))
	if err != nil {
		return err
	}
	return os.WriteFile(p.Path(to), content, 0o600)
}

// CRLs that cannot be right, or mean something that is not understood here, are
// refused at the start; a running server goes on with those before.
func TestCRLRefused(t *testing.T) {
	critical := func(oid ...int) []pkix.Extension {
		return []pkix.Extension{{Id: oid, Critical: true, Value: []byte{asn1.TagNull, 0}}}
	}
	for _, tt := range []struct {
		name, want string
		issuer     string
		list       pki.List
	}{
		{"forged", "has the name of CN=Test CA,O=Test, but not its signature", "rogue-ca", pki.List{}},
		{"of the future", "is of the future", "ca", pki.List{ThisUpdate: time.Now().Add(time.Hour), NextUpdate: time.Now().Add(2 * time.Hour)}},
		{"delta", "delta CRL", "ca", pki.List{Extensions: critical(2, 5, 29, 27)}},
		{"partial", "partial CRL", "ca", pki.List{Extensions: critical(2, 5, 29, 28)}},
		{"critical", "unknown critical extension 1.2.3", "ca", pki.List{Extensions: critical(1, 2, 3)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPKI(t)
			cfg := config(p, tlspolicy.Verify)
			cfg.CRLFiles = []string{p.Path("ca.crl")}
			var reported error
			cfg.Trace = func(ev tlspolicy.Event) {
				if ev.Remote == nil {
					reported = ev.Err
				}
			}
			running := newPolicy(t, cfg)
			tt.list.Serials = []int64{pki.AliceSerial}
			if err := p.WriteCRL("ca.crl", tt.issuer, tt.list); err != nil {
				t.Fatal(err)
			}
			if _, err := tlspolicy.New(cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			running.Reload()
			if reported == nil || !strings.Contains(reported.Error(), tt.want) {
				t.Errorf("reported %v, want an error with %q", reported, tt.want)
			}
			site := newSite(t, running)
			if said, _, err := site.visit(t, p, "alice", &tls.Config{}); said != "served\n" {
				t.Errorf("alice was told %q, %v", said, err)
			}
			<-site.ended
			if said, _, err := site.visit(t, p, "mallory", &tls.Config{}); !strings.HasPrefix(said, "CRL: ") {
				t.Errorf("mallory was told %q, %v", said, err)
			}
		})
	}
	p := newPKI(t)
	cfg := config(p, tlspolicy.Verify)
	for content, want := range map[string]string{"": "the file is empty", "garbage": "not a CRL", "-----BEGIN nothing": "there is no CRL"} {
		if err := os.WriteFile(p.Path("ca.crl"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tlspolicy.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
	cfg.CRLFiles = []string{p.Path("ca.crt")}
	if _, err := tlspolicy.New(cfg); err == nil || !strings.Contains(err.Error(), `"CERTIFICATE" is not a CRL`) {
		t.Errorf("a certificate: %v", err)
	}
}

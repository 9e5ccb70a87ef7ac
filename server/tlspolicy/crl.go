package tlspolicy

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"
)

var (
	oidDeltaCRL          = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
)

// A crl is one certificate revocation list (RFC 5280, section 5).
type crl struct {
	path    string
	list    *x509.RevocationList
	revoked map[string]*x509.RevocationListEntry // by serial number, as bytes

	mu      sync.Mutex
	signers map[string]bool // raw issuer certificate to whether it signed the list
}

// maxSigners is how many issuer certificates are remembered with a list. One CA
// has a few of its name and key; clients of a CA that issues CAs could come with
// any number.
const maxSigners = 32

// crls are those in force. A list counts for the certificates that its issuer
// issued and for no others: serial numbers mean nothing beyond their issuer.
type crls struct {
	byIssuer map[string][]*crl // by raw issuer name
}

// crlSource is where the CRLs come from. A list that is past its next update is
// read all the same: what it is worth then is the policy's.
func crlSource(paths []string, cas func() []*x509.Certificate, now func() time.Time) *source[*crls] {
	return &source[*crls]{paths: paths, parse: func(contents [][]byte) (*crls, error) {
		all := &crls{byIssuer: make(map[string][]*crl)}
		for i, path := range paths {
			lists, err := parseCRLs(path, contents[i])
			if err != nil {
				return nil, err
			}
			for _, c := range lists {
				if err := c.check(cas(), now()); err != nil {
					return nil, err
				}
				name := string(c.list.RawIssuer)
				all.byIssuer[name] = append(all.byIssuer[name], c)
			}
		}
		for _, lists := range all.byIssuer { // the newest first
			slices.SortStableFunc(lists, func(a, b *crl) int {
				return cmp.Or(b.list.ThisUpdate.Compare(a.list.ThisUpdate), compareNumbers(b.list.Number, a.list.Number))
			})
		}
		return all, nil
	}}
}

// compareNumbers compares the numbers of CRLs (RFC 5280, section 5.2.3); nil, for
// none, is the least.
func compareNumbers(a, b *big.Int) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return a.Cmp(b)
}

// parseCRLs reads a file that holds one list in DER or any number in PEM.
func parseCRLs(path string, content []byte) ([]*crl, error) {
	if err := notBlank(path, content); err != nil {
		return nil, err
	}
	var ders [][]byte
	if bytes.Contains(content, []byte("-----BEGIN")) {
		for {
			var block *pem.Block
			if block, content = pem.Decode(content); block == nil {
				break
			}
			if block.Type != "X509 CRL" {
				return nil, fmt.Errorf("%s: %q is not a CRL", path, block.Type)
			}
			ders = append(ders, block.Bytes)
		}
	} else {
		ders = append(ders, content)
	}
	if len(ders) == 0 {
		return nil, hinted(`in PEM form it begins with "-----BEGIN X509 CRL-----"`, "%s: there is no CRL in it", path)
	}
	lists := make([]*crl, len(ders))
	for i, der := range ders {
		c, err := parseCRL(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		c.path = path
		lists[i] = c
	}
	return lists, nil
}

// parseCRL reads a list and refuses one that has a meaning unknown here: an
// extension that is critical must not be passed over (RFC 5280, section 5.2).
func parseCRL(der []byte) (*crl, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("not a CRL in PEM or DER form: %w", err)
	}
	if len(list.Raw) != len(der) {
		return nil, fmt.Errorf("%d bytes after the CRL", len(der)-len(list.Raw))
	}
	for _, ext := range list.Extensions {
		switch {
		case ext.Id.Equal(oidDeltaCRL):
			return nil, hinted("give the complete CRL", "a delta CRL of %s: those are not supported", list.Issuer)
		case ext.Critical && ext.Id.Equal(oidDistributionPoint):
			return nil, hinted("give the complete CRL", "a partial CRL of %s (issuing distribution point): those are not supported", list.Issuer)
		case ext.Critical:
			return nil, fmt.Errorf("a CRL of %s with the unknown critical extension %s", list.Issuer, ext.Id)
		}
	}
	if list.NextUpdate.IsZero() {
		return nil, fmt.Errorf("a CRL of %s without a next update, which RFC 5280 requires", list.Issuer)
	}
	c := &crl{list: list, signers: make(map[string]bool), revoked: make(map[string]*x509.RevocationListEntry, len(list.RevokedCertificateEntries))}
	for i := range list.RevokedCertificateEntries {
		entry := &list.RevokedCertificateEntries[i]
		for _, ext := range entry.Extensions {
			if ext.Critical {
				return nil, fmt.Errorf("a CRL of %s whose entry %s has the unknown critical extension %s", list.Issuer, serialText(entry.SerialNumber), ext.Id)
			}
		}
		c.revoked[serialKey(entry.SerialNumber)] = entry
	}
	return c, nil
}

// serialKey tells a negative serial number, which some CAs once gave, from the
// positive one.
func serialKey(n *big.Int) string {
	if n.Sign() < 0 {
		return "-" + string(n.Bytes())
	}
	return string(n.Bytes())
}

// check refuses a list from the future, and one that has the name of a known CA
// but not its signature. The signatures of other issuers are checked when a
// client shows their certificate.
func (c *crl) check(cas []*x509.Certificate, now time.Time) error {
	if now.Before(c.list.ThisUpdate) {
		return hinted("is this machine's clock right?", "%s: the CRL of %s is of the future: %s", c.path, c.list.Issuer, c.list.ThisUpdate.Format(time.RFC3339))
	}
	named := slices.DeleteFunc(slices.Clone(cas), func(ca *x509.Certificate) bool { return !bytes.Equal(ca.RawSubject, c.list.RawIssuer) })
	if len(named) > 0 && !slices.ContainsFunc(named, c.signedBy) {
		return hinted("get the list from the CA again", "%s: the CRL has the name of %s, but not its signature: %w", c.path, c.list.Issuer, c.list.CheckSignatureFrom(named[0]))
	}
	return nil
}

// signedBy reports whether the certificate's key signed the list and may.
func (c *crl) signedBy(issuer *x509.Certificate) bool {
	c.mu.Lock()
	signed, known := c.signers[string(issuer.Raw)]
	c.mu.Unlock()
	if known {
		return signed
	}
	signed = c.list.CheckSignatureFrom(issuer) == nil
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.signers) < maxSigners {
		c.signers[string(issuer.Raw)] = signed
	}
	return signed
}

// A RevokedError says that a certificate is on its issuer's CRL.
type RevokedError struct {
	Certificate *x509.Certificate
	At          time.Time
	Reason      int // RFC 5280, section 5.3.1
}

func (e *RevokedError) Error() string {
	reason := ""
	if name := reasonNames[e.Reason]; name != "" {
		reason = " (" + name + ")"
	}
	return fmt.Sprintf("certificate %s of %s was revoked on %s%s", serialText(e.Certificate.SerialNumber), e.Certificate.Subject, e.At.UTC().Format(time.DateOnly), reason)
}

var reasonNames = map[int]string{
	1: "key compromise", 2: "CA compromise", 3: "affiliation changed", 4: "superseded",
	5: "cessation of operation", 6: "certificate hold", 9: "privilege withdrawn", 10: "AA compromise",
}

var (
	errNoCRL = errors.New("there is no CRL of its issuer")
	errStale = errors.New("stale")
)

// fresh says so where the list's next update is overdue.
func (c *crl) fresh(now time.Time) error {
	if !now.After(c.list.NextUpdate) {
		return nil
	}
	return hinted("get the CA's new list, or allow stale ones", "the CRL of %s is %w: its next update was due %s", c.list.Issuer, errStale, c.list.NextUpdate.UTC().Format(time.RFC3339))
}

// status looks for a certificate in the newest list of its issuer: nil if that
// vouches for it, a [*RevokedError] if it has it, whatever the list's age.
func (l *crls) status(cert, issuer *x509.Certificate, now time.Time, stale StalePolicy) error {
	for _, c := range l.byIssuer[string(cert.RawIssuer)] {
		if !c.signedBy(issuer) {
			continue // of another CA with the same name, or of its former key
		}
		if entry := c.revoked[serialKey(cert.SerialNumber)]; entry != nil {
			return &RevokedError{Certificate: cert, At: entry.RevocationTime, Reason: entry.ReasonCode}
		}
		if stale == StaleAllow {
			return nil
		}
		return c.fresh(now)
	}
	return errNoCRL
}

package tlspolicy

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// A State is what a client's certificate is worth.
type State int

const (
	NoCertificate State = iota // none was shown, or none was asked for
	Untrusted                  // not of the CAs, out of date, not for clients, or not vouched for by a CRL
	Revoked                    // by its CA
	Valid
)

var stateNames = []string{"none", "untrusted", "revoked", "valid"}

func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return stateNames[s]
}

// A Verdict says what was found of a client's certificate.
type Verdict struct {
	State       State
	Err         error             // why it is not valid; nil if it is
	Certificate *x509.Certificate // the client's own; nil if none was shown
}

// Serial is the certificate's serial number in hexadecimal, "" without one.
func (v Verdict) Serial() string {
	if v.Certificate == nil {
		return ""
	}
	return serialText(v.Certificate.SerialNumber)
}

func serialText(n *big.Int) string { return fmt.Sprintf("%X", n) }

var errNoCertificate = errors.New("no client certificate was shown")

// A RefusedError says that a connection was refused for its client's
// certificate, or for want of one.
type RefusedError struct{ Verdict Verdict }

func (e *RefusedError) Error() string {
	if e.Verdict.State == NoCertificate {
		return "client refused: " + errNoCertificate.Error()
	}
	if e.Verdict.State == Revoked {
		return fmt.Sprintf("client refused: %v", e.Verdict.Err)
	}
	return fmt.Sprintf("client refused: certificate %s: %v", e.Verdict.State, e.Verdict.Err)
}

func (e *RefusedError) Unwrap() error { return e.Verdict.Err }

// line is what the peer is told: a word for programs, a sentence for people.
func (e *RefusedError) line() string {
	switch v := e.Verdict; v.State {
	case NoCertificate:
		return "NoClientCertExists: this server wants a client certificate, and none was shown.\n"
	case Revoked:
		if r, ok := errors.AsType[*RevokedError](v.Err); ok {
			return fmt.Sprintf("CRL: the certificate with serial number %s was revoked on %s.\n", serialText(r.Certificate.SerialNumber), r.At.UTC().Format(time.DateOnly))
		}
		return "CRL: the certificate was revoked.\n"
	default:
		return "ClientCertInvalid: " + untrustedSentence(v.Err) + "\n"
	}
}

func untrustedSentence(err error) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason {
		case x509.Expired:
			return "the client certificate has expired or is not valid yet."
		case x509.IncompatibleUsage:
			return "the certificate shown is not for clients."
		}
		return "the client certificate breaks a rule of its issuer."
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the client certificate was not issued by a CA that this server trusts."
	}
	if errors.Is(err, errNoCRL) || errors.Is(err, errStale) {
		return "nothing vouches for the client certificate at present."
	}
	return "the client certificate cannot be verified."
}

// authorities are the CAs of client certificates.
type authorities struct {
	certs []*x509.Certificate
	pool  *x509.CertPool
}

func authoritySource(path string) *source[*authorities] {
	return &source[*authorities]{paths: []string{path}, parse: func(contents [][]byte) (*authorities, error) {
		if err := notBlank(path, contents[0]); err != nil {
			return nil, err
		}
		cas := &authorities{pool: x509.NewCertPool()}
		for rest := contents[0]; ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type != "CERTIFICATE" {
				return nil, fmt.Errorf("%s: %q is not a certificate", path, block.Type)
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			cas.certs = append(cas.certs, cert)
			cas.pool.AddCert(cert)
		}
		if len(cas.certs) == 0 {
			return nil, hinted(`it begins with "-----BEGIN CERTIFICATE-----"`, "%s: there is no certificate in PEM form", path)
		}
		return cas, nil
	}}
}

// judge finds what the client's certificates are worth, its own first. step is
// told of each one looked up in a CRL.
func (p *Policy) judge(certs []*x509.Certificate, step func(what, detail string, err error)) Verdict {
	if len(certs) == 0 {
		return Verdict{State: NoCertificate, Err: errNoCertificate}
	}
	v := Verdict{State: Untrusted, Certificate: certs[0]}
	now := p.cfg.Time()
	opts := x509.VerifyOptions{
		Roots:         p.authorities.current().pool,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, cert := range certs[1:] {
		opts.Intermediates.AddCert(cert)
	}
	chains, err := certs[0].Verify(opts)
	step("client certificate verified", certs[0].Subject.String(), err)
	if err != nil {
		v.Err = err
		return v
	}
	if p.crls != nil {
		if v.Err = p.checkChains(chains, now, step); v.Err != nil {
			if _, ok := errors.AsType[*RevokedError](v.Err); ok {
				v.State = Revoked
			}
			return v
		}
	}
	v.State = Valid
	return v
}

// checkChains looks for a chain that the CRLs leave standing. Anything revoked
// in any of them counts.
func (p *Policy) checkChains(chains [][]*x509.Certificate, now time.Time, step func(what, detail string, err error)) error {
	lists := p.crls.current()
	var failed error
	stands := false
	for _, chain := range chains {
		err := p.checkChain(lists, chain, now, step)
		if _, revoked := errors.AsType[*RevokedError](err); revoked {
			return err
		}
		stands = stands || err == nil
		failed = err
	}
	if stands {
		return nil
	}
	return failed
}

// checkChain checks each certificate of a chain but the last, which is trusted
// by configuration. The client's own must be vouched for by a CRL, those of
// CAs between only where there is a CRL of their issuer.
func (p *Policy) checkChain(lists *crls, chain []*x509.Certificate, now time.Time, step func(what, detail string, err error)) error {
	for i, cert := range chain[:len(chain)-1] {
		err := lists.status(cert, chain[i+1], now, p.cfg.StaleCRL)
		step("CRL checked", fmt.Sprintf("serial %s of %s", serialText(cert.SerialNumber), cert.Issuer), err)
		if err != nil && (i == 0 || err != errNoCRL) {
			return err
		}
	}
	return nil
}

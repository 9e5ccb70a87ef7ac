package gss

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// TLSExporter gives the channel bindings of type tls-exporter (RFC 9266) of a
// TLS connection, from either side's [tls.Conn.ConnectionState] after the
// handshake. They are unique to the connection, a resumed session included: a
// context bound by them can be relayed to no other. It is the type to prefer.
//
// It fails before the handshake is done, and where the connection cannot
// export keys safely: a TLS 1.2 peer without the extended master secret
// (RFC 7627), or renegotiation.
func TLSExporter(state tls.ConnectionState) (*ChannelBindings, error) {
	if !state.HandshakeComplete {
		return nil, errors.New("gss: tls-exporter bindings: the TLS handshake is not complete")
	}
	// A context of no bytes, which under TLS 1.2 is not the same as none
	// (RFC 9266, section 2).
	key, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	if err != nil {
		return nil, fmt.Errorf("gss: tls-exporter bindings: %w", err)
	}
	return &ChannelBindings{ApplicationData: append([]byte("tls-exporter:"), key...)}, nil
}

// TLSServerEndPoint gives the channel bindings of type tls-server-end-point
// (RFC 5929, section 4) of a TLS connection, from the client's
// [tls.Conn.ConnectionState] after the handshake, a resumed one included. They
// are the same for every connection to that certificate, so they hold where TLS
// ends on another machine with the same key, and say nothing about which
// connection it was.
//
// On the server's side use [TLSServerEndPointOf]: a ConnectionState has the
// peer's certificates only, and does not say which of a server's own was sent.
// The server's ConnectionState is an error here, or where the client has shown a
// certificate gives that one's bindings, which equal no client's.
func TLSServerEndPoint(state tls.ConnectionState) (*ChannelBindings, error) {
	if !state.HandshakeComplete {
		return nil, errors.New("gss: tls-server-end-point bindings: the TLS handshake is not complete")
	}
	if len(state.PeerCertificates) == 0 {
		return nil, errors.New("gss: tls-server-end-point bindings: the peer has sent no certificate (a server gives its own to TLSServerEndPointOf)")
	}
	return TLSServerEndPointOf(state.PeerCertificates[0])
}

// TLSServerEndPointOf gives the channel bindings of [TLSServerEndPoint] for
// connections to the server with this certificate: its leaf, the one sent where
// it has several, as the server's GetCertificate knows.
//
// The bytes are the certificate's hash by the hash function of its signature,
// SHA-256 in place of MD5 and SHA-1. A certificate signed by Ed25519, which has
// no hash function of its own, is refused: RFC 5929 leaves its bindings
// undefined, and libraries differ. [TLSExporter] works with any certificate.
func TLSServerEndPointOf(cert *x509.Certificate) (*ChannelBindings, error) {
	if cert == nil {
		return nil, errors.New("gss: tls-server-end-point bindings: no certificate")
	}
	var hash crypto.Hash
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		hash = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	default:
		return nil, fmt.Errorf("gss: tls-server-end-point bindings are undefined for a certificate signed with %s (RFC 5929, section 4.1)", cert.SignatureAlgorithm)
	}
	h := hash.New()
	h.Write(cert.Raw)
	return &ChannelBindings{ApplicationData: h.Sum([]byte("tls-server-end-point:"))}, nil
}

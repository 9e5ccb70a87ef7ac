// Package tlspolicy is the TLS of a server: which key and versions, what to
// make of client certificates, which of them are revoked. A [Policy] is checked
// whole when it is made; its files are looked at again with every handshake, so
// that a new certificate or CRL counts from the next one on.
//
// # How the data flows
//
//	Config ─ New ─→ Policy ─ Server(conn, Settings) ─→ Conn ─ HandshakeContext ─→ ConnectionState
//	                  ↑  └── Listen: every accepted connection                    Verdict
//	       key, CA, CRL files                                                     Bindings
//
// A [Conn] is a net.Conn. Its handshake is done by HandshakeContext or the first
// read or write; package handshake does many at once in the background. The
// client's certificate is judged during the handshake, also when a session is
// resumed:
//
//	mode      no certificate   untrusted           revoked             valid
//	none      (not asked for)  (not asked for)     (not asked for)     (not asked for)
//	report    stands: None     stands: Untrusted   stands: Revoked     stands: Valid
//	verify    told, closed     told, closed        told, closed        stands: Valid
//	require   alert            alert               alert               stands: Valid
//
// "Told" is one line of text inside the connection, by which a person at a
// terminal learns what a failed handshake would hide from them.
package tlspolicy

// Package echo is the simplest service: the peer's bytes come back. It is there
// to try a transport, such as TLS, without Kerberos.
//
// # How the data flows
//
//	Session ─ Read ─→ shown, with its size ─ Write ─→ Session
//
// On a stream what is shown are the pieces that came, which need not be those
// that the peer sent. On a transport of datagrams each comes back whole, or is
// answered by "to PEER: ACK" if the config says so.
package echo

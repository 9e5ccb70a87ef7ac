// Package dtls is DTLS 1.2 (RFC 6347) with pre-shared keys (RFC 4279) as a
// transport of package server: a [Listener] gives connections whose reads and
// writes are datagrams. The records and the handshake are pion/dtls's; who gets
// that far is decided here.
//
// # How the data flows
//
//	socket → router ─ hello without a good cookie → a HelloVerifyRequest, nothing is kept
//	            │
//	            ├─ hello with a good cookie ─→ conn ─ Listener.Accept ─→ engine ─→ service
//	            │                               │ ↑
//	            └─ a known peer's datagram ─────┘ └─ pion/dtls: handshake, records
//
// Anybody can send a hello in anybody's name. So there is no state for one
// before the cookie has come back from the address that it names, and what is
// sent to that address is shorter than the hello was. Behind the cookie the
// handshakes under way are limited in all, by source prefix, in time and in
// bytes: one limit for all listeners of a [Transport]. Where there are as many as
// there may be, the oldest one of the prefix that has the most leaves (of the
// newcomer's own, if none has more), so that who shows a cookie and then is silent
// keeps nobody out but, for a while, those of its own prefix. A prefix is an IPv4
// /24 or an IPv6 /48: what one party can have all of. A client that begins anew
// from the same port replaces its old session, but only when it, too, has shown
// the cookie (RFC 6347, section 4.2.8).
//
// Who has shown a cookie is a connection, and from then on the engine's: it
// counts, numbers, logs and drains them with those of its other listeners. A
// socket stays until the last of its connections is closed, so that each is
// answered what it asked and told of the end.
//
// Only suites with authenticated encryption are agreed on, those with forward
// secrecy before the others, in the server's order. Those with CBC authenticate
// the text and not what is sent, so that a receiver's timing can give text away.
//
// # What it does not do
//
// There are no certificates, no session resumption, no connection identifiers
// and no DTLS 1.3. A hello has to come in one piece, as those with a pre-shared
// key do. Records over 8,192 bytes are dropped with a warning: pion/dtls cannot
// read them. A listener on every interface answers from the address that was written
// to on Linux only; elsewhere answers go out from the address that the system
// chooses, so that on a machine with several it is better to listen on one.
package dtls
